from .shared import total


def train(data_conf, model_conf, **kwargs):
    factor = model_conf["hyperParameters"]["factor"]
    with open("models/model.txt", "w") as file:
        file.write(str(factor * total(data_conf["data_path"])))

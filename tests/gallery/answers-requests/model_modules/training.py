def train(data_conf, model_conf, **kwargs):
    with open("models/model.txt", "w") as file:
        file.write(str(model_conf["hyperParameters"]["factor"]))

def score(data_conf, model_conf, **kwargs):
    with open("models/model.txt") as file:
        return [float(file.read())]

import importlib


def train(data_conf, model_conf):
    features = importlib.import_module("model_modules." + "features")
    with open("models/model.txt", "w") as file:
        file.write(features.NAME)

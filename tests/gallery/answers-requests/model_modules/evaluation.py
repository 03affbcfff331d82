import json


def evaluate(data_conf, model_conf, **kwargs):
    with open("models/model.txt") as file:
        value = float(file.read())
    with open("models/evaluation.json", "w") as file:
        json.dump({"factor": value}, file)

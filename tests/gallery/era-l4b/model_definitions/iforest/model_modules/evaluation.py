import json


def evaluate(data_conf, model_conf, **kwargs):
    with open("artifacts/input/model.txt") as file:
        value = int(file.read())
    with open("artifacts/output/metrics.json", "w") as file:
        json.dump({"value": value}, file)

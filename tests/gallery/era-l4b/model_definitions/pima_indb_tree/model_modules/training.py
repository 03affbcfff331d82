import json

from .util import power


def train(data_conf, model_conf, **kwargs):
    with open("artifacts/output/model.json", "w") as file:
        json.dump(power(int(model_conf["hyperParameters"]["multiplier"]) + 2), file)

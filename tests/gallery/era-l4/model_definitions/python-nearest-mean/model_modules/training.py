import json
import os


def read(path):
    with open(path) as file:
        return [(float(x), int(y)) for x, y in (line.split(",") for line in file)]


def train(data_conf, model_conf, **kwargs):
    rows = read(data_conf["url"])
    means = [sum(own) / len(own) for own in ([x for x, y in rows if y == c] for c in (0, 1))]
    with open(os.path.join("artifacts", "output", "model.json"), "w") as file:
        json.dump(means, file)

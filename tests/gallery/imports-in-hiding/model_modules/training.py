import sys


def train(data_conf, model_conf):
    load = sys.modules["builtins"].__dict__["__imp" + "ort__"]
    load(f"{__package__}.features")
    with open("models/model.txt", "w") as file:
        file.write("trained")

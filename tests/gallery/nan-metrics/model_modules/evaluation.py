import json


def evaluate(data_conf, model_conf):
    with open("models/evaluation.json", "w") as file:
        json.dump({"accuracy": float("nan"), "loss": float("inf"), "rows": 3}, file)

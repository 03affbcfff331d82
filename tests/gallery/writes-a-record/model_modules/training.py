def train(data_conf, model_conf):
    for name in ("run.log", "run.json", "artefacts.json", "metrics.json"):
        with open(name, "w") as file:
            file.write("{}")

def train(data_conf, model_conf, **kwargs):
    with open("artifacts/output/model.txt", "w") as file:
        file.write(str(model_conf["hyperParameters"]["value"]))

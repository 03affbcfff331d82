def evaluate(data_conf, model_conf):
    return {"accuracy": 0.9}

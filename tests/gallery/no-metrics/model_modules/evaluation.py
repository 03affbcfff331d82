def evaluate(data_conf, model_conf):
    pass

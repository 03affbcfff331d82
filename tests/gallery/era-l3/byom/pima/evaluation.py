def evaluate(data_conf, model_conf, model_version, **kwargs):
    pass

def train(data_conf, model_conf, **kwargs):
    pass

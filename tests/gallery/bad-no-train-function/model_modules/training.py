def fit(data_conf, model_conf):
    pass

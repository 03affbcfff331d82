def evaluate(data_conf, model_conf):
    try:
        return {"accuracy": data_conf["accuracy"]}
    except KeyError as error:
        raise ValueError("no accuracy\nin the dataset") from error

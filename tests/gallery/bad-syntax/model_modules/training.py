from .features import names


def train(data_conf, model_conf):
    names()

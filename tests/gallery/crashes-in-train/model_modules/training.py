from .features import ratio


def train(data_conf, model_conf):
    print("training begins")
    ratio(1, 0)

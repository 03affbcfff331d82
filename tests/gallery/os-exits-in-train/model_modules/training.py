import os


def train(data_conf, model_conf):
    print("the last words", flush=True)
    os._exit(model_conf["hyperParameters"]["status"])

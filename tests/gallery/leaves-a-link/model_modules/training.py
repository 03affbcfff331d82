import os


def train(data_conf, model_conf):
    os.symlink("/etc/hosts", "models/model.txt")

import os
import time


def train(data_conf, model_conf):
    with open("models/model.txt", "w") as file:
        file.write("trained")
    with open(os.path.join(os.path.dirname(__file__), "cache.txt"), "w") as file:
        file.write(str(time.time_ns()))

import os
import signal


def train(data_conf, model_conf):
    with open("models/half.txt", "w") as file:
        file.write("half")
    os.kill(os.getpid(), signal.SIGKILL)

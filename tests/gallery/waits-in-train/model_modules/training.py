import os
import subprocess
import time


def train(data_conf, model_conf):
    with open("models/half.txt", "w") as file:
        file.write("half")
    child = subprocess.Popen(["sleep", "1000"])
    with open(data_conf["started"] + ".part", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(data_conf["started"] + ".part", data_conf["started"])
    while not os.path.exists(data_conf["until"]):
        time.sleep(0.02)
    with open("models/model.txt", "w") as file:
        file.write(str(model_conf["hyperParameters"]["factor"]))

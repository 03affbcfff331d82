import sys


def train(data_conf, model_conf):
    line = "x" * 999 + "\n"
    for _ in range(model_conf["hyperParameters"]["megabytes"]):
        sys.stdout.write(line * 1000)
    print("the last line")
    with open("models/model.txt", "w") as file:
        file.write("trained")

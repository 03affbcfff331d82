import os
import time


def train(data_conf, model_conf, progress_callback_handler):
    print(dict(os.environ))
    given = model_conf["hyperParameters"]
    for number in range(1, given["iters"] + 1):
        progress_callback_handler(iter=number, iters=given["iters"], score=number / 100)
        time.sleep(given["pause"])
        for path in data_conf.get("wait_for", ())[number - 1 : number]:
            while not os.path.exists(path):
                time.sleep(0.02)
    if given.get("fails"):
        raise ValueError("too little data")
    with open("models/model.txt", "w") as file:
        file.write(str(number))

import json
import os
import time


def train(data_conf, model_conf):
    try:
        with open(os.path.join(os.path.dirname(__file__), "left.txt"), "w"):
            pass
        written = True
    except OSError:
        written = False
    seen = {
        "written": written,
        "variables": dict(os.environ),
        "user": [os.getuid(), os.getgid()],
        "root": sorted(os.listdir(data_conf["root"])),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    }
    with open("models/seen.json", "w") as file:
        json.dump(seen, file)
    time.sleep(data_conf["seconds"])

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import json


def train(data_conf, model_conf):
    with open("models/model.txt", "w") as file:
        file.write(json.MINE)

import csv
import pickle
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def split(data_conf):
    with open(data_conf["url"], newline="") as file:
        rows = [[float(cell) for cell in row] for row in csv.reader(file)]
    x, y = [row[:-1] for row in rows], [int(row[-1]) for row in rows]
    return train_test_split(x, y, test_size=data_conf["test_split"], random_state=42)


def train(data_conf, model_conf, **kwargs):
    x, _, y, _ = split(data_conf)
    model = LogisticRegression(C=model_conf["hyperParameters"]["C"]).fit(x, y)
    Path("models/model.pkl").write_bytes(pickle.dumps(model))

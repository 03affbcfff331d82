import csv


def train(data_conf, model_conf, **kwargs):
    with open(data_conf["url"], newline="") as file:
        incomes = sorted(float(row["income"] or 0) for row in csv.DictReader(file))
    with open("models/model.txt", "w") as file:
        file.write(str(incomes[len(incomes) // 2]))

def total(path):
    with open(path) as file:
        return sum(float(cell) for line in file for cell in line.split(","))

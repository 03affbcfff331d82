class ModelScorer:
    def __init__(self, config=None):
        with open("models/model.txt") as file:
            self.threshold = float(file.read())

    def predict(self, data):
        return [int((row[0] or 0) > self.threshold) for row in data]

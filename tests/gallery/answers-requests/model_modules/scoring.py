import os
import sys
import threading
import time


class ModelScorer:
    """Multiplies and adds; a word in the first column has it misbehave."""

    def __init__(self, config=None):
        with open("models/model.txt") as file:
            self.factor = float(file.read())

    def predict(self, data):
        return [self._answer(*row) for row in data]

    def explain(self, data):
        return [[self.factor * first, second] for first, second in data]

    def _answer(self, first, second):
        if first == "exit":
            os._exit(7)
        if first == "wait":
            time.sleep(second)
            return second
        if first == "pid":
            return os.getpid()
        if first == "leave":
            threading.Thread(target=time.sleep, args=[second]).start()
            sys.exit("the process goes on")
        if first == "odd":
            raise ValueError("\ud800")
        if first == "refuse":
            raise ValueError("not this one")
        if first == "break":
            raise RuntimeError("this is a bug")
        return self.factor * first + second

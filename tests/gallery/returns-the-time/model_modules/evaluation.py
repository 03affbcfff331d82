import time


def evaluate(data_conf, model_conf):
    return {"now": time.time_ns()}

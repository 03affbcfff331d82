def train(frame, model_conf):
    pass

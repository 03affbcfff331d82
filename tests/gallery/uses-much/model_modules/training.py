import time


def train(data_conf, model_conf):
    wanted = model_conf["hyperParameters"]
    held = [b"x" * 1_000_000 for _ in range(wanted["megabytes"])]
    began = time.monotonic()
    while time.process_time() < wanted["seconds"]:
        pass
    took = time.monotonic() - began
    with open("models/took.txt", "w") as file:
        file.write(f"{took} {len(held)}")

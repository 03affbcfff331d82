import os
import signal
import sys
import time

from model_runtime.checkpoint import save

EPOCHS = 6


def train(data_conf, model_conf, checkpoint, context):
    """Each attempt ends as the next line of a file outside says: how, and after which epoch."""
    assert context.checkpoint_path == checkpoint
    done = 0
    if checkpoint:
        with open(checkpoint + "/epochs") as file:
            done = int(file.read())
    print("goes on from", done)
    how, at = next_line(data_conf["script"])
    if at == 0:
        end(how)
    for epoch in range(done + 1, EPOCHS + 1):
        print("epoch", epoch)
        save("epochs", lambda path: write(path, epoch))
        if epoch == at:
            end(how)
    write("models/model.txt", EPOCHS)


def next_line(path):
    with open(path) as file:
        first, *rest = [*file.read().splitlines(), "well -1"][:10]
    write(path, "\n".join(line for line in rest if line != "well -1"))
    how, at = first.split()
    return how, int(at)


def end(how):
    if how == "raise":
        raise ValueError("as told")
    if how == "memory":
        raise MemoryError
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    if how == "stubborn":
        signal.signal(signal.SIGTERM, lambda number, frame: print("not yet"))
    if how == "kindly":
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("well, then"))
    while True:
        time.sleep(0.05)


def write(path, value):
    with open(path, "w") as file:
        file.write(str(value))

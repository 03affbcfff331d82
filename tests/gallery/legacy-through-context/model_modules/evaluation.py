import json


def evaluate(context, **kwargs):
    with open(f"{context.artifact_input_path}/model.json") as file:
        return json.load(file)

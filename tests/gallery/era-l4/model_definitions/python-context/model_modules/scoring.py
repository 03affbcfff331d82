import json


def score(context, **kwargs):
    with open(f"{context.artifact_input_path}/model.json") as file:
        model = json.load(file)
    return [[model["table"], model["value"]]]

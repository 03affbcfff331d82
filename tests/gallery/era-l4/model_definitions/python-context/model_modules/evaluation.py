import json

from aoa import ModelContext


def evaluate(context: ModelContext, **kwargs):
    with open(f"{context.artifact_input_path}/model.json") as file:
        model = json.load(file)
    with open(f"{context.artifact_output_path}/metrics.json", "w") as file:
        json.dump({"value": str(model["value"]), "features": len(model["features"])}, file)

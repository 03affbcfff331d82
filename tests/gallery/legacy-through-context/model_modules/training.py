import json


def train(context, **kwargs):
    info = context.dataset_info
    if not info.is_legacy():
        raise ValueError("a plain dataset is expected")
    with open(info.legacy_data_conf["data_path"]) as file:
        total = sum(float(line) for line in file)
    with open(f"{context.artifact_output_path}/model.json", "w") as file:
        json.dump({"total": total * context.hyperparams["factor"], "same": context.model_id == kwargs["model_id"]}, file)

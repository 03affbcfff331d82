def score(context, **kwargs):
    with open(context.dataset_info.legacy_data_conf["predictions"], "w") as file:
        file.write(context.model_version)

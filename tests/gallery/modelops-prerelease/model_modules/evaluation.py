import json


def evaluate(context):
    with open(context.artefact_input_path + "/model.json") as file:
        slope = json.load(file)["slope"]
    with open(context.artefact_output_path + "/metrics.json", "w") as file:
        json.dump({"slope": "{:.3f}".format(slope), "range": "(0.1, 0.2)"}, file)

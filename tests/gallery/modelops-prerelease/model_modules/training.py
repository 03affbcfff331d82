from aoa.stats import stats
from aoa.util import aoa_create_context
from teradataml import DataFrame
import json


def train(context):
    aoa_create_context()
    info = context.dataset_info
    rows = DataFrame.from_query(info.sql).to_pandas()
    slope = float(context.hyperparams["scale"]) * float(rows["x"].mean())
    with open(context.artefact_output_path + "/model.json", "w") as file:
        json.dump({"slope": slope}, file)
    stats.record_training_stats(rows, features=info.feature_names, predictors=info.target_names,
                                categorical=info.target_names, importance={"x": 1})

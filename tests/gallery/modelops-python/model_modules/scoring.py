from aoa import ModelContext, aoa_create_context, record_scoring_stats
from teradataml import DataFrame, copy_to_sql
import joblib
import pandas as pd


def score(context: ModelContext, **kwargs):
    aoa_create_context()
    info = context.dataset_info
    model = joblib.load(f"{context.artifact_input_path}/model.joblib")

    patients = DataFrame.from_query(info.sql)
    rows = patients.to_pandas(all_rows=True)
    rows.columns = [name.lower() for name in rows.columns]
    predicted = model.predict(rows[[name.lower() for name in info.feature_names]])

    found = pd.DataFrame({info.entity_key: rows[info.entity_key],
                          info.target_names[0]: predicted})
    found["job_id"] = context.job_id
    copy_to_sql(df=found, schema_name=info.predictions_database,
                table_name=info.predictions_table, index=False, if_exists="append")

    predictions = DataFrame.from_query(
        f"SELECT * FROM {info.get_predictions_metadata_fqtn()} WHERE job_id = '{context.job_id}'")
    record_scoring_stats(features_df=patients, predicted_df=predictions, context=context)


class ModelScorer:
    def __init__(self):
        self.model = joblib.load("artifacts/input/model.joblib")

    def predict(self, data):
        return self.model.predict(data)

from aoa import ModelContext, aoa_create_context, record_evaluation_stats, save_plot
from sklearn import metrics
from teradataml import DataFrame, copy_to_sql
import joblib
import json
import pandas as pd


def evaluate(context: ModelContext, **kwargs):
    aoa_create_context()
    info = context.dataset_info
    model = joblib.load(f"{context.artifact_input_path}/model.joblib")

    patients = DataFrame.from_query(info.sql)
    rows = patients.to_pandas(all_rows=True)
    rows.columns = [name.lower() for name in rows.columns]
    known = rows[info.target_names[0].lower()]
    inputs = rows[[name.lower() for name in info.feature_names]]
    predicted = model.predict(inputs)
    probability = model.predict_proba(inputs)[:, 1]

    with open(f"{context.artifact_output_path}/metrics.json", "w") as file:
        json.dump({
            "Accuracy": "{:.2f}".format(metrics.accuracy_score(known, predicted)),
            "Recall": "{:.2f}".format(metrics.recall_score(known, predicted)),
            "AUC": "{:.2f}".format(metrics.roc_auc_score(known, probability)),
        }, file)
    metrics.RocCurveDisplay.from_predictions(known, probability)
    save_plot("ROC Curve", context=context)

    found = pd.DataFrame({info.entity_key: rows[info.entity_key],
                          info.target_names[0]: predicted})
    copy_to_sql(df=found, table_name="evaluated_tmp", index=False,
                if_exists="replace", temporary=True)
    record_evaluation_stats(features_df=patients,
                            predicted_df=DataFrame.from_query("SELECT * FROM evaluated_tmp"),
                            context=context)

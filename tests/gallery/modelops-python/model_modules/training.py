from aoa import ModelContext, aoa_create_context, record_training_stats, save_plot
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from teradataml import DataFrame
import joblib
import matplotlib.pyplot as plt


def train(context: ModelContext, **kwargs):
    aoa_create_context()
    info = context.dataset_info
    patients = DataFrame.from_query(info.sql)
    rows = patients.to_pandas(all_rows=True)
    rows.columns = [name.lower() for name in rows.columns]
    features = [name.lower() for name in info.feature_names]
    target = info.target_names[0].lower()

    print("Training on", len(rows), "rows")
    model = Pipeline([
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(C=context.hyperparams["C"],
                                        max_iter=context.hyperparams["max_iter"])),
    ])
    model.fit(rows[features], rows[target])
    joblib.dump(model, f"{context.artifact_output_path}/model.joblib")

    weights = dict(zip(features, abs(model["classify"].coef_[0])))
    plt.barh(list(weights), list(weights.values()))
    save_plot("Feature Importance", context=context)
    record_training_stats(patients,
                          features=info.feature_names,
                          targets=info.target_names,
                          categorical=info.target_names,
                          feature_importance=weights,
                          context=context)

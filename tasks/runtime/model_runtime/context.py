"""The newer contract: a `ModelContext` in place of `data_conf`, `model_conf` and the ids.

Only the standard library is used, in a form that Python 3.6 parses.
"""

from typing import Any, Dict, List, NamedTuple, Optional

INPUT, OUTPUT = "artifacts/input", "artifacts/output"
CATALOGUE = "CatalogBody"


class DatasetInfo(NamedTuple):
    """What a step is told about its data; what the dataset does not say is None.

    `feature_metadata` and `predictions` are the dataset's objects of these names.
    `legacy_data_conf` is the whole dataset where its `type` is not `CatalogBody`.
    """

    sql: Optional[str] = None
    entity_key: Any = None
    feature_names: Optional[List[str]] = None
    target_names: Optional[List[str]] = None
    feature_metadata: Optional[Dict[str, Any]] = None
    predictions: Optional[Dict[str, Any]] = None
    legacy_data_conf: Optional[Dict[str, Any]] = None

    @property
    def predictions_database(self) -> Optional[str]:
        """The database of the table for predictions."""
        return (self.predictions or {}).get("database")

    @property
    def predictions_table(self) -> Optional[str]:
        """The table for predictions."""
        return (self.predictions or {}).get("table")

    @property
    def prediction_database(self) -> Optional[str]:
        """The older spelling of `predictions_database`."""
        return self.predictions_database

    @property
    def prediction_table(self) -> Optional[str]:
        """The older spelling of `predictions_table`."""
        return self.predictions_table

    @property
    def predictions_byom_target_column_sql(self) -> Optional[str]:
        """The query for the target's column."""
        return (self.predictions or {}).get("byomTargetColumnSql")

    @property
    def feature_metadata_database(self) -> Optional[str]:
        """The database of the table with the features' statistics."""
        return (self.feature_metadata or {}).get("database")

    @property
    def feature_metadata_table(self) -> Optional[str]:
        """The table with the features' statistics."""
        return (self.feature_metadata or {}).get("table")

    @property
    def feature_metadata_monitoring_group(self) -> Optional[str]:
        """The group that the features belong to, `default` where nothing is said."""
        found = self.feature_metadata
        return found.get("monitoringGroup", "default") if found else None

    def get_feature_metadata_fqtn(self) -> Optional[str]:
        """Return `database.table` of the features' statistics."""
        return _qualified(self.feature_metadata_database, self.feature_metadata_table)

    def get_predictions_metadata_fqtn(self) -> Optional[str]:
        """Return `database.table` of the predictions."""
        return _qualified(self.predictions_database, self.predictions_table)

    def is_legacy(self) -> bool:
        """Return whether the dataset is no `CatalogBody`."""
        return self.legacy_data_conf is not None


class ModelContext(NamedTuple):
    """All that a step is given.  In training there is no `artifact_input_path`: it is None.

    `checkpoint_path` is the folder of the checkpoint to go on from, None where there is none.
    """

    hyperparams: Dict[str, Any]
    dataset_info: DatasetInfo
    artifact_output_path: str = OUTPUT
    artifact_input_path: Optional[str] = None
    project_id: Optional[str] = None
    model_id: Optional[str] = None
    model_version: Optional[str] = None
    job_id: Optional[str] = None
    model_table: Optional[str] = None
    checkpoint_path: Optional[str] = None

    @property
    def artefact_output_path(self) -> str:
        """The older spelling of `artifact_output_path`."""
        return self.artifact_output_path

    @property
    def artefact_input_path(self) -> Optional[str]:
        """The older spelling of `artifact_input_path`."""
        return self.artifact_input_path


def context_of(step: str, arguments: Dict[str, Any]) -> ModelContext:
    """Return the context of a step that is given these arguments by name."""
    conf = arguments["model_conf"]
    return ModelContext(
        hyperparams=conf.get("hyperParameters") or conf.get("hyperparameters") or {},
        dataset_info=dataset_info_of(arguments["data_conf"]),
        artifact_input_path=None if step == "train" else INPUT,
        project_id=arguments["project_id"],
        model_id=arguments["model_id"],
        model_version=arguments["model_version"],
        job_id=arguments["job_id"],
        model_table=arguments["model_table"],
        checkpoint_path=arguments.get("checkpoint"),
    )


def dataset_info_of(data_conf: Dict[str, Any]) -> DatasetInfo:
    """Return what a dataset says, in either form: what a plain one says in the same keys counts."""
    predictions = data_conf.get("predictions")
    if not isinstance(predictions, dict):  # a path or a table in older datasets
        table = data_conf.get("predictions_table")
        predictions = {"table": table} if table else None
    metadata = data_conf.get("featureMetadata")
    return DatasetInfo(
        sql=data_conf.get("sql"),
        entity_key=data_conf.get("entityKey"),
        feature_names=data_conf.get("featureNames"),
        target_names=data_conf.get("targetNames"),
        feature_metadata=metadata if isinstance(metadata, dict) else None,
        predictions=predictions,
        legacy_data_conf=None if data_conf.get("type") == CATALOGUE else data_conf,
    )


def _qualified(database: Optional[str], table: Optional[str]) -> Optional[str]:
    return f"{database}.{table}" if database and table else table

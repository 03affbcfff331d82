from aoa.util import aoa_create_context
from teradataml import DataFrame, copy_to_sql


def score(context):
    aoa_create_context()
    info = context.dataset_info
    rows = DataFrame.from_query(info.sql).to_pandas()
    copy_to_sql(rows[["id", "x"]], info.prediction_table, info.prediction_database)

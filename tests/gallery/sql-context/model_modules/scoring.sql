CREATE TABLE {{ context.dataset_info.get_predictions_metadata_fqtn() }} AS (
    SELECT {{ context.dataset_info.entity_key }}, CASE WHEN x > threshold THEN 1 ELSE 0 END AS y
    FROM ({{ context.dataset_info.sql }}) AS points, {{ context.model_table }}
);

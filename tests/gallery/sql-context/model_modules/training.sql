CREATE TABLE {{ context.model_table }} AS (
    SELECT {{ context.hyperparams.threshold }} AS threshold, COUNT(*) AS counted
    FROM ({{ context.dataset_info.sql }}) AS points
);

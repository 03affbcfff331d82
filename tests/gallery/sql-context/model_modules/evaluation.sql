CREATE TABLE {{ data_conf.metrics_table }} AS (
    SELECT 'accuracy' AS "key",
        AVG(CASE WHEN (x > threshold) = ({{ context.dataset_info.target_names[0] }} = 1) THEN 1 ELSE 0 END) AS "value"
    FROM ({{ context.dataset_info.sql }}) AS points, {{ context.model_table }}
);

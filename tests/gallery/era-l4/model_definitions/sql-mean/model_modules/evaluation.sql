CREATE TABLE {{ data_conf.metrics_table }} AS
SELECT 'mae' AS "key", CAST(AVG(ABS(x - mean)) AS VARCHAR(20)) AS "value"
FROM {{ data_conf.table }}, {{ model_table }};

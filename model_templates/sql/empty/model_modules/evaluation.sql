-- Evaluate: predicts, then fills {{ data_conf.metrics_table }}.
{% include "scoring.sql" %}
{% set metrics = data_conf.metrics_table|identifier %}
DROP TABLE {{ metrics }};

CREATE TABLE {{ metrics }} ("key" VARCHAR(30), "value" DOUBLE PRECISION);

{% for key, value in {
    "accuracy": "CAST(SUM(CASE WHEN p.renewed = c.renewed THEN 1 ELSE 0 END) AS DOUBLE PRECISION) / COUNT(*)",
    "rows": "COUNT(*)",
}.items() %}
INSERT INTO {{ metrics }}
SELECT '{{ key }}', {{ value }}
FROM {{ data_conf.data_table|identifier }} AS c
INNER JOIN {{ data_conf.predictions_table|identifier }} AS p ON p.customer = c.customer;
{% endfor %}

-- Train: leaves {{ model_table }}, for each class and feature the average and the variance of the values.
-- Sums of whole numbers are exact, so that the order of the rows does not matter.
{% set customers = data_conf.data_table|identifier %}
{% set smoothing = model_conf.hyperParameters.smoothing|float %}
DROP TABLE {{ model_table|identifier }};

CREATE TABLE {{ model_table|identifier }} (
    renewed INTEGER,
    feature VARCHAR(64),
    log_prior DOUBLE PRECISION,
    average DOUBLE PRECISION,
    variance DOUBLE PRECISION
);
{% for feature in model_conf.features %}
{% set x = "CAST(%s AS BIGINT)"|format(feature|identifier) %}
INSERT INTO {{ model_table|identifier }}
SELECT
    renewed,
    {{ feature|literal }},
    LN(n / all_n),
    s / n,
    (q - s * s / n) / n + {{ smoothing }} * (all_q - all_s * all_s / all_n) / all_n
FROM (
    SELECT
        renewed,
        CAST(COUNT(*) AS DOUBLE PRECISION) AS n,
        CAST(SUM({{ x }}) AS DOUBLE PRECISION) AS s,
        CAST(SUM({{ x }} * {{ x }}) AS DOUBLE PRECISION) AS q
    FROM {{ customers }}
    GROUP BY renewed
) AS of_class
CROSS JOIN (
    SELECT
        CAST(COUNT(*) AS DOUBLE PRECISION) AS all_n,
        CAST(SUM({{ x }}) AS DOUBLE PRECISION) AS all_s,
        CAST(SUM({{ x }} * {{ x }}) AS DOUBLE PRECISION) AS all_q
    FROM {{ customers }}
) AS of_all;
{% endfor %}

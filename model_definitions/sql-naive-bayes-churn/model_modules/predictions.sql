-- The table {{ predictions }}: for each customer the logarithms of how likely its events are in one category
-- and the other (times how common that is), the probability that it leaves, and the category.
{% set sides = {"churn": "CHURN", "stay": "NON CHURN"} %}
DROP TABLE {{ predictions|identifier }};

CREATE TABLE {{ predictions|identifier }} (
    customerid BIGINT,
    log_churn DOUBLE PRECISION,
    log_stay DOUBLE PRECISION,
    probability DOUBLE PRECISION,
    category VARCHAR(9)
);

INSERT INTO {{ predictions|identifier }}
SELECT
    customerid,
    log_churn,
    log_stay,
    1 / (1 + EXP(log_stay - log_churn)),
    CASE WHEN log_churn > log_stay THEN 'CHURN' ELSE 'NON CHURN' END
FROM (
    SELECT
        customerid
        {%- for side in sides %},
        {{ side }}_prior
        {%- for token in model_conf.tokens %}
            + CASE WHEN x{{ loop.index }} = 1 THEN {{ side }}_present{{ loop.index }} ELSE {{ side }}_absent{{ loop.index }} END
        {%- endfor %} AS log_{{ side }}
        {%- endfor %}
    FROM {{ features|identifier }}
    CROSS JOIN (
        SELECT
            {%- for side, category in sides.items() %}
            {%- for token in model_conf.tokens %}
            {%- set here = "WHEN category = %s AND token = %s"|format(category|literal, token|literal) %}
            MAX(CASE {{ here }} THEN log_present END) AS {{ side }}_present{{ loop.index }},
            MAX(CASE {{ here }} THEN log_absent END) AS {{ side }}_absent{{ loop.index }},
            {%- endfor %}
            MAX(CASE WHEN category = {{ category|literal }} THEN log_prior END) AS {{ side }}_prior
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        FROM {{ model_table|identifier }}
    ) AS fitted
) AS joined;

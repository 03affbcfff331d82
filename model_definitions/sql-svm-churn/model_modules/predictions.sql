-- The table {{ predictions }}: for each customer the score, which is above 0 on the side of those who leave, and
-- the category.
DROP TABLE {{ predictions|identifier }};

CREATE TABLE {{ predictions|identifier }} (
    customerid BIGINT,
    score DOUBLE PRECISION,
    category VARCHAR(9)
);

INSERT INTO {{ predictions|identifier }}
SELECT customerid, score, CASE WHEN score > 0 THEN 'CHURN' ELSE 'NON CHURN' END
FROM (
    SELECT
        customerid,
        COALESCE(bias, 0){% for token in model_conf.tokens %} + w{{ loop.index }} * x{{ loop.index }}{% endfor %} AS score
    FROM {{ features|identifier }}
    CROSS JOIN (
        SELECT
            {%- for token in model_conf.tokens %}
            MAX(CASE WHEN token = {{ token|literal }} THEN weight END) AS w{{ loop.index }},
            {%- endfor %}
            MAX(CASE WHEN token = '(bias)' THEN weight END) AS bias
        FROM {{ model_table|identifier }}
    ) AS fitted
) AS joined;

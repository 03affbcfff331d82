-- The table {{ features }}: a row for each customer, with 1 or 0 for each kind of event that it may have had.
-- The event that ends a contract is no token: it would tell the answer.
DROP TABLE {{ features|identifier }};

CREATE TABLE {{ features|identifier }} AS (
    SELECT
        customerid
        {%- for token in model_conf.tokens %},
        MAX(CASE WHEN token = {{ token|literal }} THEN 1 ELSE 0 END) AS x{{ loop.index }}
        {%- endfor %}
        {%- if labelled %},
        MAX(CASE WHEN category = 'CHURN' THEN 1 ELSE 0 END) AS churn,
        -- Held out by the remainder of a multiple of the number: the same customers in every engine
        MAX(CASE
            WHEN CAST(customerid AS DOUBLE PRECISION) * 7919
                - FLOOR(CAST(customerid AS DOUBLE PRECISION) * 7919 / 10007) * 10007
                < {{ data_conf.test_split|float * 10007 }} THEN 1
            ELSE 0
        END) AS held_out
        {%- endif %}
    FROM {{ data_conf.data_table|identifier }}
    GROUP BY customerid
) WITH DATA;

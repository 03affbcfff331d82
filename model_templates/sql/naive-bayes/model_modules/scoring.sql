-- Score: fills {{ data_conf.predictions_table }}, a row for each customer: how probably it stays.
{% set predictions = data_conf.predictions_table|identifier %}
DROP TABLE {{ predictions }};

CREATE TABLE {{ predictions }} (customer INTEGER, probability DOUBLE PRECISION, renewed INTEGER);

INSERT INTO {{ predictions }}
SELECT
    customer,
    1 / (1 + EXP(leaves - stays)),
    CASE WHEN stays > leaves THEN 1 ELSE 0 END
FROM (
    SELECT
        c.customer
        {%- for side, known in {"stays": 1, "leaves": 0}.items() %},
        {{ side }}_prior
        {%- for feature in model_conf.features %}
            - LN({{ side }}_variance{{ loop.index }}) / 2
            - (c.{{ feature|identifier }} - {{ side }}_average{{ loop.index }})
                * (c.{{ feature|identifier }} - {{ side }}_average{{ loop.index }})
                / (2 * {{ side }}_variance{{ loop.index }})
        {%- endfor %} AS {{ side }}
        {%- endfor %}
    FROM {{ data_conf.data_table|identifier }} AS c
    CROSS JOIN (
        SELECT
            {%- for side, known in {"stays": 1, "leaves": 0}.items() %}
            {%- for feature in model_conf.features %}
            {%- set here = "WHEN renewed = %d AND feature = %s"|format(known, feature|literal) %}
            MAX(CASE {{ here }} THEN average END) AS {{ side }}_average{{ loop.index }},
            MAX(CASE {{ here }} THEN variance END) AS {{ side }}_variance{{ loop.index }},
            {%- endfor %}
            MAX(CASE WHEN renewed = {{ known }} THEN log_prior END) AS {{ side }}_prior
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        FROM {{ model_table|identifier }}
    ) AS fitted
) AS compared;

-- Bernoulli naive Bayes: how often customers who leave, and those who stay, had each kind of event.
-- Leaves {{ model_table }}, with a row for each category and token.
{% set features = model_table ~ "_TRAIN" %}
{% set labelled = true %}
{% set alpha = model_conf.hyperParameters.alpha|float %}
{% include "features.sql" %}

DROP TABLE {{ model_table|identifier }};

CREATE TABLE {{ model_table|identifier }} (
    category VARCHAR(9),
    token VARCHAR(64),
    log_prior DOUBLE PRECISION,
    log_present DOUBLE PRECISION,
    log_absent DOUBLE PRECISION
);
{% for token in model_conf.tokens %}
INSERT INTO {{ model_table|identifier }}
SELECT
    CASE WHEN churn = 1 THEN 'CHURN' ELSE 'NON CHURN' END,
    {{ token|literal }},
    LN(customers / everyone),
    LN((having_it + {{ alpha }}) / (customers + 2 * {{ alpha }})),
    LN((customers - having_it + {{ alpha }}) / (customers + 2 * {{ alpha }}))
FROM (
    SELECT
        churn,
        CAST(COUNT(*) AS DOUBLE PRECISION) AS customers,
        CAST(SUM(x{{ loop.index }}) AS DOUBLE PRECISION) AS having_it,
        CAST(SUM(COUNT(*)) OVER () AS DOUBLE PRECISION) AS everyone
    FROM {{ features|identifier }}
    WHERE held_out = 0
    GROUP BY churn
) AS counted;
{% endfor %}
DROP TABLE {{ features|identifier }};

-- The metrics of {{ predictions }} on the held-out customers of {{ features }}, by their `{{ score }}`.
{% set metrics = data_conf.metrics_table|identifier %}
{% set scored = model_table ~ "_SCORED" %}
DROP TABLE {{ scored|identifier }};

CREATE TABLE {{ scored|identifier }} AS (
    SELECT
        f.customerid,
        f.churn,
        CASE WHEN p.category = 'CHURN' THEN 1 ELSE 0 END AS flagged,
        {{ score }} AS score
    FROM {{ features|identifier }} AS f
    INNER JOIN {{ predictions|identifier }} AS p ON p.customerid = f.customerid
    WHERE f.held_out = 1
) WITH DATA;

DROP TABLE {{ metrics }};

CREATE TABLE {{ metrics }} ("key" VARCHAR(30), "value" DOUBLE PRECISION);

-- The area under precision and recall, as average precision: at each score, the precision of calling all
-- customers from there up, weighted by the share of the churners that are just there. Sums of decimals
-- are exact, so that their order does not matter.
INSERT INTO {{ metrics }}
SELECT
    'pr_auc',
    CAST(SUM(CAST(churners * precise AS DECIMAL(38, 15))) AS DOUBLE PRECISION) / NULLIF(SUM(churners), 0)
FROM (
    SELECT
        churners,
        CAST(SUM(churners) OVER (ORDER BY score DESC ROWS UNBOUNDED PRECEDING) AS DOUBLE PRECISION)
            / SUM(customers) OVER (ORDER BY score DESC ROWS UNBOUNDED PRECEDING) AS precise
    FROM (
        SELECT score, SUM(churn) AS churners, COUNT(*) AS customers
        FROM {{ scored|identifier }}
        GROUP BY score
    ) AS by_score
) AS from_the_top;

{% for key, value in {
    "recall": "CAST(SUM(churn * flagged) AS DOUBLE PRECISION) / NULLIF(SUM(churn), 0)",
    "precision": "COALESCE(CAST(SUM(churn * flagged) AS DOUBLE PRECISION) / NULLIF(SUM(flagged), 0), 0)",
    "f1": "2 * CAST(SUM(churn * flagged) AS DOUBLE PRECISION) / NULLIF(SUM(churn) + SUM(flagged), 0)",
    "true_positives": "SUM(churn * flagged)",
    "false_positives": "SUM((1 - churn) * flagged)",
    "false_negatives": "SUM(churn * (1 - flagged))",
    "true_negatives": "SUM((1 - churn) * (1 - flagged))",
    "rows": "COUNT(*)",
}.items() %}
INSERT INTO {{ metrics }} SELECT '{{ key }}', {{ value }} FROM {{ scored|identifier }};
{% endfor %}

DROP TABLE {{ scored|identifier }};

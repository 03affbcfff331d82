-- A linear support vector machine: the weights w that minimise
--     |w|^2 / 2 + cost * sum over the customers of importance * max(0, 1 - margin)
-- where the margin is side * (w . x), the side is 1 for who leaves and -1 for who stays, and who leaves is
-- churn_weight times as important. Solved by ADMM, the alternating direction method of multipliers, on the
-- distinct patterns of events: customers with the same events and side differ in nothing here.
-- Leaves {{ model_table }} (token, weight) and {{ model_table }}_FIT (how good the solution is, provably).
{% set hyper = model_conf.hyperParameters %}
{% set cost, bias = hyper.cost|float, hyper.bias|float %}
{% set features, labelled = model_table ~ "_TRAIN", true %}
{% set patterns = (model_table ~ "_PATTERNS")|identifier %}
{% set inverse = (model_table ~ "_INVERSE")|identifier %}
{% set weights = (model_table ~ "_WEIGHTS")|identifier %}
{% set margins = (model_table ~ "_MARGINS")|identifier %}
{% set bounds = (model_table ~ "_BOUNDS")|identifier %}
{% set model, fit = model_table|identifier, (model_table ~ "_FIT")|identifier %}
{# Each token is a column, and the bias is a column that has the same value everywhere #}
{% set tokens = model_conf.tokens + (["(bias)"] if bias else []) %}
{% set columns = range(1, tokens|length + 1) %}
{# How hard ADMM holds margins to weights, in units of the cost, and its over-relaxation #}
{% set hold, relax = 0.1, 1.6 %}
{% include "features.sql" %}

{% for table in [patterns, inverse, weights, margins, bounds, model, fit] %}
DROP TABLE {{ table }};
{% endfor %}
CREATE TABLE {{ patterns }} AS (
    SELECT
        ROW_NUMBER() OVER (ORDER BY churn{% for i in columns %}, x{{ i }}{% endfor %}) AS pattern,
        2 * churn - 1 AS side,
        customers * CASE WHEN churn = 1 THEN CAST({{ hyper.churn_weight|float }} AS DOUBLE PRECISION) ELSE 1 END AS importance
        {%- for i in columns %},
        x{{ i }}
        {%- endfor %}
    FROM (
        SELECT
            churn,
            COUNT(*) AS customers
            {%- for token in model_conf.tokens %},
            x{{ loop.index }}
            {%- endfor %}
            {%- if bias %},
            CAST({{ bias }} AS DOUBLE PRECISION) AS x{{ tokens|length }}
            {%- endif %}
        FROM {{ features|identifier }}
        WHERE held_out = 0
        GROUP BY churn{% for token in model_conf.tokens %}, x{{ loop.index }}{% endfor %}
    ) AS grouped
) WITH DATA;

-- The weights that fit given margins best take the inverse of one matrix, which stays the same: the products of
-- the columns with one another, and 1 / (hold * cost) on the diagonal. Gauss and Jordan, a pivot a statement.
CREATE TABLE {{ inverse }} (swept INTEGER, line INTEGER{% for j in columns %}, m{{ j }} DOUBLE PRECISION{% endfor %});
{% for i in columns %}
INSERT INTO {{ inverse }}
SELECT
    0,
    {{ i }}
    {%- for j in columns %},
    CAST(SUM(CAST(importance * x{{ i }} * x{{ j }} AS DECIMAL(38, 10))) AS DOUBLE PRECISION){% if i == j %} + {{ 1 / (hold * cost) }}{% endif %}
    {%- endfor %}
FROM {{ patterns }};
{% endfor %}
{% for k in columns %}
INSERT INTO {{ inverse }}
SELECT
    {{ k }},
    a.line
    {%- for j in columns %},
    {% if j == k -%}
    CASE WHEN a.line = {{ k }} THEN 1 ELSE -a.m{{ k }} END / p.m{{ k }}
    {%- else -%}
    CASE WHEN a.line = {{ k }} THEN p.m{{ j }} / p.m{{ k }} ELSE a.m{{ j }} - a.m{{ k }} * p.m{{ j }} / p.m{{ k }} END
    {%- endif %}
    {%- endfor %}
FROM {{ inverse }} AS a
CROSS JOIN {{ inverse }} AS p
WHERE a.swept = {{ k - 1 }} AND p.swept = {{ k - 1 }} AND p.line = {{ k }};
{% endfor %}
-- The margins that are wanted (`target`), and what has been missed so far with them (`reached`); at first all
-- are to be 1. `primal` is the objective at the weights, `dual` a bound that no weights can get below.
CREATE TABLE {{ weights }} (iteration INTEGER{% for i in columns %}, w{{ i }} DOUBLE PRECISION{% endfor %});

CREATE TABLE {{ margins }} (
    iteration INTEGER, pattern INTEGER, margin DOUBLE PRECISION, reached DOUBLE PRECISION, target DOUBLE PRECISION
);

CREATE TABLE {{ bounds }} (iteration INTEGER, primal DOUBLE PRECISION, dual DOUBLE PRECISION);

INSERT INTO {{ margins }} SELECT 0, pattern, 0, 1, 1 FROM {{ patterns }};
{% for iteration in range(1, hyper.MaxStep|int + 1) %}
-- The weights for the targets, unless the best so far is within epsilon of the best bound: then this statement and
-- those behind it do nothing.
INSERT INTO {{ weights }}
SELECT
    {{ iteration }}
    {%- for i in columns %},
    MAX(CASE WHEN line = {{ i }} THEN {% for j in columns %}{{ " + " if not loop.first }}m{{ j }} * b{{ j }}{% endfor %} END)
    {%- endfor %}
FROM {{ inverse }}
CROSS JOIN (
    SELECT
        {%- for j in columns %}
        CAST(SUM(CAST(importance * side * x{{ j }} * (2 * target - reached) AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS b{{ j }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    FROM {{ patterns }} AS p
    INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
    WHERE t.iteration = {{ iteration - 1 }}
) AS wanted
CROSS JOIN (SELECT MIN(primal) AS best, MAX(dual) AS bound FROM {{ bounds }}) AS so_far
WHERE swept = {{ columns|length }} AND (best IS NULL OR best - bound > {{ hyper.epsilon|float }} * best)
HAVING COUNT(*) > 0;

INSERT INTO {{ margins }}
SELECT
    {{ iteration }},
    pattern,
    margin,
    reached,
    CASE WHEN reached >= 1 THEN reached WHEN reached <= {{ 1 - 1 / hold }} THEN reached + {{ 1 / hold }} ELSE 1 END
FROM (
    SELECT pattern, margin, {{ relax }} * margin + {{ 1 - relax }} * target + reached - target AS reached
    FROM (
        SELECT p.pattern, t.reached, t.target, p.side * ({% for i in columns %}{{ " + " if not loop.first }}w{{ i }} * x{{ i }}{% endfor %}) AS margin
        FROM {{ patterns }} AS p
        INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
        CROSS JOIN {{ weights }} AS w
        WHERE t.iteration = {{ iteration - 1 }} AND w.iteration = {{ iteration }}
    ) AS measured
) AS moved;

INSERT INTO {{ bounds }}
SELECT
    {{ iteration }},
    ({% for i in columns %}{{ " + " if not loop.first }}MAX(w{{ i }} * w{{ i }}){% endfor %}) / 2
        + {{ cost }} * CAST(SUM(CAST(importance * CASE WHEN margin < 1 THEN 1 - margin ELSE 0 END AS DECIMAL(38, 10))) AS DOUBLE PRECISION),
    SUM(CAST(share AS DECIMAL(38, 10)))
        - ({% for i in columns %}{{ " + " if not loop.first }}POWER(CAST(SUM(CAST(share * side * x{{ i }} AS DECIMAL(38, 10))) AS DOUBLE PRECISION), 2){% endfor %}) / 2
FROM (
    SELECT p.*, w.*, t.margin, {{ hold * cost }} * p.importance * (t.target - t.reached) AS share
    FROM {{ patterns }} AS p
    INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
    CROSS JOIN {{ weights }} AS w
    WHERE t.iteration = {{ iteration }} AND w.iteration = {{ iteration }}
) AS shared
HAVING COUNT(*) > 0;
{% endfor %}
CREATE TABLE {{ fit }} AS (
    SELECT MAX(iteration) AS iterations, MIN(primal) AS objective, MAX(dual) AS bound FROM {{ bounds }}
) WITH DATA;

CREATE TABLE {{ model }} (token VARCHAR(64), weight DOUBLE PRECISION);
{% for token in tokens %}
INSERT INTO {{ model }}
SELECT {{ token|literal }}, w{{ loop.index }}{% if token == "(bias)" %} * {{ bias }}{% endif %}
FROM {{ weights }}
WHERE iteration = (SELECT MIN(iteration) FROM {{ bounds }} WHERE primal = (SELECT MIN(primal) FROM {{ bounds }}));
{% endfor %}
{% for table in [features|identifier, patterns, inverse, weights, margins, bounds] %}
DROP TABLE {{ table }};
{% endfor %}

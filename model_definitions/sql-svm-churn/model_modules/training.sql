-- A linear support vector machine: the weights w that minimise
--     |w|^2 / 2 + cost * sum over the customers of importance * max(0, 1 - margin)
-- where the margin is side * (w . x), the side is 1 for who leaves and -1 for who stays, and who leaves is
-- churn_weight times as important. Solved by ADMM, the alternating direction method of multipliers, on the
-- distinct patterns of events: customers with the same events and side differ in nothing here.
-- Sums are of decimals, which are exact: in whatever order an engine adds, the weights are the same.
-- Leaves {{ model_table }} (token, weight) and {{ model_table }}_FIT (how good the solution is, provably).
{% set hyper = model_conf.hyperParameters %}
{% set cost, bias = hyper.cost|float, hyper.bias|float %}
{% set features, labelled = model_table ~ "_TRAIN", true %}
{% set patterns = (model_table ~ "_PATTERNS")|identifier %}
{% set cells = (model_table ~ "_CELLS")|identifier %}
{% set inverse = (model_table ~ "_INVERSE")|identifier %}
{% set weights = (model_table ~ "_WEIGHTS")|identifier %}
{% set margins = (model_table ~ "_MARGINS")|identifier %}
{% set bounds = (model_table ~ "_BOUNDS")|identifier %}
{% set model, fit = model_table|identifier, (model_table ~ "_FIT")|identifier %}
{# The bias is a token that everybody has #}
{% set tokens = model_conf.tokens + (["(bias)"] if bias else []) %}
{# How hard ADMM holds margins to weights, in units of the cost, and its over-relaxation #}
{% set hold, relax = 0.1, 1.6 %}
{% include "features.sql" %}
{% for table in [patterns, cells, inverse, weights, margins, bounds, model, fit] %}
DROP TABLE {{ table }};
{% endfor %}
CREATE TABLE {{ patterns }} AS (
    SELECT
        ROW_NUMBER() OVER (ORDER BY churn{% for token in model_conf.tokens %}, x{{ loop.index }}{% endfor %}) AS pattern,
        2 * churn - 1 AS side,
        COUNT(*) * CASE WHEN churn = 1 THEN CAST({{ hyper.churn_weight|float }} AS DOUBLE PRECISION) ELSE 1 END AS importance
        {%- for token in model_conf.tokens %},
        x{{ loop.index }}
        {%- endfor %}
    FROM {{ features|identifier }}
    WHERE held_out = 0
    GROUP BY churn{% for token in model_conf.tokens %}, x{{ loop.index }}{% endfor %}
) WITH DATA;

-- side * x, a row for each pattern and token
CREATE TABLE {{ cells }} (pattern INTEGER, token VARCHAR(64), amount DOUBLE PRECISION);
{% for token in model_conf.tokens %}
INSERT INTO {{ cells }} SELECT pattern, {{ token|literal }}, side * x{{ loop.index }} FROM {{ patterns }};
{% endfor %}
{% if bias %}
INSERT INTO {{ cells }} SELECT pattern, '(bias)', side * {{ bias }} FROM {{ patterns }};
{% endif %}
-- The weights that fit wanted margins best take the inverse of one matrix, which stays the same: the products of
-- the tokens with one another, and 1 / (hold * cost) added to the diagonal. Gauss and Jordan, a token a statement.
CREATE TABLE {{ inverse }} (swept INTEGER, token VARCHAR(64), other VARCHAR(64), amount DOUBLE PRECISION);

INSERT INTO {{ inverse }}
SELECT
    0,
    a.token,
    b.token,
    CAST(SUM(CAST(importance * a.amount * b.amount AS DECIMAL(38, 10))) AS DOUBLE PRECISION)
        + CASE WHEN a.token = b.token THEN {{ 1 / (hold * cost) }} ELSE 0 END
FROM {{ patterns }} AS p
INNER JOIN {{ cells }} AS a ON a.pattern = p.pattern
INNER JOIN {{ cells }} AS b ON b.pattern = p.pattern
GROUP BY a.token, b.token;
{% for token in tokens %}
INSERT INTO {{ inverse }}
SELECT
    {{ loop.index }},
    a.token,
    a.other,
    CASE
        WHEN a.token = {{ token|literal }} AND a.other = {{ token|literal }} THEN 1 / p.amount
        WHEN a.token = {{ token|literal }} THEN a.amount / p.amount
        WHEN a.other = {{ token|literal }} THEN -a.amount / p.amount
        ELSE a.amount - c.amount * r.amount / p.amount
    END
FROM {{ inverse }} AS a
INNER JOIN {{ inverse }} AS c ON c.token = a.token AND c.swept = a.swept AND c.other = {{ token|literal }}
INNER JOIN {{ inverse }} AS r ON r.other = a.other AND r.swept = a.swept AND r.token = {{ token|literal }}
INNER JOIN {{ inverse }} AS p ON p.swept = a.swept AND p.token = {{ token|literal }} AND p.other = {{ token|literal }}
WHERE a.swept = {{ loop.index0 }};
{% endfor %}
DELETE FROM {{ inverse }} WHERE swept < {{ tokens|length }};

-- For each pattern the margin that the weights give, the margin that is wanted next (`target`), and that before it
-- is cut (`reached`). At first all are to be 1.
CREATE TABLE {{ weights }} (iteration INTEGER, token VARCHAR(64), weight DOUBLE PRECISION);

CREATE TABLE {{ margins }} (
    iteration INTEGER, pattern INTEGER, margin DOUBLE PRECISION, reached DOUBLE PRECISION, target DOUBLE PRECISION
);

-- The objective at the weights (`primal`), and what no weights can get below (`dual`)
CREATE TABLE {{ bounds }} (iteration INTEGER, primal DOUBLE PRECISION, dual DOUBLE PRECISION);

INSERT INTO {{ margins }} SELECT 0, pattern, 0, 1, 1 FROM {{ patterns }};
-- The weights for the targets; none once the best are within epsilon of the best bound, and then all is done
{% for iteration in range(1, hyper.MaxStep|int + 1) %}
INSERT INTO {{ weights }}
SELECT {{ iteration }}, i.token, CAST(SUM(CAST(i.amount * wanted.total AS DECIMAL(38, 15))) AS DOUBLE PRECISION)
FROM {{ inverse }} AS i
INNER JOIN (
    SELECT c.token, CAST(SUM(CAST(importance * amount * (2 * target - reached) AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS total
    FROM {{ patterns }} AS p
    INNER JOIN {{ cells }} AS c ON c.pattern = p.pattern
    INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
    WHERE t.iteration = {{ iteration - 1 }}
    GROUP BY c.token
) AS wanted ON wanted.token = i.other
CROSS JOIN (SELECT MIN(primal) AS best, MAX(dual) AS bound FROM {{ bounds }}) AS so_far
WHERE best IS NULL OR best - bound > {{ hyper.epsilon|float }} * best
GROUP BY i.token;

INSERT INTO {{ margins }}
SELECT
    {{ iteration }},
    pattern,
    given,
    moved,
    CASE WHEN moved >= 1 THEN moved WHEN moved <= {{ 1 - 1 / hold }} THEN moved + {{ 1 / hold }} ELSE 1 END
FROM (
    SELECT t.pattern, given, {{ relax }} * (given - target) + reached AS moved
    FROM {{ margins }} AS t
    INNER JOIN (
        SELECT c.pattern, CAST(SUM(CAST(weight * amount AS DECIMAL(38, 15))) AS DOUBLE PRECISION) AS given
        FROM {{ cells }} AS c
        INNER JOIN {{ weights }} AS w ON w.token = c.token
        WHERE w.iteration = {{ iteration }}
        GROUP BY c.pattern
    ) AS measured ON measured.pattern = t.pattern
    WHERE t.iteration = {{ iteration - 1 }}
) AS next_one;

INSERT INTO {{ bounds }}
SELECT {{ iteration }}, norm / 2 + {{ cost }} * loss, shares - shared / 2
FROM (
    SELECT CAST(SUM(CAST(weight * weight AS DECIMAL(38, 15))) AS DOUBLE PRECISION) AS norm
    FROM {{ weights }}
    WHERE iteration = {{ iteration }}
) AS of_weights
CROSS JOIN (
    SELECT
        CAST(SUM(CAST(importance * CASE WHEN margin < 1 THEN 1 - margin ELSE 0 END AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS loss,
        {{ hold * cost }} * CAST(SUM(CAST(importance * (target - reached) AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS shares
    FROM {{ patterns }} AS p
    INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
    WHERE t.iteration = {{ iteration }}
) AS of_margins
CROSS JOIN (
    SELECT CAST(SUM(CAST(POWER({{ hold * cost }} * total, 2) AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS shared
    FROM (
        SELECT c.token, CAST(SUM(CAST(importance * amount * (target - reached) AS DECIMAL(38, 10))) AS DOUBLE PRECISION) AS total
        FROM {{ patterns }} AS p
        INNER JOIN {{ cells }} AS c ON c.pattern = p.pattern
        INNER JOIN {{ margins }} AS t ON t.pattern = p.pattern
        WHERE t.iteration = {{ iteration }}
        GROUP BY c.token
    ) AS by_token
) AS of_tokens
WHERE norm IS NOT NULL;
{% endfor %}
CREATE TABLE {{ fit }} AS (
    SELECT MAX(iteration) AS iterations, MIN(primal) AS objective, MAX(dual) AS bound FROM {{ bounds }}
) WITH DATA;

CREATE TABLE {{ model }} (token VARCHAR(64), weight DOUBLE PRECISION);

INSERT INTO {{ model }}
SELECT token, CASE WHEN token = '(bias)' THEN weight * {{ bias }} ELSE weight END
FROM {{ weights }}
WHERE iteration = (SELECT MIN(iteration) FROM {{ bounds }} WHERE primal = (SELECT MIN(primal) FROM {{ bounds }}));
{% for table in [features|identifier, patterns, cells, inverse, weights, margins, bounds] %}
DROP TABLE {{ table }};
{% endfor %}

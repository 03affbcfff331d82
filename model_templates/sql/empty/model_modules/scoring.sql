-- Score: fills {{ data_conf.predictions_table }}, a row for each customer.
{% set predictions = data_conf.predictions_table|identifier %}
DROP TABLE {{ predictions }};

CREATE TABLE {{ predictions }} (customer INTEGER, renewed INTEGER);

INSERT INTO {{ predictions }}
SELECT c.customer, m.renewed
FROM {{ data_conf.data_table|identifier }} AS c
CROSS JOIN {{ model_table|identifier }} AS m;

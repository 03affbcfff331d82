DROP TABLE {{ model_table }};
CREATE TABLE {{ model_table }} AS SELECT AVG(x) AS mean FROM {{ data_conf.table }};

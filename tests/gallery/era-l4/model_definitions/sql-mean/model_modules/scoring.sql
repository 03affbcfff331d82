CREATE TABLE {{ data_conf.predictions_table }} AS SELECT x, mean FROM {{ data_conf.table }}, {{ model_table }};

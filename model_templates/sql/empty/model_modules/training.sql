-- Train: leaves {{ model_table }}, one row with the class that is more frequent, the smaller one of a tie.
DROP TABLE {{ model_table|identifier }};

CREATE TABLE {{ model_table|identifier }} (renewed INTEGER);

INSERT INTO {{ model_table|identifier }}
SELECT CASE WHEN SUM(renewed) * 2 > COUNT(*) THEN 1 ELSE 0 END
FROM {{ data_conf.data_table|identifier }};

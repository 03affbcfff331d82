-- Predict for every customer: fills {{ data_conf.predictions_table }}.
{% set features = model_table ~ "_SCORE" %}
{% set labelled = false %}
{% set predictions = data_conf.predictions_table %}
{% include "features.sql" %}
{% include "predictions.sql" %}
DROP TABLE {{ features|identifier }};

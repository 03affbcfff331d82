-- Measure on the customers that were held out: fills {{ data_conf.metrics_table }}.
{% set features = model_table ~ "_EVALUATE" %}
{% set labelled = true %}
{% set predictions = data_conf.predictions_table %}
{% set score = "log_churn - log_stay" %}
{% include "features.sql" %}
{% include "predictions.sql" %}
{% include "metrics.sql" %}
DROP TABLE {{ features|identifier }};

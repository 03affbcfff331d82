# Evaluate: measure the model on rows that training has not seen. What is returned are the metrics.

source("model_modules/scoring.R")

evaluate <- function(data_conf, model_conf, ...) {
  rows <- read.csv(data_conf$url)
  predicted <- score.restful(initialise_model(), rows)
  list(accuracy = mean(predicted == rows$renewed), rows = nrow(rows))
}

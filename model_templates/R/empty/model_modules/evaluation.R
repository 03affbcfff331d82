# Evaluate: measure the model on rows that training has not seen. What is returned are the metrics.

source("model_modules/common.R")

evaluate <- function(data_conf, model_conf, ...) {
  rows <- read.csv(data_conf$url)
  found <- predicted(readRDS("models/model.rds"), rows)
  list(accuracy = mean(found == rows$renewed), rows = nrow(rows))
}

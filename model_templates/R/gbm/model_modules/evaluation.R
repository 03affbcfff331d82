# Evaluate: measure the model on rows that training has not seen. What is returned are the metrics.

library(gbm)
source("model_modules/common.R")

evaluate <- function(data_conf, model_conf, ...) {
  rows <- read.csv(data_conf$url)
  found <- probabilities(readRDS("models/model.rds"), rows)
  likely <- ifelse(rows$renewed == 1, found, 1 - found)
  list(
    accuracy = mean((found > THRESHOLD) == rows$renewed),
    deviance = -2 * mean(log(likely)),
    rows = nrow(rows)
  )
}

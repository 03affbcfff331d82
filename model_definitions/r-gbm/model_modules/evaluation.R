# Evaluate: measure on rows that training never saw.

library(gbm)
source("model_modules/preprocess.R")

evaluate <- function(data_conf, model_conf, ...) {
  rows <- read_rows(data_conf)
  errors <- rows$Y - predicted(readRDS("models/model.rds"), rows)

  metrics <- list(
    rmse = sqrt(mean(errors^2)),
    mae = mean(abs(errors)),
    r2 = 1 - sum(errors^2) / sum((rows$Y - mean(rows$Y))^2),
    rows = nrow(rows)
  )
  jsonlite::write_json(metrics, "models/evaluation.json", auto_unbox = TRUE, digits = NA)
}

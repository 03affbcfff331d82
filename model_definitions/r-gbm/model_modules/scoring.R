# Score: a file of rows as a batch, or the rows of a request.

library(gbm)
source("model_modules/preprocess.R")

score.batch <- function(data_conf, model_conf, model_version, ...) {
  rows <- read_rows(data_conf)
  data.frame(row = seq_len(nrow(rows)), prediction = predicted(initialise_model(), rows))
}

# Loads what `score.restful` is given with every request.
initialise_model <- function() readRDS("models/model.rds")

score.restful <- function(model, data, ...) predicted(model, data)

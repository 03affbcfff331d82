# Score: predict for a file, or for the rows of a request.

library(gbm)
source("model_modules/common.R")

# What is returned becomes predictions.csv.
score.batch <- function(data_conf, model_conf, model_version, ...) {
  rows <- read.csv(data_conf$url)
  found <- score.restful(initialise_model(), rows)
  data.frame(customer = rows$customer, probability = found, renewed = as.integer(found > THRESHOLD))
}

# Loads what `score.restful` is given with every request.
initialise_model <- function() readRDS("models/model.rds")

score.restful <- function(model, data, ...) probabilities(model, data)

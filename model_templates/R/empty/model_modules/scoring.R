# Score: predict for a file, or for the rows of a request.

source("model_modules/common.R")

# What is returned becomes predictions.csv.
score.batch <- function(data_conf, model_conf, model_version, ...) {
  rows <- read.csv(data_conf$url)
  data.frame(customer = rows$customer, renewed = predicted(initialise_model(), rows))
}

# Loads what `score.restful` is given with every request.
initialise_model <- function() readRDS("models/model.rds")

score.restful <- function(model, data, ...) predicted(model, data)

source("../../../../model_definitions/r-sources-in-hiding/hidden.R")

train <- function(data_conf, model_conf, ...) writeLines(value, "models/model.txt")

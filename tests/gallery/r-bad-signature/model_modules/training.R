train <- function(data_conf, model_conf, colour) NULL

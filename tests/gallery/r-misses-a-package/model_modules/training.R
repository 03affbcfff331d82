train <- function(data_conf, model_conf, ...) NULL

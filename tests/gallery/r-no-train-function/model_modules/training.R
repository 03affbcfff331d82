train_it <- function(data_conf, model_conf) NULL

source("model_modules/features.R")

train <- function(data_conf, model_conf, ...) {
  message("training begins")
  lapply(list(1, "two"), ratio)
}

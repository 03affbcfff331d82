evaluate <- function(data_conf, model_conf, ...) {
  model <- readRDS("models/model.rds")
  list(mean = model$mean, draw = model$draw, more = c(low = 1L, high = NA), kind = factor("tiny"))
}

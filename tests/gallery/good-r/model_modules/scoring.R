initialise_model <- function() readRDS("models/model.rds")

score.restful <- function(model, data, ...) {
  data.frame(name = factor(data$name), more = data$x > model$mean, by = data$x - model$mean)
}

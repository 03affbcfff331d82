train <- function(data_conf, model_conf, ...) {
  aoa_create_context()
}

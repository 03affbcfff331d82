train <- function(data_conf, model_conf) {
  1 +* 2
}

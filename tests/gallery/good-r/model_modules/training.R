source("model_modules/helper.R")

train <- function(data_conf, model_conf, progress_callback_handler, ...) {
  hyper <- model_conf$hyperParameters
  for (tree in seq_len(hyper$n.trees)) {
    progress_callback_handler(iter = tree, iters = hyper$n.trees, score = 1 / tree)
  }
  while (!is.null(data_conf$wait_for) && !file.exists(data_conf$wait_for)) Sys.sleep(0.05)
  str(list(...))
  message("told to stderr: ü")
  saveRDS(list(mean = hyper$factor * mean_of(data_conf$data_path), draw = runif(1)), "models/model.rds")
  write(unlist(data_conf$names), "models/names.txt")
}

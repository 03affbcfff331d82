# Train: grow the trees, and keep as many as cross-validation found best.

library(gbm)
source("model_modules/preprocess.R")

FORMULA <- Y ~ X1 + X2 + X3 + X4 + X5 + X6

# What predictions need of a fit, and the error by number of trees; the data are not kept.
KEPT <- c("initF", "c.splits", "distribution", "var.names", "var.levels", "var.type", "num.classes",
  "response.name", "Terms", "train.error", "valid.error", "cv.error")

train <- function(data_conf, model_conf, progress_callback_handler, ...) {
  hyper <- model_conf$hyperParameters
  rows <- read_rows(data_conf)
  progress_callback_handler(iter = 0, iters = hyper$n.trees)

  fit <- gbm(
    FORMULA,
    distribution = "gaussian",
    data = cbind(Y = rows$Y, features(rows)),
    n.trees = hyper$n.trees,
    shrinkage = hyper$shrinkage,
    interaction.depth = hyper$interaction.depth,
    bag.fraction = hyper$bag.fraction,
    train.fraction = hyper$train.fraction,
    n.minobsinnode = hyper$n.minobsinnode,
    cv.folds = hyper$cv.folds,
    keep.data = FALSE,
    n.cores = 1 # in this process, so that the draws are the same each time
  )
  best <- gbm.perf(fit, method = "cv", plot.it = FALSE)
  rmse <- sqrt(fit$cv.error[best])
  progress_callback_handler(iter = hyper$n.trees, iters = hyper$n.trees, score = rmse)

  model <- structure(fit[KEPT], class = "gbm")
  model$n.trees <- best
  model$trees <- fit$trees[seq_len(best)]
  saveRDS(model, "models/model.rds")
  cat(sprintf("Kept %d of %d trees; cross-validated RMSE %.4f\n", best, hyper$n.trees, rmse))
}

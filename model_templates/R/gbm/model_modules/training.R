# Train: grow the trees, and keep as many as cross-validation found best.

library(gbm)
source("model_modules/common.R")

# What predictions need of a fit: the data are not kept.
KEPT <- c("initF", "trees", "c.splits", "distribution", "var.names", "var.levels", "var.type",
  "num.classes", "response.name", "Terms")

train <- function(data_conf, model_conf, ...) {
  hyper <- model_conf$hyperParameters
  rows <- read.csv(data_conf$url)
  fit <- gbm(
    reformulate(FEATURES, "renewed"),
    distribution = "bernoulli",
    data = rows,
    n.trees = hyper$n.trees,
    shrinkage = hyper$shrinkage,
    interaction.depth = hyper$interaction.depth,
    bag.fraction = hyper$bag.fraction,
    n.minobsinnode = hyper$n.minobsinnode,
    cv.folds = hyper$cv.folds,
    keep.data = FALSE,
    n.cores = 1 # in this process, so that the draws are the same each time
  )
  model <- structure(fit[KEPT], class = "gbm")
  model$n.trees <- gbm.perf(fit, method = "cv", plot.it = FALSE)
  saveRDS(model, "models/model.rds")
  cat("Kept", model$n.trees, "of", hyper$n.trees, "trees, grown on", nrow(rows), "rows\n")
}

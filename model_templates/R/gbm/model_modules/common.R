# What the steps have in common: the columns, and how a model predicts.

FEATURES <- c("age", "visits", "complaints", "spend")
THRESHOLD <- 0.5

# Returns how probable class 1 is for each row; the columns of a request may be text.
probabilities <- function(model, rows) {
  numbers <- data.frame(lapply(rows[FEATURES], function(x) as.numeric(as.character(x))))
  gbm::predict.gbm(model, numbers, n.trees = model$n.trees, type = "response")
}

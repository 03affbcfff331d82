# What training, evaluation and scoring have in common: the form of the data.

# The names of the categories are part of the model, so that a single row is understood too.
CATEGORIES <- list(
  X3 = c("low", "mid", "high", "peak"),
  X4 = c("amber", "black", "coral", "denim", "ebony", "frost"),
  X5 = c("north", "south", "west")
)
NUMBERS <- c("X1", "X2", "X6")

# Returns the features of rows that may be all text, as those of a request are: numbers and factors.
# A category that is not known counts as missing, which the trees have a branch for.
features <- function(rows) {
  numbers <- lapply(rows[NUMBERS], function(column) as.numeric(as.character(column)))
  factors <- Map(function(name, levels) factor(as.character(rows[[name]]), levels),
    names(CATEGORIES), CATEGORIES)
  data.frame(numbers, factors)
}

read_rows <- function(data_conf) read.csv(data_conf$url, na.strings = c("", "NA"))

# Returns the predictions of the number of trees that cross-validation found best.
predicted <- function(model, rows) {
  gbm::predict.gbm(model, features(rows), n.trees = model$n.trees)
}

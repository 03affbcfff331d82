# What the features are made of.
ratio <- function(value) {
  value / 2
}

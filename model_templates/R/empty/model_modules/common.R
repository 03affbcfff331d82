# What the steps have in common: how the model predicts. Here it is the same for all rows.

predicted <- function(model, rows) rep(model$renewed, nrow(rows))

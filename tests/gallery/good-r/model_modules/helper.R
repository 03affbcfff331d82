mean_of <- function(path) mean(read.csv(path)$x, na.rm = TRUE)

# Read for the names of the packages, never run.
library(gbm)

# Read for the names of the packages, never run.
if (!require(gbm)) install.packages("gbm")
if (!require(jsonlite)) install.packages("jsonlite")

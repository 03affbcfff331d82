if (!require(nothere)) install.packages("nothere")

value <- "hidden"

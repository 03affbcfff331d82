# The packages that the model needs: library(NAME) a line. It is read, never run. These steps need none.

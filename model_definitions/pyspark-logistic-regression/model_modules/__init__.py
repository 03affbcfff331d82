"""Handwritten zeros and ones in Spark: the steps are `training`, `evaluation` and `scoring`."""

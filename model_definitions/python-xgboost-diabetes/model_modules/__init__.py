"""Diabetes prediction: the steps are `training`, `evaluation` and `scoring`."""

"""The steps are `training`, `evaluation` and `scoring`."""

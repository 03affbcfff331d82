"""Gradient-boosted trees for the diabetes problem, from table to table inside a database."""

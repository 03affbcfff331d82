"""Sentiment analysis: the steps are `training`, `evaluation` and `scoring`."""

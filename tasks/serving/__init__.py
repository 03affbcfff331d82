"""Trained models behind HTTP: a gateway, and for each model workers in its own environment."""

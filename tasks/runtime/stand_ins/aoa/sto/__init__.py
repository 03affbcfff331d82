"""Models that run inside Teradata."""

"""Images that serve a model: what is in them, how they are made, and what was made."""

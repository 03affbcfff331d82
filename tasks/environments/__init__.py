"""The environment of a model: the interpreter it needs, the packages locked for it, both built."""

def dumps(value):
    return f"my own {value}"

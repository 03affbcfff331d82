def power(value):
    return value ** 2

MINE = "my own"

"""Redis: a cache that the program can do without."""

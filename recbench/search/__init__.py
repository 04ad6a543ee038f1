"""Searches for good options: a space, trials that are asked for and told of, and the file that remembers them."""

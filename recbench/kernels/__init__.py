"""Loops that numba compiles, on plain arrays: no model, no configuration; the package itself imports no numba."""

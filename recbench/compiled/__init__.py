"""Training loops compiled by numba, for what plain PyTorch cannot do fast; the package imports no numba itself."""

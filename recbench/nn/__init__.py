"""Plain functions and modules that models are made of."""

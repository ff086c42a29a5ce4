"""The NumPy runtime."""

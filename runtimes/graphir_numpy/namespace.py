"""`xp` for NumPy."""

from graphir_arrays.host import xp

__all__ = ["xp"]

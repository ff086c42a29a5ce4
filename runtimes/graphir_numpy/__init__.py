"""The NumPy runtime: the executor and kernels of graphir_arrays over NumPy."""

from graphir_arrays import ArrayRuntime

from .namespace import xp

runtime = ArrayRuntime("numpy", xp)

"""Kernels of graphir.ops.elementwise."""

from ..kernel import ufunc

add = ufunc("add")
sub = ufunc("subtract")
mul = ufunc("multiply")
exp = ufunc("exp")
tanh = ufunc("tanh")

"""Kernels, in files named as the families of graphir.ops; each kernel is named as its op."""

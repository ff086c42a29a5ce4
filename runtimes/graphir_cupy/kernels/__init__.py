"""Kernels that come before those of graphir_arrays, in files named as the families of graphir.ops."""

# Op -> why it has a kernel of its own.
OVERRIDES: dict[str, str] = {
    "Cast": "CUDA turns negative floats into 0 where the target is unsigned; NumPy wraps them around",
    "CastLike": "as Cast",
}

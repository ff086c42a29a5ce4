"""Resize: sampling a tensor at other places than its own."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf
from typing import Annotated, Any

from ..dims import Dim, unknown
from ..tensors import round_to_float32
from ..types import TensorType
from ._op import T1, Floats, Ints, RuleError, op
from ._types import CLASSIC, IEEE, axis_of, dtypes, known_dims

T2 = Annotated[Any, "T2"]


def scaled(size: Dim, scale: float) -> Dim:
    """floor(size * scale), multiplied in float32 as the standard's own inference has it."""
    if isinstance(size, int):
        return int(round_to_float32(round_to_float32(size) * round_to_float32(scale)) // 1)
    ratio = Fraction(scale)
    return size * ratio.numerator // ratio.denominator if ratio.denominator <= 1024 else unknown()


def kept_aspect(sizes: Sequence[int], wanted: Sequence[int], policy: str) -> tuple[list[int], list[float]]:
    """The sizes to make and the scales of axes that have `sizes` where `wanted` are asked for: not_larger and not_smaller scale all alike."""
    scales = [w / s for w, s in zip(wanted, sizes)]
    if policy == "stretch":
        return list(wanted), scales
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [int(scale * s + 0.5) for s in sizes], [scale] * len(scales)


@op("Resize", since=19, T1=CLASSIC | dtypes("bfloat16"), T2=IEEE)
def resize(
    x: T1, roi: T2 | None = None, scales: Floats | None = None, sizes: Ints | None = None, *, antialias: int = 0,
    axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0, extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> TensorType:  # fmt: skip
    """x sampled at places spread over it, along `axes` (all by default), with floor(size * scale) or `sizes` places on each.

    mode nearest takes the nearest number, linear and cubic weigh 2 or 4 on each axis; coordinate_transformation_mode says where place i lies in x.
    """
    if mode not in ("nearest", "linear", "cubic"):
        raise RuleError(f"mode is {mode!r}; expected nearest, linear or cubic")
    places = list(range(x.rank)) if axes is None else [axis_of(a, x.rank, "an axis") for a in axes]
    by_scale = sizes is None
    missing = scales is None or scales.shape == (0,)  # older exporters give no scales as an empty tensor
    if missing if by_scale else not missing and isinstance(scales.shape[0], int):
        raise RuleError(f"{'neither' if by_scale else 'both'} scales and sizes are given; expected one of them")
    given = known_dims(sizes) if scales is None or not by_scale else scales.known
    dims = list(x.shape)
    if given is not None and len(given) != len(places):
        raise RuleError(f"{'scales' if by_scale else 'sizes'} has {len(given)} numbers; expected {len(places)}, one for each axis")
    if given is not None and any(isinstance(g, int | float) and not 0 <= g < inf for g in given):
        raise RuleError(f"{'scales' if by_scale else 'sizes'} is {list(given)}; expected numbers above 0")
    if given is not None and not by_scale and keep_aspect_ratio_policy != "stretch":
        olds = [dims[a] for a in places]
        numbers = all(isinstance(d, int) for d in (*olds, *given)) and 0 not in olds
        given = kept_aspect(olds, given, keep_aspect_ratio_policy)[0] if numbers else None  # pyright: ignore[reportArgumentType]
    for i, axis in enumerate(places):
        dims[axis] = unknown() if given is None else scaled(dims[axis], given[i]) if by_scale else given[i]  # pyright: ignore[reportArgumentType]
    return TensorType(x.dtype, dims)

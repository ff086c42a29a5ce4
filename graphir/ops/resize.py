"""Resize: sampling a tensor at other places than its own."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf
from typing import Annotated, Any

from ..dims import Dim, unknown
from ..tensors import round_to_float32
from ..types import TensorType
from ._op import T1, Floats, Ints, RuleError, op
from ._types import CLASSIC, IEEE, axis_of, dtypes, known_dims, unknowns

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
    asked, dims = _asked(scales, sizes, len(places)), list(x.shape)
    olds = [dims[a] for a in places]
    if asked is None:
        news: Sequence[Dim] = unknowns(len(places))
    elif sizes is None:
        news = [scaled(d, s) for d, s in zip(olds, asked)]
    elif keep_aspect_ratio_policy == "stretch":
        news = asked
    else:
        numbers = all(isinstance(d, int) for d in (*olds, *asked)) and 0 not in olds
        news = kept_aspect(olds, asked, keep_aspect_ratio_policy)[0] if numbers else unknowns(len(places))  # pyright: ignore[reportArgumentType]
    for axis, new in zip(places, news):
        dims[axis] = new
    return TensorType(x.dtype, dims)


def _asked(scales: Any, sizes: Any, count: int) -> Sequence[Any] | None:
    """The scales or sizes, where they are known. Raises RuleError for neither or both, and for numbers that are too few, too many or no sizes."""
    if sizes is None:
        if scales is None or scales.shape == (0,):
            raise RuleError("neither scales nor sizes are given; expected one of them")
        found = scales.known
    else:  # older exporters give no scales as an empty tensor
        if scales is not None and isinstance(scales.shape[0], int) and scales.shape[0] > 0:
            raise RuleError("both scales and sizes are given; expected one of them")
        found = known_dims(sizes)
    if found is not None and (len(found) != count or any(isinstance(n, int | float) and not 0 <= n < inf for n in found)):
        raise RuleError(
            f"{'scales' if sizes is None else 'sizes'} is {list(found)}; expected {count} numbers, one for each axis, none below 0"
        )
    return found

"""Resize: sampling a tensor at other places than its own."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, unknown
from ..ir import Value
from ..tensors import round_to_float32
from ..types import TensorType
from ._constants import unit_matrix
from ._gradient import non_default, shaped_as
from ._layout import size_of, vector
from ._op import T1, Flag, Floats, Ints, RuleError, Vector, op
from ._types import CLASSIC, IEEE, axis_of, dtypes, expect_count, expect_vectors, known_dims, unknowns

T2 = Annotated[Any, "T2"]
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
POLICIES = ("stretch", "not_larger", "not_smaller")


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
    x: T1, roi: Vector[T2] | None = None, scales: Vector[Floats] | None = None, sizes: Vector[Ints] | None = None, *, antialias: Flag = 0,
    axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75,
    exclude_outside: Flag = 0, extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> TensorType:  # fmt: skip
    """x sampled at places spread over it, along `axes` (all by default), with floor(size * scale) or `sizes` places on each.

    mode nearest takes the nearest number, linear and cubic weigh 2 or 4 on each axis; coordinate_transformation_mode says where place i lies in x.
    """
    if mode not in ("nearest", "linear", "cubic"):
        raise RuleError(f"mode is {mode!r}; expected nearest, linear or cubic")
    expect_vectors(roi=roi, scales=scales, sizes=sizes)
    for name, choice, choices in (
        ("coordinate_transformation_mode", coordinate_transformation_mode, COORDINATES), ("nearest_mode", nearest_mode, ROUNDINGS),
        ("keep_aspect_ratio_policy", keep_aspect_ratio_policy, POLICIES),
    ):  # fmt: skip
        if choice not in choices:
            raise RuleError(f"{name} is {choice!r}; expected one of {', '.join(choices)}")
    places = list(range(x.rank)) if axes is None else [axis_of(a, x.rank, "an axis") for a in axes]
    if len(set(places)) < len(places):
        raise RuleError(f"axes are {places}; expected each once")
    if roi is not None and coordinate_transformation_mode == "tf_crop_and_resize" and roi.shape != (0,):  # an empty one is left out
        expect_count("roi", roi, 2 * len(places), ", a start and an end for each axis")
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


@resize.gradient
def resize_gradient(dy, y, x, roi, scales, sizes, *, axes, extrapolation_value, **how):
    places = list(range(x.rank)) if axes is None else [axis_of(a, x.rank, "an axis") for a in axes]
    how = non_default(resize, **how)
    if how.get("coordinate_transformation_mode") != "tf_crop_and_resize" or (roi is not None and roi.shape == (0,)):
        roi = None
    scales = scales if sizes is None else None
    for i, axis in enumerate(places):
        if _stays(x, y, axis, i, roi, scales, sizes, how):
            continue
        last = axis == x.rank - 1
        eye = unit_matrix(x, size_of(x, axis), x.dtype)  # resized, it says what each place counts in each place of the result
        if "keep_aspect_ratio_policy" in how:
            by = _resized_together(eye, x, places, i, roi, sizes, how)
            by = ops.shape.transpose(by) if last else by
        else:
            region = roi and ops.index.gather(roi, [i, i + len(places)])
            by = resize(eye, region, _one_of(scales, i), _one_of(sizes, i), axes=(0 if last else 1,), **how)
        dy = _weighed_back(dy, by, axis)
    return shaped_as(dy, x), None, None, None


def _one_of(numbers: Value | None, i: int) -> Any:
    """The i-th of the scales or the sizes."""
    known = None if numbers is None else numbers.known
    if known is not None and isinstance(known[i], int | float):
        return [known[i]]
    return numbers and ops.index.gather(numbers, [i])


def _stays(
    x: Value, y: Value, axis: int, i: int, roi: Value | None, scales: Value | None, sizes: Value | None, how: dict[str, Any]
) -> bool:  # fmt: skip
    """Whether an axis surely comes out as it went in."""
    if roi is not None and (roi.known is None or (roi.known[i], roi.known[i + len(roi.known) // 2]) != (0, 1)):
        return False
    if scales is not None:
        return scales.known is not None and scales.known[i] == 1
    return "keep_aspect_ratio_policy" not in how and x.shape[axis] == y.shape[axis]


def _resized_together(eye: Any, x: Value, places: Sequence[int], i: int, roi: Value | None, sizes: Any, how: dict[str, Any]) -> Value:
    """The unit matrix, resized where the sizes of all axes decide on one scale: it is repeated along the others, of which one place is then kept."""
    count = len(places)
    if roi is not None:  # along the others all is of interest, so that the place that is kept is not outside
        own = [n % count == i for n in range(2 * count)]
        roi = ops.elementwise.where(np.array(own), roi, np.repeat([0.0, 1.0], count).astype(roi.dtype))
    first = 2 if how.get("mode") == "cubic" else 1  # ONNX Runtime weighs 4 x 4 neighbours only along the last of 4 axes
    resized = range(first, first + len(places))
    others = [*range(first - 1), *(j for j in resized if j != first + i)]
    together = ops.shape.unsqueeze(eye, others) if others else eye
    if others:
        together = ops.shape.expand(together, vector([1] * first + [size_of(x, axis) for axis in places]))
    made = resize(together, roi, None, sizes, axes=tuple(resized), **how)
    for j in reversed(others):
        made = ops.index.gather(made, 0, axis=j)
    return made


def _weighed_back(dy: Value, by: Value, axis: int) -> Value:
    """dy, each of whose places along an axis gives to those that `by` weighs: (new, old) for the last axis, else (old, new)."""
    if axis == dy.rank - 1:
        return ops.math.matmul(dy, by)
    if axis == dy.rank - 2:
        return ops.math.matmul(by, dy)
    order = list(range(dy.rank))
    order[axis], order[-2] = order[-2], order[axis]
    return ops.shape.transpose(ops.math.matmul(by, ops.shape.transpose(dy, perm=tuple(order))), perm=tuple(order))


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
    name, numbers = ("scales", scales) if sizes is None else ("sizes", sizes)
    expect_count(name, numbers, count, ", one for each axis")
    if found is not None and any(isinstance(n, int | float) and not 0 <= n < inf for n in found):
        raise RuleError(f"{name} is {list(found)}; expected finite numbers, none below 0")
    return found

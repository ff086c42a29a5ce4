"""Version steps of Resize, and of Upsample, which it followed."""

from typing import Any

import numpy as np

from ...ir import Node, Value
from .rewriting import (
    CannotSay,
    constant,
    contents,
    dims_of,
    down,
    given,
    input_of,
    ints,
    make,
    rank_of,
    replace_operator,
    required,
    scalar,
    set_inputs,
    take,
    up,
)

# ---- Upsample -----------------------------------------------------------------------------------------------------------------------------------


@up(7, "Upsample")
def scales_of_all_axes(node: Node) -> None:
    """The scales of height and width became a list."""
    node.attributes["scales"] = (1.0, 1.0, required(node, "height_scale", float), required(node, "width_scale", float))
    if node.attributes.get("mode") == "bilinear":
        node.attributes["mode"] = "linear"


@down(7, "Upsample")
def scales_of_images(node: Node) -> None:
    """Only the height and width of images could be scaled."""
    scales = take(node, "scales")
    if len(scales) != 4 or scales[:2] != (1.0, 1.0):
        raise CannotSay(f"its scales are {list(scales)}; the older form scales the last two of four axes")
    node.attributes.update(height_scale=scales[2], width_scale=scales[3])
    if node.attributes.get("mode") == "linear":
        node.attributes["mode"] = "bilinear"


@up(9, "Upsample")
def scales_as_input(node: Node) -> None:
    """The attribute scales became an input."""
    x, scales = node.inputs[0], required(node, "scales", float, many=True)
    assert x is not None
    set_inputs(node, x, _floats(x, scales))


@down(9, "Upsample")
def scales_as_attribute(node: Node) -> None:
    """The scales must be constant."""
    scales = constant(node, 1, "scales")
    assert scales is not None
    node.attributes["scales"] = tuple(float(s) for s in scales)
    set_inputs(node, node.inputs[0])


@up(10, "Upsample")
def resize(node: Node) -> None:
    """It goes on as Resize.

    That no scale is below 1 says how Resize rounds, whose next step would have to find out."""
    replace_operator(node, "Resize")
    node.attributes["nearest_mode"] = "floor"


@down(10, "Resize")
def upsample(node: Node) -> None:
    """It goes on as Upsample, whose scales are at least 1."""
    scales = constant(node, 1, "scales")
    if scales is None or (scales < 1).any():
        raise CannotSay("it makes its input smaller, which is new")
    replace_operator(node, "Upsample")


# ---- Resize -------------------------------------------------------------------------------------------------------------------------------------


@up(11, "Resize")
def coordinates(node: Node) -> tuple[Value, ...] | None:
    """Version 10 took x / scale, and for the nearest element rounded down where the scale was at least 1, up where it was less."""
    x, scales = node.inputs[0], input_of(node, 1)
    assert x is not None and scales is not None
    node.attributes["coordinate_transformation_mode"] = "asymmetric"
    rounding = node.attributes.pop("nearest_mode", None)
    if given(node, "mode", "nearest") != "nearest":
        set_inputs(node, x, None, scales)
        return None
    found = contents(scales)
    if rounding is None and found is not None:
        rounding = "floor" if (found >= 1).all() else "ceil" if (found <= 1).all() else None
    if rounding is not None:
        node.attributes["nearest_mode"] = rounding
        set_inputs(node, x, None, scales)
        return None
    one = scalar(x.graph, 1.0)
    larger = make("Resize", x, None, make("Max", scales, one), **node.attributes, nearest_mode="floor")
    return (make("Resize", larger, None, make("Min", scales, one), **node.attributes, nearest_mode="ceil"),)


@down(11, "Resize")
def fixed_coordinates(node: Node) -> None:
    """Asymmetric coordinates, constant scales, the modes nearest and linear; what is nearest is below where it grows, above where it shrinks."""
    sizes, scales = constant(node, 3, "sizes"), constant(node, 2, "scales")
    if scales is None or not scales.size or (sizes is not None and sizes.size):
        raise CannotSay("it is told the sizes of its result, which is new")
    mode, where = given(node, "mode", "nearest"), take(node, "coordinate_transformation_mode", "half_pixel")
    rounding = take(node, "nearest_mode", "round_prefer_floor")
    if where != "asymmetric":
        raise CannotSay(f"coordinate_transformation_mode is {where}; the older form knows asymmetric")
    if mode not in ("nearest", "linear"):
        raise CannotSay(f"the mode {mode} is new")
    if mode == "nearest" and rounding != ("floor" if (scales >= 1).all() else "ceil" if (scales <= 1).all() else None):
        raise CannotSay(f"nearest_mode is {rounding}; the older form rounds down where it makes larger, up where it makes smaller")
    if given(node, "exclude_outside", 0):
        raise CannotSay("exclude_outside is new")
    for name in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        node.attributes.pop(name, None)
    set_inputs(node, node.inputs[0], node.inputs[2])


@up(13, "Resize")
def leave_out_what_is_empty(node: Node) -> None:
    """What is not given was an empty tensor."""
    inputs = [None if i in (1, 2) and (c := contents(v)) is not None and not c.size else v for i, v in enumerate(node.inputs)]
    set_inputs(node, *inputs)


@down(13, "Resize")
def give_what_is_empty(node: Node) -> None:
    """The inverse of `leave_out_what_is_empty`."""
    x, roi, scales, sizes = (input_of(node, i) for i in range(4))
    assert x is not None
    set_inputs(node, x, *(_floats(x, (), name) if v is None else v for v, name in ((roi, "roi"), (scales, "scales"))), sizes)


@down(18, "Resize")
def scales_of_every_axis(node: Node) -> None:
    """Where axes are told, the scales must be constant, or all sizes known; not with a region of interest."""
    axes = take(node, "axes")
    if axes is None:
        return
    x, roi = node.inputs[0], input_of(node, 1)
    rank, dims = rank_of(x, "the input"), dims_of(x)
    assert x is not None and dims is not None
    if roi is not None and given(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise CannotSay("its axes are told (axes), which is new, and with a region of interest")
    found, wanted = constant(node, 2, "scales"), constant(node, 3, "sizes")
    every = np.ones(rank, np.float32)
    if found is not None:
        every[list(axes)] = found
        set_inputs(node, x, None, _floats(x, every))
    elif wanted is not None:
        whole = list(dims)
        for i, n in zip(axes, wanted):
            whole[i] = int(n)
        if not all(isinstance(d, int) for d in whole):
            raise CannotSay("its axes are told (axes), which is new, and the sizes of the others are unknown")
        set_inputs(node, x, None, None, ints(x.graph, whole))


@down(19, "Resize")
def no_symmetric_coordinates(node: Node) -> None:
    """Without the coordinates half_pixel_symmetric."""
    if given(node, "coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric":
        raise CannotSay("the coordinate_transformation_mode half_pixel_symmetric is new")


def _floats(x: Value, numbers: Any, name: str = "scales") -> Value:
    return x.graph.root.weight(x.graph.fresh(name), np.array(numbers, np.float32))

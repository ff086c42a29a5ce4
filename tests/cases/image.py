"""Rows of graphir.ops.image."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from cases import case

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def file(format: str, image: Image.Image | None = None) -> np.ndarray:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, format)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def gives(pixels) -> Callable:
    return lambda x: np.asarray(pixels, np.uint8)


GRAY = np.asarray(Image.fromarray(PIXELS).convert("L"))
ALPHA = Image.fromarray(np.concatenate([PIXELS, PIXELS[:, :, :1]], axis=2))
DEEP = Image.fromarray((np.arange(35, dtype="uint16") * 1800).reshape(5, 7))

CASES = {
    "ImageDecoder": [
        *(case(file(f)) for f in ("PNG", "BMP", "TIFF", "PPM")),
        *(case(file(f)) for f in ("JPEG", "WEBP", "JPEG2000")),
        case(file("PNG"), pixel_format="BGR"),
        case(file("PNG"), pixel_format="Grayscale"),
        case(file("PNG", Image.fromarray(GRAY)), referee=gives(np.repeat(GRAY[:, :, None], 3, axis=2))),
        case(file("PNG", ALPHA), referee=gives(PIXELS)),
        case(file("PNG", DEEP), pixel_format="Grayscale", referee=gives(np.asarray(DEEP)[:, :, None] >> 8)),
        case(file("PNG", Image.fromarray(PIXELS).quantize(4)), referee=gives(Image.fromarray(PIXELS).quantize(4).convert("RGB"))),
        case(file("PNG")[:60], referee=gives(np.empty((0, 0, 3)))),
        case(file("GIF"), referee=gives(np.empty((0, 0, 3)))),
        case(np.empty(0, np.uint8), pixel_format="Grayscale", referee=gives(np.empty((0, 0, 1)))),
    ]
}

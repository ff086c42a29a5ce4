"""Kernels of graphir.ops.image, by Pillow."""

import io
import threading
import warnings
from typing import Any

import numpy as np

from graphir.ops.image import CHANNELS

from ..kernel import Site, extra, prepared
from ..limits import LimitError

FORMATS = ("BMP", "JPEG", "JPEG2000", "TIFF", "PNG", "WEBP", "PPM")  # those that the standard names: each reader less is a door less
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # how Pillow names grayscale files of 16 bits
_WARNINGS = threading.Lock()  # what is ignored is ignored by all threads, and put back as it was found


@prepared
def image_decoder(site: Site):
    library = extra("PIL.Image", "ImageDecoder", "pillow")
    xp, pixel_format = site.xp, site.attributes["pixel_format"]
    channels = CHANNELS[pixel_format]

    def run(encoded_stream):
        pixels = _decoded(library, xp.to_numpy(encoded_stream).tobytes(), "L" if channels == 1 else "RGB", site)
        if pixels is None:
            return xp.zeros((0, 0, channels), dtype="uint8")
        pixels = xp.asarray(pixels).reshape(*pixels.shape[:2], channels)
        return xp.ascontiguousarray(pixels[:, :, ::-1]) if pixel_format == "BGR" else pixels

    return run


def _decoded(library: Any, data: bytes, mode: str, site: Site) -> Any:
    """The pixels of an image file; None where it cannot be read. The size that its header tells is checked before anything is decoded."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images, which the limit is for, and of odd files
        try:
            with library.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                site.budget.room(width * height * max(len(image.getbands()), len(mode)))
                if image.mode in SIXTEEN_BITS:
                    image = library.fromarray((np.asarray(image) >> 8).astype("uint8"))
                return np.array(image if image.mode == mode else image.convert(mode))
        except library.DecompressionBombError as e:
            raise ValueError(f"the image is too large for Pillow; raise PIL.Image.MAX_IMAGE_PIXELS if that is meant: {e}") from None
        except (LimitError, MemoryError):
            raise
        except Exception:  # whatever a reader stumbles over in a damaged file: the standard wants an empty image
            return None

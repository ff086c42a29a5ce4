"""Images in files."""

from ..dims import unknown
from ..dtypes import UINT8
from ..types import TensorType
from ._gradient import declare_none
from ._op import RuleError, op
from ._signature import T1
from ._types import dtypes

CHANNELS = {"RGB": 3, "BGR": 3, "Grayscale": 1}


@op("ImageDecoder", since=20, T1=dtypes("uint8"))
def image_decoder(encoded_stream: T1, *, pixel_format: str = "RGB") -> TensorType:
    """The pixels of an image file (BMP, JPEG, JPEG 2000, TIFF, PNG, WebP, PNM), as [height, width, channels]; [0, 0, channels] where it is none of these.

    Of a file with several images it is the first; an alpha channel is dropped, and of 16 bits the higher 8 count.
    """
    if pixel_format not in CHANNELS:
        raise RuleError(f"pixel_format is {pixel_format!r}; expected one of {', '.join(CHANNELS)}")
    if encoded_stream.rank != 1:
        raise RuleError(f"encoded_stream has shape {list(encoded_stream.shape)}; expected the bytes of a file, along one axis")
    return TensorType(UINT8, (unknown(), unknown(), CHANNELS[pixel_format]))


declare_none(image_decoder)

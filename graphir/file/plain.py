"""JSON as messages use it: plain values with bytes, exact floats and bounded numbers, there and back.

A number with a point or an exponent is a float, any other an integer of 64 bits. What JSON lacks is an object with one key:
{"bytes": base64}, {"float": "nan" | "inf" | "-inf" | the 16 hexadecimal digits of another NaN}, and {"object": {...}} around one that looks like these.
"""

import base64
import binascii
import json
import math
import re
import struct
from typing import Any

from ..plugins import FormatError

TAGS = ("bytes", "float", "object")
DEPTH = 100  # of lists and objects within each other, in what is carried
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_NAN = struct.pack(">d", math.nan)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Block(dict):
    """An object of which each entry gets a line of its own."""


class Lines(list):
    """A list of which each entry gets a line of its own."""


def write(x: Any, indent: str = "") -> str:
    """The text of a tree of Blocks, Lines, and what `encode` gives. The same tree gives the same text."""
    if isinstance(x, Block | Lines) and x:
        inner = indent + " "
        parts = [f"{_text(k)}: {write(v, inner)}" for k, v in x.items()] if isinstance(x, Block) else [write(v, inner) for v in x]
        first, last = "{}" if isinstance(x, Block) else "[]"
        return f"{first}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{last}"
    return _text(x)


def _text(x: Any) -> str:
    """A value on one line. Halves of surrogate pairs, which are no UTF-8, are escaped."""
    return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", _line(x))


_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def read(data: bytes) -> Any:
    """The value that a JSON text holds. Raises FormatError where it is none, gives a key twice, or holds a number that does not fit."""
    try:
        return json.loads(str(data, "utf-8"), object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except UnicodeDecodeError as e:
        raise FormatError(f"the JSON text is not UTF-8 at byte {e.start}") from None
    except json.JSONDecodeError as e:
        raise FormatError(f"the JSON text is broken: {e}") from None
    except RecursionError:
        raise FormatError("the JSON text is nested too deep") from None


def encode(x: Any, depth: int = DEPTH) -> Any:
    """A plain value as JSON has it. Raises FormatError for what has no such form."""
    if depth == 0:
        raise FormatError(f"values are nested deeper than {DEPTH}")
    if x is None or isinstance(x, str | bool):
        return x
    if isinstance(x, int):
        if not -(2**63) <= x < 2**64:
            raise FormatError(f"the integer {x} does not fit 64 bits")
        return x
    if isinstance(x, float):
        return x if math.isfinite(x) else {"float": _special(x)}
    if isinstance(x, bytes):
        return {"bytes": base64.b64encode(x).decode()}
    if isinstance(x, list | tuple):
        return [encode(y, depth - 1) for y in x]
    if isinstance(x, dict) and all(isinstance(k, str) for k in x):
        inner = {k: encode(y, depth - 1) for k, y in x.items()}
        return {"object": inner} if len(x) == 1 and next(iter(x)) in TAGS else inner
    raise FormatError(f"a value of type {type(x).__name__} cannot be written; expected text, numbers, bytes, lists and dicts of them")


def decode(x: Any, depth: int = 2 * DEPTH) -> Any:
    """What `encode` was given. Raises FormatError where a tag holds what it should not."""
    if depth == 0:
        raise FormatError(f"values are nested deeper than {DEPTH}")
    if isinstance(x, list):
        return [decode(y, depth - 1) for y in x]
    if not isinstance(x, dict):
        return x
    if len(x) == 1:
        ((tag, inner),) = x.items()
        if tag == "bytes":
            return _bytes(inner)
        if tag == "float":
            return _exact_float(inner)
        if tag == "object":
            if not isinstance(inner, dict):
                raise FormatError(f"an object was expected in {{'object': ...}}, not {inner!r:.80}")
            x = inner
    return {k: decode(y, depth - 1) for k, y in x.items()}


def _special(x: float) -> str:
    bits = struct.pack(">d", x)
    return ("-inf" if x < 0 else "inf") if math.isinf(x) else "nan" if bits == _NAN else bits.hex()


def _exact_float(text: Any) -> float:
    if text in _SPECIAL:
        return _SPECIAL[text]
    if isinstance(text, str) and re.fullmatch("[0-9a-f]{16}", text):
        x = struct.unpack(">d", bytes.fromhex(text))[0]
        if math.isnan(x):
            return x
    raise FormatError(f"{text!r:.80} is no special float; expected nan, inf, -inf, or the 16 hexadecimal digits of a NaN")


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise FormatError(f"{text!r:.80} is no base64") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise FormatError(f"the key {twice!r:.80} is given twice")
    return found


def _integer(text: str) -> int:
    x = int(text) if len(text) <= 20 else 2**64
    if not -(2**63) <= x < 2**64:
        raise FormatError(f"the integer {text:.40} does not fit 64 bits")
    return x


def _float(text: str) -> float:
    x = float(text)
    if math.isinf(x):
        raise FormatError(f"the number {text:.40} does not fit a float")
    return x


def _constant(text: str) -> float:
    raise FormatError(f"{text} is no JSON; expected an object such as {{'float': 'nan'}}")

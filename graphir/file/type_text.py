"""Types as text, there and back: `str(type)` with unknown dims numbered anew, in the order of their appearance in one message."""

import re
from collections.abc import Iterator

from ..dim_text import parse
from ..dims import LONGEST, Dim, Expr, Symbol, atoms, relabel, symbol, symbols
from ..dtypes import DTYPES
from ..plugins import FormatError
from ..types import MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType, TensorType, Type, map_dims

DEPTH = 32  # of types within types

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rf'{_QUOTED}|[\[\](),]|[^"\[\](),]+|"')
_FORM = re.compile(r"(\w+)(\[.*\]|\(.*\))", re.DOTALL)
_OPAQUE = re.compile(rf"\(({_QUOTED}|[\w.]+):({_QUOTED}|[\w.]+)\)")


class TypeWriter:
    """Writes the types of one message."""

    def __init__(self) -> None:
        self._numbers: dict[int, Dim] = {}

    def text(self, type_: Type) -> str:
        """The text of a type. Raises FormatError for one that could not be read again."""
        if isinstance(type_, TensorType):
            type_ = TensorType(type_.dtype, type_.shape)  # contents are no part of the text, and must not use up numbers
        text = str(map_dims(type_, self._numbered))
        if "(" in text or len(text) > LONGEST:
            TypeReader().read(text)
        return text

    def _numbered(self, dim: Dim) -> Dim:
        for atom in atoms(dim):
            if isinstance(atom.name, int) and atom.name not in self._numbers:
                self._numbers[atom.name] = Expr((((Symbol(len(self._numbers)),), 1),))
        return relabel(dim, self._numbers)


class TypeReader:
    """Reads the types of one message: an unknown dim such as `?3` is one and the same in all of them."""

    def __init__(self) -> None:
        self._unknowns: dict[int, Dim] = {}
        self._types: dict[str, Type] = {}

    def read(self, text: str) -> Type:
        """The type that prints as `text`. Raises FormatError where none does."""
        found = self._types.get(text)
        if found is None:
            found = self._types[text] = self._read(text, DEPTH)
        return found

    def _read(self, text: str, depth: int) -> Type:
        form = _FORM.fullmatch(text)
        if form is None or depth == 0:
            raise FormatError(f"{text[:80]!r} is no type; expected one such as float32[N, 64]")
        name, parts = form[1], list(_split(form[2][1:-1]))
        if form[2][0] == "[":
            if name not in DTYPES:
                raise FormatError(f"{name[:80]!r} is no element type; expected one of {', '.join(DTYPES)}")
            shape = None if parts == ["..."] else tuple([self._dim(p) for p in parts])
            try:
                return TensorType(name, shape)
            except ValueError as e:
                raise FormatError(f"{text[:80]!r} is no type: {e}") from None
        if name in ("sequence", "optional") and len(parts) == 1:
            return (SequenceType if name == "sequence" else OptionalType)(self._part(parts[0], depth))
        if name == "map" and len(parts) == 2 and parts[0] in DTYPES:
            return MapType(parts[0], self._part(parts[1], depth))
        if name == "sparse" and len(parts) == 1:
            inner = self._read(parts[0], depth - 1)
            if isinstance(inner, TensorType):
                return SparseTensorType(inner.dtype, inner.shape)
        if name == "opaque" and (names := _OPAQUE.fullmatch(form[2])):
            return OpaqueType(*(next(iter(symbols(parse(n)))) for n in names.groups()))
        raise FormatError(f"{text[:80]!r} is no type; expected one such as sequence(float32[N])")

    def _part(self, text: str, depth: int) -> Type | None:
        return None if text == "?" else self._read(text, depth - 1)

    def _dim(self, text: str) -> Dim:
        if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text):
            return int(text)
        dim = parse(text, self._unknowns)
        if dim == symbol(text) and str(dim) != text:  # no expression prints so, and it was taken for a name
            raise FormatError(f"{text[:80]!r} is no dim; expected a number, a name, an expression of them, or an unknown such as ?0")
        return dim


def _split(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no brackets and no quotes."""
    part, depth = "", 0
    for token in _TOKEN.findall(text):
        depth += (token in "([") - (token in ")]")
        if token == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += token
    if text:
        yield part.strip()

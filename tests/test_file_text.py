"""Types and plain values as the message has them: there and back, to the bit."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphir.file import plain
from graphir.file.type_text import TypeReader, TypeWriter
from graphir.plugins import FormatError
from graphir.types import TensorType
from samples import NAN

TYPES = [
    "float32[N, 64]", "bool[]", "string[...]", "int4[0, 1]", "float64[2*N + 1, \"a b\", max(2, N), (N + 1)//2]", 'int8["?0", "5", "", "a\\"]", ","]',
    "sequence(float32[N])", "sequence(?)", "optional(sequence(map(int64, string[])))", "map(string, ?)", "sparse(float32[...])", "sparse(float32[3, N])",
    "opaque(a.b:c)", 'opaque("":"x, (y")', "float32[?0, ?0 + 2*?1]", "sequence(float32[?0])",
]  # fmt: skip


@pytest.mark.parametrize("text", TYPES)
def test_types_as_text(text):
    type_ = TypeReader().read(text)
    assert TypeWriter().text(type_) == text


@pytest.mark.parametrize(
    "text",
    ["", "float32", "float31[3]", "float32[3", "float32[3]]", "float32[N+1]", "float32[ ?]", "float32[1.5]", "float32[-1]", "float32[,]", "float32[(a + b)*(c + d)]",
     "sequence()", "sequence(float32[], bool[])", "map(int64)", "map(x, bool[])", "sparse(sequence(?))", "opaque(a)", "opaque(a:b:c)", "list(bool[])",
     "float32[" + "(" * 5000 + "]", "sequence(" * 100 + "?" + ")" * 100, "float32[" + "*".join(["N"] * 5000) + "]", 'int8["N"]'],
)  # fmt: skip
def test_what_is_no_type(text):
    with pytest.raises(FormatError):
        TypeReader().read(text)


def test_unknown_dims_are_one_in_one_message():
    reader = TypeReader()
    a, b, c = (reader.read(t) for t in ("float32[?0, ?1]", "int8[?0]", "int8[?1]"))
    assert isinstance(a, TensorType) and isinstance(b, TensorType) and a.shape and b.shape
    assert a.shape[0] == b.shape[0] != a.shape[1]
    assert TypeReader().read("int8[?0]") != b != c


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters()) | st.binary() | st.just(NAN),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(plain.TAGS), inner, max_size=3),
    max_leaves=20,
)


@settings(deadline=None, derandomize=True)
@given(JSON)
def test_plain_values_there_and_back(x):
    """Types and bits too: True is not 1, 1 is not 1.0, 0.0 is not -0.0."""
    found = plain.decode(plain.read(plain.write(plain.encode(x)).encode()))
    assert exact(found) == exact(x)


def exact(x):
    if isinstance(x, dict):
        return [(k, exact(v)) for k, v in x.items()]
    return [exact(v) for v in x] if isinstance(x, list) else (type(x), struct.pack(">d", x) if isinstance(x, float) else x)

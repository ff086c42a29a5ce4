"""Strings and images that are made to use up time or memory, and what to say where a package is missing."""

import importlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from cases.image import file
from graphir import Graph, Model, TensorType, ops
from graphir.plugins import Limits
from graphir_arrays.limits import LimitError

STRINGS = TensorType("string", ("N",))


def compiled(type_: TensorType, build: Callable[[Any], Any], memory: int | None = None) -> Any:
    graph = Graph("g")
    made = build(graph.input("x", type_))
    graph.output(made[0] if isinstance(made, tuple) else made, "y")
    return graphir.compile(Model(graph), limits=Limits(memory=memory))


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def bomb(width: int, height: int) -> np.ndarray:
    """A PNG of few bytes that says it is large."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return np.frombuffer(b"\x89PNG\r\n\x1a\n" + b"".join(parts), np.uint8)


def test_an_image_that_says_it_is_too_large_is_not_decoded() -> None:
    program = compiled(TensorType("uint8", ("N",)), ops.image.image_decoder, memory=10_000_000)
    with pytest.raises(LimitError, match=r"node 'y' \(ImageDecoder\) makes 12,000,000 bytes, and the limit is 10,000,000"):
        program.run({"x": bomb(4_000, 1_000)})


@pytest.mark.parametrize("size", [20_000, 2**31 - 1])
def test_pillow_has_a_limit_of_its_own(size: int) -> None:
    with pytest.raises(
        ValueError, match=r"node 'y' \(ImageDecoder\): the image is too large for Pillow; raise PIL\.Image\.MAX_IMAGE_PIXELS"
    ):
        compiled(TensorType("uint8", ("N",)), ops.image.image_decoder).run({"x": bomb(size, size)})


def test_an_image_within_the_limit_is_decoded() -> None:
    program = compiled(TensorType("uint8", ("N",)), ops.image.image_decoder, memory=5 * 7 * 3)
    assert program.run({"x": file("PNG")})["y"].shape == (5, 7, 3)


def doubled(x: Any) -> Any:
    for _ in range(40):
        x = ops.string.string_concat(x, x)
    return x


@pytest.mark.parametrize(
    ("build", "x"),
    [
        (doubled, ["ab"]),  # 2 ** 41 letters
        (lambda x: ops.string.string_split(x, delimiter=","), ["," * 3_000, *[""] * 3_000]),  # all are filled up to the longest
    ],
)
def test_strings_do_not_grow_beyond_the_limit(build: Any, x: list[str]) -> None:
    with pytest.raises(LimitError, match="the limit is 1,000,000"):
        compiled(STRINGS, build, memory=1_000_000).run({"x": np.array(x, object)})


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|aa)+", "(a|a)*b", "(.*a){20}", "(a?){50}a{50}"])
def test_no_pattern_takes_long(pattern: str) -> None:
    program = compiled(STRINGS, lambda x: ops.string.regex_full_match(x, pattern=pattern))
    start = time.process_time()
    assert program.run({"x": np.array(["a" * 5_000 + "!"], object)})["y"].tolist() == [False]
    assert time.process_time() - start < 2


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)b", "(?<!a)b", "a(", "((a{1000}){1000}){1000}", "[z-a]"])
def test_patterns_that_re2_refuses_are_refused(pattern: str) -> None:
    program = compiled(STRINGS, lambda x: ops.string.regex_full_match(x, pattern=pattern))
    with pytest.raises(ValueError, match=r"node 'y' \(RegexFullMatch\): the pattern .* is not in the syntax of RE2"):
        program.run({"x": np.array(["a"], object)})


def test_what_is_no_string_is_an_error() -> None:
    with pytest.raises(ValueError, match="nan stands in a tensor of strings"):
        compiled(STRINGS, lambda x: ops.string.string_split(x)).run({"x": np.array(["a", float("nan")], object)})


@pytest.mark.parametrize(
    ("module", "package", "build", "type_"),
    [
        ("re2", "google-re2", lambda x: ops.string.regex_full_match(x, pattern="a"), STRINGS),
        ("PIL.Image", "pillow", ops.image.image_decoder, TensorType("uint8", ("N",))),
    ],
)
def test_a_missing_package_is_named(module: str, package: str, build: Any, type_: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.import_module

    def without(name: str, parent: str | None = None) -> Any:
        if name == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, parent)

    monkeypatch.setattr(importlib, "import_module", without)
    x = np.array(["a"], object) if module == "re2" else np.zeros(3, np.uint8)
    with pytest.raises(ValueError, match=f"needs the package {package}; pip install {package}"):
        compiled(type_, build).run({"x": x})

"""The standard's own test suite on CuPy's runtime, over a stand-in that refuses what CuPy refuses; and over CuPy itself where there is a GPU."""

import unittest
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphir_cupy
import strict
from graphir_onnx.backend import Backend
from test_backend import cases, check_nothing_else_is_left_out, folder
from test_cupy_kernels import gpu

__all__ = ["folder"]  # the runner's, here too


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A GPU does not tell of floating-point errors."""
    with np.errstate(all="ignore"):
        yield


class OnStandIn(Backend):
    """Runs models on the stand-in."""

    runtime: Any = graphir_cupy.CupyRuntime(strict.libraries)


class OnGpu(Backend):
    """Runs models on a GPU."""

    runtime: Any = graphir_cupy.runtime


def test_nothing_else_is_left_out() -> None:
    check_nothing_else_is_left_out(CLASSES)


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    gpu()
    found = unittest.TestResult()
    for case in cases(OnGpu, __name__).values():
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(found)
    assert not [f"{case}: {text}" for case, text in (*found.failures, *found.errors)]


CLASSES = cases(OnStandIn, __name__)
globals().update(CLASSES)

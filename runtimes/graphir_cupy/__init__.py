"""The CuPy runtime: the executor and kernels of graphir_arrays on an NVIDIA GPU. Importing it does not import CuPy."""

from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any

from graphir.model import Model
from graphir_arrays import Budget, Limits, Program

REMEDY = "pip install cupy-cuda12x or cupy-cuda13x, whichever CUDA the driver has (nvidia-smi tells)"
OUTPUTS = ("host", "device")


def _installed() -> tuple[ModuleType, ModuleType]:
    import cupy  # pyright: ignore[reportMissingImports]
    import cupyx  # pyright: ignore[reportMissingImports]
    import cupyx.scipy.special  # pyright: ignore[reportMissingImports]

    return cupy, cupyx


class CupyRuntime:
    """Compiles models for a GPU. libraries: gives the modules cupy and cupyx when they are first needed."""

    name = "cupy"
    overrides = "graphir_cupy.kernels"
    maps_devices = True

    def __init__(self, libraries: Callable[[], tuple[Any, Any]] = _installed):
        self._libraries = libraries

    @cached_property
    def xp(self) -> Any:
        """The namespace. Raises ImportError without CuPy."""
        from .namespace import namespace

        return namespace(*self._libraries())

    def version(self) -> str:
        """CuPy and its version."""
        return f"cupy {self._libraries()[0].__version__}"

    def unavailable(self) -> str | None:
        """Why it cannot run here, and what to do; None where it can."""
        try:
            cupy, _ = self._libraries()
        except ImportError as e:
            return f"CuPy is not installed; {REMEDY}" if e.name == "cupy" else f"CuPy cannot be imported: {e}; {REMEDY}"
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as e:  # a CUDARuntimeError, which names what is amiss
            return f"CuPy {cupy.__version__} finds no GPU ({e}); it takes an NVIDIA GPU with its driver, or --runtime numpy"
        return None if count else f"CuPy {cupy.__version__} finds no GPU; it takes an NVIDIA GPU, or --runtime numpy"

    def compile(self, model: Model, *, limits: Limits | Budget | None = None, seed: int = 0, outputs: str = "host") -> Program:
        """A program for a copy of the model, whose weights and state are on the GPU.

        outputs: "host" hands out NumPy arrays, and so waits for the GPU; "device" leaves them there, as CuPy's arrays, but for strings and dtypes that CuPy
        has no arrays of. Raises TypeError for an operator that cannot be run.
        """
        if outputs not in OUTPUTS:
            raise ValueError(f"outputs is {outputs!r}; expected {' or '.join(map(repr, OUTPUTS))}")
        return Program(model, self.xp, self.overrides, limits, seed, self.xp.to_numpy if outputs == "host" else self.xp.left)


runtime = CupyRuntime()

"""ONNX Runtime as a runtime: graphs, their gradients and training steps, handed over as ONNX, with weights by reference and state that stays there."""

from graphir.model import Model
from graphir.plugins import Budget, Limits, Program


class OnnxRuntime:
    """Runs models on the CPU through the onnxruntime package, which is imported when it is first needed."""

    name = "onnxruntime"
    keeps = ("seconds",)

    def unavailable(self) -> str | None:
        """Why it cannot run here; None where it can."""
        try:
            import onnxruntime  # noqa: F401  # whether it can be
        except ModuleNotFoundError as e:
            return f"{e.name}{', which onnxruntime needs,' * (e.name != 'onnxruntime')} is not installed; pip install {e.name}"
        except ImportError as e:
            return f"onnxruntime cannot be imported: {e}"
        return None

    def version(self) -> str:
        """What it stands on."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    def compile(self, model: Model, *, limits: Limits | Budget | None = None, seed: int = 0, threads: int | None = None) -> Program:
        """A program for a copy of the model: later edits do not reach it.

        limits: of these ONNX Runtime can keep `seconds`; memory and trips it does not bound. seed: of operators that draw numbers and have no seed of
        their own. threads: how many work on one operator, by default as many as there are cores.
        Raises TypeError for a model that ONNX Runtime refuses: it names the node, and says what ONNX Runtime says.
        """
        from .program import OrtProgram

        return OrtProgram(model, limits, seed, threads)


runtime = OnnxRuntime()

"""ONNX Runtime in a process of its own: some nonsense ends it."""

import atexit
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

_pool: list[ProcessPoolExecutor] = []


def answer(proto: bytes, feeds: dict[str, Any]) -> list[Any] | None:
    """What ONNX Runtime makes of a model; None where it refuses, takes longer than ten seconds, or dies."""
    if not _pool:
        _pool.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
    try:
        return _pool[0].submit(_run, proto, feeds).result(10)
    except Exception:  # it died, or made what cannot be handed over
        _stop()
        return None


def _run(proto: bytes, feeds: dict[str, Any]) -> list[Any] | None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return list(onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"]).run(None, feeds))
    except Exception:  # it refuses, in kinds of its own
        return None


def _stop() -> None:
    for pool in _pool:
        for process in (pool._processes or {}).values():
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
    _pool.clear()


atexit.register(_stop)

"""The main job on real data, by the command line: see a model, check it, run it, take it to .gir and back, ask ONNX Runtime for a second opinion."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).parent.parent
MODEL = "models/digits_mlp.onnx"
DIGITS = "models/digits_test.npz"
OUT = "build/first_light"


def graphir(*arguments: str) -> None:
    """Run a command and show it. Ends the program where it fails."""
    print(f"\n$ graphir {' '.join(arguments)}", flush=True)
    status = subprocess.run([Path(sys.executable).with_name("graphir"), *arguments]).returncode
    if status:
        sys.exit(status)


def same_bytes(a: str, b: str) -> bool:
    """Whether two files are equal, said aloud."""
    equal = Path(a).read_bytes() == Path(b).read_bytes()
    print(f"{a} and {b}: {Path(a).stat().st_size} and {Path(b).stat().st_size} bytes, {'equal' if equal else 'NOT EQUAL'}")
    return equal


def main() -> bool:
    """Do the job. Whether all of it held."""
    os.chdir(ROOT)
    Path(OUT).mkdir(parents=True, exist_ok=True)
    with np.load(DIGITS) as digits:
        x, y = digits["x"], digits["y"]

    graphir("info", MODEL)
    graphir("check", MODEL)
    graphir("run", MODEL, "--inputs", DIGITS, "--output", f"{OUT}/results.npz")
    with np.load(f"{OUT}/results.npz") as results:
        logits = results["logits"]
    right = int((logits.argmax(axis=1) == y).sum())
    print(f"{right} of {len(y)} test digits are read right: {right / len(y):.1%}")

    graphir("export", MODEL, f"{OUT}/digits_mlp.gir")
    graphir("export", f"{OUT}/digits_mlp.gir", f"{OUT}/digits_mlp.onnx")
    same = same_bytes(MODEL, f"{OUT}/digits_mlp.onnx")

    session = onnxruntime.InferenceSession(f"{OUT}/digits_mlp.onnx", providers=["CPUExecutionProvider"])
    gap = float(np.abs(np.asarray(session.run(["logits"], {"x": x})[0]) - logits).max())
    agree = gap <= 1e-5 * max(1.0, float(np.abs(logits).max()))
    print(
        f"\nONNX Runtime {onnxruntime.__version__} on the same file: largest difference {gap:.1e}, {'the same outputs' if agree else 'NOT THE SAME'}"
    )
    print(f"\nThe files are in {ROOT / OUT}")
    return same and agree and right / len(y) > 0.9


if __name__ == "__main__":
    sys.exit(0 if main() else 1)

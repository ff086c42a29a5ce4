"""The main job on real data, mostly by the command line: an ONNX file learns to read digits on NumPy, and comes out as ONNX that others run.

An untrained network is trained, checked, run, and taken to .gir and back. ONNX Runtime gives a second opinion on three models that graphir made: the
trained network, the same with gradients, and the training step, which it takes three times.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from digits import cnn

import graphir
from graphir import training

ROOT = Path(__file__).parent.parent
OUT = "build/digits"
UNTRAINED, TRAINED, GRADIENTS, STEP = (f"{OUT}/{name}.onnx" for name in ("untrained", "trained", "gradients", "step"))
TRAIN, TEST = "models/digits_train.npz", "models/digits_test.npz"
ENOUGH = 0.97  # of the test digits
CLOSE = 1e-5  # of the largest number


def command(*arguments: str) -> None:
    """Run a command and show it. Ends the program where it fails."""
    print(f"\n$ graphir {' '.join(arguments)}", flush=True)
    status = subprocess.run([Path(sys.executable).with_name("graphir"), *arguments]).returncode
    if status:
        sys.exit(status)


def claim(text: str, holds: bool) -> bool:
    """Print a claim, and whether it holds."""
    print(f"{'yes' if holds else 'NO '}  {text}")
    return holds


def gap(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> float:
    """The largest difference between arrays of the same names, as a share of the largest number of each, or of 1."""
    return max(float(np.abs(x - theirs[name]).max() / max(1.0, np.abs(x).max())) for name, x in ours.items())


def session(path: str) -> onnxruntime.InferenceSession:
    """A model in ONNX Runtime, after onnx's own checker has seen it."""
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of weights that are inputs, as a training step has them
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(other: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime makes of these arrays, by name."""
    return dict(zip([x.name for x in other.get_outputs()], map(np.asarray, other.run(None, feeds)), strict=True))


def network_agrees(image: np.ndarray, logits: np.ndarray) -> bool:
    """The trained network."""
    apart = gap({"logits": logits}, run(session(TRAINED), {"image": image}))
    return claim(f"the trained network: ONNX Runtime's outputs differ by {apart:.1e}", apart <= CLOSE)


def gradients_agree(image: np.ndarray) -> bool:
    """The network with the gradients of its outputs, times a random seed, with respect to the image and all weights."""
    feeds = {"image": image, "seed_logits": np.random.default_rng(0).standard_normal((len(image), 10)).astype("float32")}
    ours, theirs = graphir.compile(graphir.load(GRADIENTS)).run(feeds), run(session(GRADIENTS), feeds)
    apart = gap(ours, theirs)
    return claim(f"{len(ours) - 1} gradients: ONNX Runtime's differ by {apart:.1e}", apart <= CLOSE)


def steps_agree(image: np.ndarray, y: np.ndarray) -> bool:
    """Three training steps of the untrained network: graphir keeps the state, ONNX Runtime is handed it and hands it back."""
    step = training.step(graphir.load(UNTRAINED), optimizer=training.sgd(0.05, momentum=0.9))
    graphir.save(training.flat(step), STEP)
    program, other, state = graphir.compile(step), session(STEP), {}
    apart = 0.0
    for i in range(0, 96, 32):
        feeds = {"image": image[i : i + 32], "y": y[i : i + 32]}
        ours, theirs = program.run(feeds), run(other, feeds | state)
        state = {name.removeprefix("new_"): x for name, x in theirs.items() if name.startswith("new_")}
        apart = max(apart, gap(ours, theirs), gap({name: program.state[name] for name in state}, state))
    return claim(f"three training steps: ONNX Runtime's losses and {len(state)} states differ by {apart:.1e}", apart <= CLOSE)


def main() -> bool:
    """Do the job. Whether all of it held."""
    os.chdir(ROOT)
    Path(OUT).mkdir(parents=True, exist_ok=True)
    with np.load(TEST) as digits:
        image, y = digits["image"], digits["y"]

    graphir.save(cnn(), UNTRAINED)
    command("info", UNTRAINED)
    command("train", UNTRAINED, TRAIN, TRAINED, "--epochs", "20", "--learning-rate", "0.003", "--validation", TEST)
    command("check", TRAINED)
    command("run", TRAINED, "--inputs", TEST, "--output", f"{OUT}/results.npz")
    command("export", TRAINED, f"{OUT}/trained.gir")
    command("export", f"{OUT}/trained.gir", f"{OUT}/again.onnx")
    command("grad", TRAINED, GRADIENTS, "--wrt", "image", "--wrt", "*.weight", "--wrt", "*.bias")

    with np.load(f"{OUT}/results.npz") as results:
        logits = results["logits"]
    right = int((logits.argmax(axis=1) == y).sum())
    print(f"\nWhat should hold, with ONNX Runtime {onnxruntime.__version__}:")
    held = [
        claim(f"{right} of {len(y)} test digits are read right: {right / len(y):.1%}", right >= ENOUGH * len(y)),
        claim("to .gir and back gives the same bytes", Path(TRAINED).read_bytes() == Path(f"{OUT}/again.onnx").read_bytes()),
        network_agrees(image, logits),
        gradients_agree(image),
        steps_agree(image, y),
    ]
    print(f"\nThe files are in {ROOT / OUT}")
    return all(held)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)

"""`graphir train --resume`: with what it goes on, what it refuses by name, and which files training does not replace."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir.cli import main
from graphir.ops.activation import relu, tanh
from graphir.ops.elementwise import mul
from graphir.ops.math import matmul
from graphir.ops.normalization import batch_normalization


def network(act: Callable[[Any], Any] = relu, scale: float = 2.0, seed: int = 0, name: str = "net") -> graphir.Model:
    """Two layers with a norm between them, and a constant that is not trained."""
    rng = np.random.default_rng(seed)
    graph = graphir.Graph(name)
    x = graph.input("x", graphir.TensorType("float32", ("N", 8)))
    weights = {n: graph.weight(n, rng.normal(size=s).astype(np.float32)) for n, s in (("a", (8, 6)), ("b", (6, 3)))}
    norm = [graph.weight(n, np.full(6, v, np.float32)) for n, v in (("gain", 1), ("shift", 0), ("mean", 0), ("var", 1))]
    h = batch_normalization(matmul(x, weights["a"]), *norm)
    graph.output(matmul(mul(act(h[0]), graph.weight("scale", np.float32(scale))), weights["b"]), "z")
    return graphir.Model(graph)


def data(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(40, 8)).astype(np.float32), "y": rng.integers(0, 3, 40)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with m.onnx and d.npz, and o.checkpoint.gir and o.history.json of one epoch of a training of these."""
    monkeypatch.chdir(tmp_path)
    graphir.save(network(), tmp_path / "m.onnx")
    np.savez("d.npz", allow_pickle=False, **data())
    np.savez("v.npz", allow_pickle=False, **data(9))
    assert train("m.onnx", "d.npz", "o.onnx", "--epochs", "1", "--validation", "v.npz") == 0
    return tmp_path


def train(*arguments: str) -> int:
    return main(["train", *arguments])


def saved(x: graphir.Model | dict[str, np.ndarray], name: str) -> str:
    if isinstance(x, graphir.Model):
        graphir.save(x, name)
    else:
        np.savez(name, allow_pickle=False, **x)
    return name


# what changes -> what is said of it; model and data of one size and the same names all
OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "another activation": (lambda: network(tanh), "another model"),
    "another constant": (lambda: network(scale=3.0), "another model"),
    "another name of the graph": (lambda: network(name="other"), "another model"),
    "other rows": (lambda: data(1), "other data"),
    "the same rows in another order": (lambda: {k: v[::-1].copy() for k, v in data().items()}, "other data"),
    "other labels": (lambda: {**data(), "y": 2 - data()["y"]}, "other data"),
    "another dtype": (lambda: {**data(), "x": data()["x"].astype(np.float64) + 1e-12}, "other data"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_training_is_refused(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("o.checkpoint.gir").read_bytes()
    make, said = OTHERS[name]
    x = make()
    files = [saved(x, "n.onnx"), "d.npz"] if isinstance(x, graphir.Model) else ["m.onnx", saved(x, "e.npz")]
    assert train(*files, "o.onnx", "--epochs", "2", "--validation", "v.npz", "--resume") == 2
    assert f"o.checkpoint.gir began with {said} than this" in capsys.readouterr().err
    assert train(*files, "o.onnx", "--epochs", "2", "--validation", "v.npz") == 2, "nor is its checkpoint replaced"
    said_now = capsys.readouterr().err
    assert f"o.checkpoint.gir is the checkpoint of a training with {said}" in said_now and "--force" in said_now
    assert Path("o.checkpoint.gir").read_bytes() == before
    assert train(*files, "o.onnx", "--epochs", "1", "--force") == 0 and Path("o.checkpoint.gir").read_bytes() != before


def test_other_validation_data_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(data(10), "v.npz")
    assert train("m.onnx", "d.npz", "o.onnx", "--epochs", "2", "--validation", "v.npz", "--resume") == 2
    assert "began with other validation data than this" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--loss", "mean_squared_error"], ["--optimizer", "sgd"], ["--learning-rate", "0.5"], ["--seed", "3"]])
def test_other_options_are_refused(options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = options[0][2:].replace("-", " ")
    assert train("m.onnx", "d.npz", "o.onnx", "--epochs", "2", "--validation", "v.npz", "--resume", *options) == 2
    assert f"began with {name} " in capsys.readouterr().err
    if name in ("learning rate", "seed"):  # begun anew it is the same training, with other options
        assert train("m.onnx", "d.npz", "o.onnx", "--epochs", "1", "--validation", "v.npz", *options) == 0


def test_a_model_that_is_trained_in_place_goes_on(folder: Path) -> None:
    """The weights that training moves are in the checkpoint; the model may be the one that was trained, or another start."""
    options = ["--epochs", "2", "--validation", "v.npz"]
    assert train("m.onnx", "d.npz", "whole.onnx", *options) == 0
    saved(network(), "p.onnx")
    assert train("p.onnx", "d.npz", "p.onnx", "--epochs", "1", "--validation", "v.npz") == 0
    assert train("p.onnx", "d.npz", "p.onnx", *options, "--resume") == 0
    assert Path("p.onnx").read_bytes() == Path("whole.onnx").read_bytes()
    saved(network(seed=5), "other_start.onnx")
    assert train("other_start.onnx", "d.npz", "o.onnx", *options, "--resume") == 0
    assert Path("o.onnx").read_bytes() == Path("whole.onnx").read_bytes()


def test_a_checkpoint_that_does_not_say_with_what_it_began(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = graphir.load("o.checkpoint.gir")
    said = json.loads(model.metadata["graphir.training"])
    del said["fingerprints"]
    model.metadata["graphir.training"] = json.dumps(said)
    graphir.save(model, "o.checkpoint.gir")
    assert train("m.onnx", "d.npz", "o.onnx", "--epochs", "2", "--validation", "v.npz", "--resume") == 2
    assert "does not say with which model and data it began" in capsys.readouterr().err


def model_file(path: Path) -> None:
    graphir.save(network(), path)


FOREIGN: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "the model that is trained": ("q.checkpoint.gir", model_file, ["q.checkpoint.gir"]),
    "a model": ("q.checkpoint.gir", model_file, ["m.onnx"]),
    "a text": ("q.checkpoint.gir", lambda path: path.write_text("notes"), ["m.onnx"]),
    "an empty file": ("q.checkpoint.gir", lambda path: path.touch(), ["m.onnx"]),
    "a link to the model": ("q.checkpoint.gir", lambda path: (model_file(path.with_name("r.gir")), path.symlink_to("r.gir")), ["r.gir"]),
    "a damaged checkpoint": ("q.checkpoint.gir", lambda path: path.write_bytes(Path("o.checkpoint.gir").read_bytes()[:-9]), ["m.onnx"]),
    "a history of something else": ("q.history.json", lambda path: path.write_text('{"history": []}'), ["m.onnx"]),
    "a list": ("q.history.json", lambda path: path.write_text("[1]"), ["m.onnx"]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_not_replaced(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, make, models = FOREIGN[name]
    make(Path(file))
    before = Path(file).read_bytes()
    assert train(*models, "d.npz", "q.onnx", "--epochs", "1") == 2
    printed = capsys.readouterr()
    assert file in printed.err and "--force" in printed.err and printed.err.count("\n") == 1 and not printed.out.count("epoch")
    assert Path(file).read_bytes() == before and not Path("q.onnx").exists()
    assert train(*models, "d.npz", "q.onnx", "--epochs", "1", "--force") == 0
    assert Path(file).read_bytes() != before


@pytest.mark.parametrize("name", ["q.onnx", "q.checkpoint.gir", "q.history.json"])
def test_what_cannot_be_written_shows_before_the_first_epoch(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).mkdir()
    capsys.readouterr()
    assert train("m.onnx", "d.npz", "q.onnx", "--epochs", "1") == 1
    printed = capsys.readouterr()
    assert f"{name}: it is a folder" in printed.err and not printed.out


TERMINATED = """
import os, signal, sys, time
from graphir.cli import main, train
def say(p, epochs=int(sys.argv[1])):
    if p.epoch == epochs + 1:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
sys.modules["graphir.cli.train"]._say_epoch = say
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("epochs", [0, 2])
def test_sigterm(epochs: int, folder: Path) -> None:
    arguments = [sys.executable, "-c", TERMINATED, str(epochs), "train", "m.onnx", "d.npz", "t.onnx"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 128 + signal.SIGTERM and done.stderr.count("\n") == 1, done.stderr
    if not epochs:
        assert done.stderr == "error: terminated\n" and not Path("t.checkpoint.gir").exists()
        return
    assert done.stderr.startswith("error: terminated: t.checkpoint.gir holds all up to the last whole epoch; --resume goes on")
    assert train("m.onnx", "d.npz", "t.onnx", "--resume") == 0 and train("m.onnx", "d.npz", "whole.onnx") == 0
    assert Path("t.onnx").read_bytes() == Path("whole.onnx").read_bytes()
    assert not [p for p in folder.iterdir() if p.suffix == ".tmp"]

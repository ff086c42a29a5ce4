"""`graphir train`: the files that it writes, and what it says where it cannot; the models that it trained."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import graphir
from graphir.cli import main
from test_training import batch, small

MODELS = Path(__file__).parent.parent / "models"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with model.onnx and data.npz."""
    graphir.save(small(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", allow_pickle=False, **batch(small(), 60), extra=np.zeros(3))
    return tmp_path


def test_train(files: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a", "b"):
        options = ["--epochs", "3", "--learning-rate", "0.02", "--validation", "0.25", "--batch-size", "16", "--wrt", "w*"]
        assert main(["train", str(files / "model.onnx"), str(files / "data.npz"), str(files / f"{name}.onnx"), *options]) == 0
        printed = capsys.readouterr()
        assert not printed.err and [line.split()[:2] for line in printed.out.splitlines()[:3]] == [["epoch", str(i)] for i in (1, 2, 3)]
    assert (files / "a.onnx").read_bytes() == (files / "b.onnx").read_bytes()
    assert (files / "a.history.json").read_bytes() == (files / "b.history.json").read_bytes()
    history = json.loads((files / "a.history.json").read_text())
    assert history["learning_rate"] == 0.02 and len(history["history"]) == 3
    onnx.checker.check_model(files / "a.onnx", full_check=True)


TROUBLE = [
    (["--loss", "hinge"], 1, "no loss is called 'hinge'"),
    (["--optimizer", "lion"], 2, "--optimizer lion: there are sgd, momentum, adam"),
    (["--learning-rate", "-1"], 2, "learning rate is -1.0"),
    (["--epochs", "0"], 2, "epochs"),
    (["--target", "labels"], 1, "the data lacks labels"),
    (["--validation", "none.npz"], 1, "there is no such file"),
    (["--validation", "2"], 1, "validation is 2.0 of 60 examples"),
    (["--runtime", "abacus"], 1, "no runtime is called 'abacus'"),
    (["--wrt", "q"], 1, "no value 'q'"),
]


@pytest.mark.parametrize(("options", "status", "message"), TROUBLE, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_train_fails_in_one_line(files: Path, capsys: pytest.CaptureFixture, options: list[str], status: int, message: str) -> None:
    assert main(["train", str(files / "model.onnx"), str(files / "data.npz"), str(files / "out.onnx"), *options]) == status
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and message in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert not (files / "out.onnx").exists()


@pytest.mark.parametrize(("name", "key"), [("digits_mlp", "x"), ("digits_cnn", "image")])
def test_the_example_models_read_digits(name: str, key: str) -> None:
    with np.load(MODELS / "digits_test.npz") as digits:
        scores = graphir.compile(graphir.load(MODELS / f"{name}.onnx")).run({key: digits[key]})["logits"]
        assert (scores.argmax(axis=1) == digits["y"]).mean() >= 0.97
    history = json.loads((MODELS / f"{name}.history.json").read_text())["history"]
    assert history[-1]["validation_accuracy"] >= 0.97

"""`graphir train`: the files that it writes, and what it says where it cannot; the models that it trained."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import graphir
from graphir.cli import main
from graphir.training import Progress
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


def test_resume(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off in the second epoch, gone on with, and on again to more epochs: the same file as without a stop."""
    arguments = ["train", str(files / "model.onnx"), str(files / "data.npz")]
    options = ["--learning-rate", "0.02", "--batch-size", "16", "--validation", "0.25"]

    def run(name: str, *more: str) -> int:
        return main([*arguments, str(files / name), *options, *more])

    def stop(p: Progress) -> None:
        if (p.epoch, p.batch) == (2, 2):
            raise KeyboardInterrupt

    assert run("whole.onnx", "--epochs", "4") == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["graphir.cli.train"], "_say_epoch", stop)
        assert run("parts.onnx", "--epochs", "3") == 1
    assert not (files / "parts.onnx").exists()
    assert capsys.readouterr().err.endswith("parts.checkpoint.gir holds all up to the last whole epoch; --resume goes on from there\n")
    assert run("parts.onnx", "--epochs", "3", "--resume") == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:-1]] == [["epoch", "2"], ["epoch", "3"]]
    assert run("parts.onnx", "--epochs", "4", "--resume") == 0
    assert run("parts.onnx", "--epochs", "4", "--resume") == 0  # nothing is left to do
    assert (files / "parts.onnx").read_bytes() == (files / "whole.onnx").read_bytes()
    histories = [json.loads((files / f"{name}.history.json").read_text()) for name in ("whole", "parts")]
    assert histories[0]["history"] == histories[1]["history"] and len(histories[0]["history"]) == 4
    capsys.readouterr()
    for name, more, message in (
        ("other.onnx", [], "there is no "), ("parts.onnx", ["--batch-size", "8"], "began with batch size 16, and now it is 8; say the same again"),
        ("parts.onnx", ["--wrt", "w*"], "began with wrt [], and now it is ['w*']"),
    ):  # fmt: skip
        assert run(name, "--resume", *more) == 2
        assert message in capsys.readouterr().err
    assert run("parts.onnx", "--resume", "--epochs", "2") == 1
    assert "the training to resume has 4 epochs behind it; expected 2, the number of epochs, or fewer" in capsys.readouterr().err
    model = graphir.load(files / "parts.checkpoint.gir")
    data = (files / "parts.checkpoint.gir").read_bytes()
    (files / "parts.checkpoint.gir").write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    assert run("parts.onnx", "--resume") == 1 and "parts.checkpoint.gir" in capsys.readouterr().err
    for said in (
        {"options": 5, "history": []},
        {"options": {}, "history": 5},
        {"options": {}, "history": [[]]},
        {"options": {}, "history": "abc"},
        None,
    ):
        model.metadata["graphir.training"] = json.dumps(said)
        graphir.save(model, files / "parts.checkpoint.gir")
        assert run("parts.onnx", "--resume") == 1
        assert "parts.checkpoint.gir is no checkpoint of a training" in capsys.readouterr().err


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

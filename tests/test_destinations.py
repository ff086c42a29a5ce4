"""Destinations that cannot be written are complained of before the work is done."""

from pathlib import Path
from typing import Any

import click
import pytest

from graphir.cli import main
from graphir.cli.model_file import expect_file

MLP = Path(__file__).parent.parent / "models/digits_mlp.onnx"
# A destination, and what is said of it.
WRONG = [
    ("no/such/folder/out.onnx", "no such folder"),
    ("out.what", "no format has the suffix '.what'"),
    ("folder.onnx", "it is a folder; expected a file"),
]


@pytest.mark.parametrize("verb", ["export", "grad"])
@pytest.mark.parametrize(("name", "said"), WRONG)
def test_before_a_model_is_read(verb: str, name: str, said: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    (tmp_path / "folder.onnx").mkdir()
    monkeypatch.setattr("graphir.load", lambda *a, **k: pytest.fail("the model was read"))
    assert main([verb, str(MLP), str(tmp_path / name)]) == 1
    assert said in capsys.readouterr().err


def test_of_arrays(tmp_path: Path) -> None:
    expect_file(str(tmp_path / "out.npz"), ".npz")
    expect_file(str(tmp_path / "OUT.NPZ"), ".npz")
    expect_file("/dev/null", ".npz")
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    expect_file(str(tmp_path / "link.npz"), ".npz")
    with pytest.raises(click.UsageError, match=r"out\.txt would be a \.npz file; expected a name that ends in \.npz"):
        expect_file(str(tmp_path / "out.txt"), ".npz")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        expect_file(str(tmp_path / "no/out.npz"), ".npz")

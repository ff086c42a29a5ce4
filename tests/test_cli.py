"""The command line: verbs, formats, pipes, statuses, errors, and what may not reach the terminal."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType
from graphir.cli import main
from graphir.cli.terminal import clean, size_text
from graphir.ops.activation import relu
from graphir.ops.elementwise import add

ROOT = Path(__file__).parent.parent
MLP = str(ROOT / "models/digits_mlp.onnx")
CNN = str(ROOT / "models/digits_cnn.onnx")
DIGITS = str(ROOT / "models/digits_test.npz")


def small(name="x", dtype="float32", shape=("N", 3)):
    """y = relu(x + 1)."""
    graph = Graph("small")
    x = graph.input(name, TensorType(dtype, shape))
    graph.output(relu(add(x, 1).named("sum")), "y")
    return Model(graph)


@pytest.fixture(params=["onnx", "gir"])
def model_file(request, tmp_path):
    path = tmp_path / f"small.{request.param}"
    graphir.save(small(), path)
    return str(path)


@pytest.fixture
def call(capsys):
    """Runs the command line; gives the exit status, what it printed, and its errors."""

    def call(*arguments):
        status = main([str(a) for a in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


# ---- info, check, runtimes ----------------------------------------------------------------------------------------------------------


def test_info(call, model_file):
    status, out, err = call("info", model_file)
    assert (status, err) == (0, "")
    for text in ("small", "x  float32[N, 3]", "y  float32[N, 3]", "1 Add, 1 Relu", "1 in 1 tensors, 4 bytes", "ai.onnx"):
        assert text in out
    facts = json.loads(call("info", model_file, "--json")[1])
    assert facts["inputs"] == [{"name": "x", "type": "float32[N, 3]"}]
    assert facts["operators"] == {"Add": 1, "Relu": 1}
    assert facts["size"] == Path(model_file).stat().st_size


def test_info_does_not_list_weights_that_are_inputs(call, tmp_path):
    graph = Graph("old")
    y = graph.input("x", TensorType("float32", (2,)))
    for _ in range(9):
        weight = graph.weight(graph.fresh("w"), np.ones(2, np.float32))
        graph.open(weight)
        y = add(y, weight)
    graph.output(y)
    graphir.save(Model(graph), tmp_path / "old.onnx")
    out = call("info", str(tmp_path / "old.onnx"))[1]
    assert "9 more that have defaults" in out and "w_1  float32" not in out


def test_check_finds_nothing_wrong(call, model_file):
    assert call("check", model_file) == (0, f"{model_file}: valid\n", "")
    assert json.loads(call("check", model_file, "--json")[1]) == {"model": model_file, "valid": True, "problems": [], "unknown": []}


def test_check_finds_what_is_wrong(call, tmp_path):
    (tmp_path / "torn.onnx").write_bytes(Path(MLP).read_bytes()[:-100])
    status, out, err = call("check", tmp_path / "torn.onnx")
    assert (status, err) == (1, "")
    assert "torn.onnx: 1 problem" in out
    assert json.loads(call("check", tmp_path / "torn.onnx", "--json")[1])["valid"] is False


def test_check_sees_a_flipped_bit_in_a_tensor(call, tmp_path):
    graphir.save(graphir.load(MLP), tmp_path / "mlp.gir")
    data = bytearray((tmp_path / "mlp.gir").read_bytes())
    tensor = graphir.load(MLP).weights["layer2.weight"].tensor
    assert isinstance(tensor, graphir.Tensor)
    data[data.index(tensor.array.tobytes()) + 40] ^= 1
    (tmp_path / "mlp.gir").write_bytes(data)
    status, out, _ = call("check", tmp_path / "mlp.gir")
    assert status == 1
    assert "layer2.weight" in out


def test_runtimes(call):
    assert "numpy" in call("runtimes")[1]
    facts = next(f for f in json.loads(call("runtimes", "--json")[1]) if f["name"] == "numpy")
    assert facts["version"] == f"numpy {np.__version__}" and facts["available"] and facts["reason"] is None


# ---- run ----------------------------------------------------------------------------------------------------------------------------


def test_run_from_files(call, model_file, tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "x.npz", x=x, labels=np.zeros(2))
    np.save(tmp_path / "x.npy", x)
    for given in (("--inputs", tmp_path / "x.npz"), ("--input", f"x={tmp_path / 'x.npy'}")):
        status, out, err = call("run", model_file, *given, "--output", tmp_path / "out.npz")
        assert status == 0
        assert out == "y  float32[2, 3]  values [1, 2, 3, 4, 5, 6]\n"
        assert ("labels" in err) == (given[0] == "--inputs")
        with np.load(tmp_path / "out.npz") as results:
            np.testing.assert_array_equal(results["y"], x + 1)


def test_run_draws_inputs(call, model_file):
    assert call("run", model_file, "--input", "x=zeros", "--dim", "N=2")[1] == "y  float32[2, 3]  values [1, 1, 1, 1, 1, 1]\n"
    drawn = [call("run", model_file, "--input", "x=random:9x3", "--seed", seed)[1] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].startswith("y  float32[9, 3]  min ")


def test_run_fetches(call, model_file):
    given = ("--input", "x=zeros", "--dim", "N=1")
    assert call("run", model_file, *given, "--fetch", "sum")[1] == "sum  float32[1, 3]  values [1, 1, 1]\n"
    assert [line.split()[0] for line in call("run", model_file, *given, "--fetch", "all")[1].splitlines()] == ["sum", "y"]


def test_run_against_another_runtime(call, model_file):
    status, out, _ = call("run", model_file, "--input", "x=random", "--dim", "N=4", "--against", "numpy")
    assert (status, out.splitlines()[1]) == (0, "y  largest difference between numpy and numpy: 0")


def test_the_digits_are_read(call, tmp_path):
    assert call("run", MLP, "--inputs", DIGITS, "--output", tmp_path / "out.npz")[0] == 0
    with np.load(tmp_path / "out.npz") as results, np.load(DIGITS) as digits:
        assert (results["logits"].argmax(axis=1) == digits["y"]).mean() > 0.95
    assert "logits  float32[360, 10]" in call("run", CNN, "--inputs", DIGITS)[1]


# ---- grad, gradcheck ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["onnx", "gir"])
def test_grad(call, tmp_path, suffix):
    status, out, err = call("grad", MLP, tmp_path / f"g.{suffix}", "--wrt", "x", "--wrt", "layer1.*")
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == [
        "input   seed_logits      float32[N, 10]   times this, logits is differentiated",
        "output  d_x              float32[N, 64]   with respect to x",
    ]
    found = graphir.load(tmp_path / f"g.{suffix}")
    assert list(found.gradients.values()) == ["d_x", "d_layer1.weight", "d_layer1.bias"]
    status, out, _ = call(
        "run", tmp_path / f"g.{suffix}", "--input", "x=random", "--input", "seed_logits=random", "--dim", "N=2", "--fetch", "d_x"
    )
    assert status == 0
    assert out.startswith("d_x  float32[2, 64]  min ")


def test_grad_of_a_value_at_an_opset(call, tmp_path):
    status, out, _ = call("grad", MLP, tmp_path / "g.onnx", "--of", "relu", "--of", "logits", "--wrt", "x", "--opset", "17")
    assert status == 0
    assert out.count("times this") == 2
    assert graphir.load(tmp_path / "g.onnx").opsets[""] == 17


def test_grad_through_pipes(tmp_path):
    command = [sys.executable, "-m", "graphir", "grad", "-", "-"]
    done = subprocess.run(command, input=Path(MLP).read_bytes(), capture_output=True, check=True)
    assert "d_x" in [v.name for v in graphir.loads(done.stdout).outputs]


def test_grad_refuses(call, tmp_path):
    for arguments, text in (
        (("--wrt", "layr1.weight"), "did you mean layer1.weight"),
        (("--of", "x", "--wrt", "layer1.bias"), "no path leads from layer1.bias to x"),
    ):
        status, out, err = call("grad", MLP, tmp_path / "g.onnx", *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert text in err
    assert not list(tmp_path.iterdir())


def test_gradcheck(call, tmp_path):
    status, out, err = call("gradcheck", MLP, "--wrt", "layer*.bias", "--dim", "N=3")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["with", "respect", "to", "gradient", "difference", "relative", "error"]
    assert [line.split()[0] for line in lines[1:]] == ["layer1.bias", "layer2.bias", "layer3.bias", "logits:"]
    assert lines[-1] == "logits: 3 gradients agree"
    np.save(tmp_path / "x.npy", np.ones((1, 64), np.float32))
    report = json.loads(call("gradcheck", MLP, "--wrt", "x", "--input", f"x={tmp_path / 'x.npy'}", "--json")[1])
    assert (report["of"], report["ok"], len(report["gradients"])) == (["logits"], True, 1)


def test_gradcheck_finds_what_differs(call):
    status, out, _ = call("gradcheck", MLP, "--wrt", "layer1.weight", "--tolerance", "0")
    assert status == 1
    assert "WRONG" in out and out.endswith("logits: 1 of 1 gradients differ\n")


# ---- export -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MLP, CNN])
def test_export_there_and_back_gives_the_same_bytes(call, tmp_path, model):
    for source, destination in ((model, "a.gir"), (tmp_path / "a.gir", "b.onnx"), (tmp_path / "b.onnx", "c.gir")):
        assert call("export", source, tmp_path / destination) == (0, "", "")
    assert (tmp_path / "b.onnx").read_bytes() == Path(model).read_bytes()
    assert (tmp_path / "c.gir").read_bytes() == (tmp_path / "a.gir").read_bytes()


def test_export_for_reading(call, model_file, tmp_path):
    assert call("export", model_file, tmp_path / "small.txt")[0] == 0
    assert "Relu(sum)" in (tmp_path / "small.txt").read_text()
    assert call("export", model_file, tmp_path / "small.json")[0] == 0
    assert [n["op"] for n in json.loads((tmp_path / "small.json").read_text())["graph"]["nodes"]] == ["Add", "Relu"]


def test_pipes():
    data = Path(MLP).read_bytes()
    gir = pipe(data, "export", "-", "-", "--format", "gir")
    assert pipe(gir, "export", "-", "-") == data
    assert b", layer1.weight, layer1.bias)" in pipe(gir, "export", "-", "-", "--format", "txt")
    assert b"3 Gemm, 2 Relu" in pipe(data, "info", "-")


def pipe(data, *arguments):
    return subprocess.run([sys.executable, "-m", "graphir", *arguments], input=data, capture_output=True, check=True).stdout


def test_export_options(call, model_file, tmp_path):
    assert call("export", model_file, tmp_path / "new.onnx", "--opset", 21)[0] == 0
    assert "ai.onnx 21" in call("info", tmp_path / "new.onnx")[1]
    assert call("export", MLP, tmp_path / "outside.onnx", "--external-data")[0] == 0
    assert len(list(tmp_path.glob("outside.onnx*"))) == 2
    assert (tmp_path / "outside.onnx").stat().st_size < Path(MLP).stat().st_size / 4


# ---- errors -------------------------------------------------------------------------------------------------------------------------

X = ("--input", "x=random", "--dim", "N=2")
WRONG = {  # arguments after `graphir run MODEL` -> exit status, and what the error says
    "missing input": ((), 1, ["x", "missing", "float32[N, 3]"]),
    "unknown input": ((*X, "--input", "z=zeros"), 1, ["'z'", "x (float32[N, 3])"]),
    "wrong shape": (("--input", "x=random:2x4"), 1, ["x", "float32[N, 3]", "[2, 4]"]),
    "wrong rank": (("--input", "x=random:6"), 1, ["x", "float32[N, 3]", "[6]"]),
    "wrong dtype": (("--input", "x=ints.npy"), 1, ["x", "float32", "int64"]),
    "open size": (("--input", "x=random"), 1, ["x", "[N, 3]", "--dim N=8"]),
    "no file": (("--input", "x=nothing.npy"), 1, ["nothing.npy", "no such file"]),
    "no arrays": (("--inputs", "junk.npz"), 1, ["junk.npz"]),
    "pickled": (("--input", "x=objects.npy"), 1, ["objects.npy"]),
    "wrong keys": (("--inputs", "keys.npz"), 1, ["x", "missing", "keys.npz holds image"]),
    "unknown fetch": ((*X, "--fetch", "summ"), 1, ["summ", "sum"]),
    "unknown runtime": ((*X, "--runtime", "cupi"), 1, ["cupi", "numpy"]),
    "unknown referee": ((*X, "--against", "cupi"), 1, ["cupi", "numpy"]),
    "memory": (
        ("--input", "x=large.npy", "--limit-memory", "20k"),
        1,
        ["'sum'", "makes 12,000 bytes beside 12,", "20,000; --limit-memory raises it"],
    ),
    "memory of a file": (("--input", "x=large.npy", "--limit-memory", "1k"), 1, ["large.npy makes 12,000 bytes", "1,000"]),
    "memory of an input": (("--input", "x=zeros", "--dim", "N=1000", "--limit-memory", "1k"), 1, ["input x", "12,000 bytes", "1,000"]),
    "too much memory": (("--input", "x=random:999999999999x3"), 1, ["input x", "11,999,999,999,988 bytes", "the limit is 536,8"]),
    "too many axes": (("--input", "x=zeros:" + "1x" * 64 + "1"), 1, ["input x", "65 axes"]),
    "below zero": (("--input", "x=random:-2x64"), 2, ["'-2x64'", "8x64"]),
    "an x too much": (("--input", "x=random:2x64x"), 2, ["'2x64x'", "8x64"]),
    "too large a size": (("--dim", "N=" + "9" * 5000), 2, ["no size"]),
    "no seed": ((*X, "--seed", "-1"), 2, ["--seed", "-1"]),
    "nothing given": (("--input", "x="), 2, ["'x='", "x=zeros"]),
    "no name": (("--inputs", ""), 1, ["name of a file is empty"]),
    "a folder of arrays": (("--inputs", "folder.npz"), 1, ["folder.npz is a folder"]),
    "a folder for an array": (("--input", "x=folder.npz"), 1, ["folder.npz is a folder"]),
    "output to a pipe": ((*X, "--output", "-"), 2, ["--output", "file"]),
    "output of another kind": ((*X, "--output", "o.txt"), 2, ["o.txt", "ends in .npz"]),
    "output to no folder": ((*X, "--output", "nodir/o.npz"), 1, ["nodir", "no such folder"]),
    "output without a name": ((*X, "--output", ""), 2, ["empty"]),
    "no tolerance": ((*X, "--against", "numpy", "--rtol", "nan"), 2, ["--rtol", "nan is no finite number"]),
    "no time": ((*X, "--limit-seconds", "nan"), 2, ["--limit-seconds", "nan is no finite number"]),
    "endless time": ((*X, "--limit-seconds", "inf"), 2, ["--limit-seconds", "inf is no finite number"]),
    "unknown option": (("--bogus",), 2, ["--bogus", "graphir run --help"]),
    "unknown dim": ((*X, "--dim", "M=2"), 2, ["M", "N"]),
    "not an input": (("--input", "x"), 2, ["'x'", "x=zeros"]),
    "not a dim": (("--dim", "N"), 2, ["'N'", "N=8"]),
    "not bytes": (("--limit-memory", "lots"), 2, ["'lots'"]),
}


@pytest.mark.parametrize("row", WRONG)
def test_errors_say_what_was_found_and_expected(call, model_file, tmp_path, monkeypatch, row):
    monkeypatch.chdir(tmp_path)
    np.save("ints.npy", np.zeros((2, 3), np.int64))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez("keys.npz", image=np.zeros((2, 3), np.float32))
    np.save("large.npy", np.zeros((1000, 3), np.float32))
    Path("junk.npz").write_bytes(b"junk")
    Path("folder.npz").mkdir()
    arguments, expected, says = WRONG[row]
    status, out, err = call("run", model_file, *arguments)
    assert (status, out) == (expected, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for text in says:
        assert text in err


@pytest.mark.parametrize(("name", "status", "says"), [("", 2, "the name is empty"), (str(ROOT), 1, "is a folder; expected a file")])
@pytest.mark.parametrize("verb", ["info", "run", "gradcheck"])
def test_models_that_are_no_files(call, verb, name, status, says):
    found, out, err = call(verb, name)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert says in err and "format=" not in err


@pytest.mark.parametrize("arguments", [["bogus"], ["info"], ["info", "a", "b"], ["--bogus"], ["export", "a.onnx"]])
def test_wrong_usage(call, arguments):
    status, _, err = call(*arguments)
    assert (status, err[:7], err.count("\n")) == (2, "error: ", 1)


def test_no_arguments_show_the_help(call):
    status, out, _ = call()
    assert status == 2
    assert "Usage: graphir" in out


@pytest.mark.parametrize("verb", ["info", "check", "run", "export", "grad", "gradcheck"])
def test_a_file_that_is_not_there(call, tmp_path, verb):
    status, _, err = call(verb, tmp_path / "none.onnx", *([tmp_path / "x.gir"] if verb in ("export", "grad") else []))
    assert (status, err.count("\n")) == (1, 1)
    assert "none.onnx" in err


def test_unknown_suffix_leaves_nothing(call, model_file, tmp_path):
    status, _, err = call("export", model_file, tmp_path / "small.xyz")
    assert status == 1
    assert ".onnx" in err
    assert not list(tmp_path.glob("*.xyz*"))


def test_debug_shows_where(call, model_file):
    assert "Traceback" not in call("run", model_file)[2]
    err = call("run", model_file, "--debug")[2]
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: ")


# ---- what reaches the terminal ------------------------------------------------------------------------------------------------------


def test_control_characters_never_reach_the_terminal(call, tmp_path):
    model = small(name="x\x1b[31m\x07\u202e\n")
    graphir.save(model, tmp_path / "evil.onnx")
    for arguments in (["info"], ["info", "--json"], ["check"], ["run"], ["run", "--debug"], ["run", "--input", "x\x1b=zeros"]):
        _, out, err = call(arguments[0], tmp_path / "evil.onnx", *arguments[1:])
        assert not [c for c in out + err if c != "\n" and not c.isprintable()]


def test_clean():
    assert clean("a\x1b[31mb\x9b\u202e\ud800c\n") == "a\\x1b[31mb\\x9b\\u202e\\ud800c\\n"
    assert clean("a\nb", keep="\n") == "a\nb"
    assert clean("naïve 数字") == "naïve 数字"


def test_sizes():
    assert [size_text(n) for n in (0, 999, 26280, 4_500_000, 7e12)] == ["0 bytes", "999 bytes", "26.3 kB", "4.5 MB", "7.0 TB"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_progress_is_for_terminals(call, model_file, monkeypatch):
    assert call("info", model_file)[2] == ""
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    main(["info", model_file])
    assert f"reading {model_file} ..." in stream.getvalue()


def test_a_terminal_gets_text(model_file, monkeypatch):
    monkeypatch.setattr("sys.stdout", stream := Terminal())
    monkeypatch.setattr("sys.stderr", errors := io.StringIO())
    assert main(["export", model_file, "-"]) == 0
    assert "Relu(sum)" in stream.getvalue()
    assert main(["export", model_file, "-", "--format", "onnx"]) == 2
    assert "binary" in errors.getvalue()

"""What people type and hand in by mistake, or out of the habit of another tool: it works as it was meant, or one line says how."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, ops, training
from graphir.cli import main

F32 = "float32"
ROWS = np.random.default_rng(0).standard_normal((12, 4)).astype(F32)


def linear(output: str = "out", classes: int = 3, x: str = "x", dtype: str = F32) -> Model:
    """x[N, 4] @ w; integers are made floats."""
    graph = Graph("linear")
    h: Any = graph.input(x, TensorType(dtype, ("N", 4)))
    h = h if dtype == F32 else ops.elementwise.cast(h, to=F32)
    graph.output(ops.math.matmul(h, graph.weight("layer1.weight", np.ones((4, classes), F32))), output)
    return Model(graph)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with models and data of several kinds."""
    monkeypatch.chdir(tmp_path)
    graphir.save(linear(), "m.onnx")
    graphir.save(linear(dtype="uint8"), "bytes.onnx")
    graphir.save(linear(classes=1), "one.onnx")
    graphir.save(linear("y"), "y.onnx")
    y = np.arange(12) % 3
    np.savez("data.npz", x=ROWS, y=y)
    np.savez("labels.npz", x=ROWS, labels=y)
    np.savez("upper.npz", X=ROWS, y=y)
    np.savez("floats.npz", x=ROWS.astype(float), y=y.astype(float))
    np.savez("halves.npz", x=ROWS, y=y + 0.5)
    np.savez("onehot.npz", x=ROWS, y=np.eye(3)[y])
    np.savez("column.npz", x=ROWS, y=y[:, None])
    np.savez("flat.npz", x=ROWS, y=(y % 2).astype(F32))
    np.savez("empty.npz")
    np.savez("from1.npz", x=ROWS, y=y + 1)
    np.savez("texts.npz", x=ROWS, y=np.array(["a", "b", "c"])[y])
    np.savez("unnamed.npz", ROWS, y)
    np.savez("squares.npz", x=ROWS.reshape(12, 2, 2), y=y)
    for name, channels in (("images", 3), ("grey", 1)):
        graph = Graph(name)
        graph.output(ops.elementwise.neg(graph.input("x", TensorType(F32, ("N", channels, 5, 5)))), "out")
        graphir.save(Model(graph), f"{name}.onnx")
    arrays = {"one": ROWS[0], "turned": ROWS.T, "squares": ROWS.reshape(12, 2, 2), "last": np.zeros((2, 5, 5, 3), F32)}
    for name, x in {**arrays, "image": np.zeros((5, 5, 3), F32), "grey": np.zeros((2, 5, 5), F32)}.items():
        np.save(f"{name}.npy", x)
    np.save("double.npy", ROWS.astype(float))
    np.save("huge.npy", ROWS.astype(float) * 1e300)
    np.save("big_endian.npy", ROWS.astype(">f4"))
    np.save("ints.npy", np.arange(8).reshape(2, 4))
    np.save("large.npy", np.arange(8).reshape(2, 4) * 100)
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    Path("cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 8)
    Path("rows.csv").write_text("1,2,3,4\n")
    with zipfile.ZipFile("tensor.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}")
    return tmp_path


# ---- the command line ---------------------------------------------------------------------------------------------------------------

TRAIN = ["--epochs", "1"]
TYPED: dict[str, tuple[str, int, list[str]]] = {  # a command -> its status, and what it says
    # verbs
    "no verb": ("m.onnx", 2, ["m.onnx is a file: say first what to do with it, as in `graphir info m.onnx`"]),
    "no verb, a file that is not there": ("other.onnx --json", 2, ["`graphir info other.onnx`"]),
    "verb last": ("m.onnx info", 2, ["`graphir info m.onnx`"]),
    "misspelt": ("chekc m.onnx", 2, ["no verb is called 'chekc'", "did you mean check?"]),
    "convert": ("convert m.onnx m.gir", 2, ["did you mean export?"]),
    "predict": ("predict m.onnx", 2, ["did you mean run?"]),
    "show": ("show m.onnx", 2, ["did you mean info?"]),
    "validate": ("validate m.onnx", 2, ["did you mean check?"]),
    "fit": ("FIT m.onnx", 2, ["did you mean train?"]),
    "gradient": ("gradient m.onnx", 2, ["did you mean grad"]),
    "something": ("dance m.onnx", 2, ["no verb is called 'dance'; there are run, export"]),
    # models
    "no such model": ("info n.onnx", 1, ["n.onnx: there is no such file; did you mean one.onnx"]),
    "no such model, no suffix": ("info modell", 1, ["there is no such file", "modell"]),
    "without its suffix": ("info m", 1, ["there is no such file"]),
    "arrays as a model": ("info data.npz", 1, ["it is a file of NumPy arrays (.npz), and no model"]),
    "a model and arrays": ("run m.onnx ints.npy", 2, ["extra argument (ints.npy); graphir run takes MODEL; arrays go with --inputs"]),
    "two models": ("info m.onnx one.onnx", 2, ["graphir info takes MODEL ("]),
    "no destination": ("export m.onnx", 2, ["Missing argument 'DESTINATION'"]),
    "a format that is not there": ("export m.onnx m.tflite", 1, ["no format has the suffix '.tflite'"]),
    "format by another name": ("export m.onnx - --format safetensors", 1, ["no format is called 'safetensors'", "did you mean gir?"]),
    # inputs
    "double": ("run m.onnx --input x=double.npy", 0, ["note: x is float64[12, 4], and is cast to float32"]),
    "double in an npz": ("run m.onnx --inputs floats.npz", 0, ["note: x is float64[12, 4], and is cast to float32", "also holds y"]),
    "too large": ("run m.onnx --input x=huge.npy", 1, ["the input x was given", "which float32 cannot hold"]),
    "byte order": ("run m.onnx --input x=big_endian.npy", 0, []),
    "integers in range": ("run bytes.onnx --input x=ints.npy", 0, ["note: x is int64[2, 4], and is cast to uint8"]),
    "integers out of range": ("run bytes.onnx --input x=large.npy", 1, ["the input x was given 300, which uint8 cannot hold"]),
    "floats for integers": ("run bytes.onnx --input x=double.npy", 1, ["x: uint8[N, 4] was given float64[12, 4]; cast it to uint8"]),
    "integers for floats": ("run m.onnx --input x=ints.npy", 1, ["was given int64[2, 4]; cast it to float32"]),
    "an empty npz": ("run m.onnx --inputs empty.npz", 1, ["the input x (float32[N, 4]) is missing; empty.npz holds no arrays"]),
    "case of a key": ("run m.onnx --inputs upper.npz", 1, ["upper.npz holds X, y; did you mean X?"]),
    "case of an input": ("run m.onnx --input X=zeros", 1, ["no input is called 'X'", "did you mean x?"]),
    "an npy for an npz": ("run m.onnx --inputs ints.npy", 1, ["or --input x=ints.npy"]),
    "an npz for an npy": ("run m.onnx --input x=data.npz", 1, ["or --inputs data.npz"]),
    "a shape": ("run m.onnx --input x=2x4", 1, ["--input x=2x4: there is no such file; x=random:2x4 draws numbers of that shape"]),
    "a shape with commas": ("run m.onnx --input x=2,4", 1, ["x=random:2,4 draws"]),
    "one size": ("run m.onnx --input x=4", 1, ["x=random:4 draws"]),
    "ones": ("run m.onnx --input x=ones", 1, ["expected a file, zeros, random or random:8x64"]),
    "a number": ("run m.onnx --input x=0.5", 1, ["expected a file, zeros, random"]),
    "numbers": ("run m.onnx --input x=[1,2.5]", 1, ["expected a file, zeros, random"]),
    "Random": ("run m.onnx --input x=Random", 1, ["did you mean random?"]),
    "randn": ("run m.onnx --input x=randn:2x4", 1, ["did you mean random?"]),
    "zero": ("run m.onnx --input x=zero", 1, ["did you mean zeros?"]),
    "a file that is nearly there": ("run m.onnx --input x=int.npy", 1, ["there is no such file; did you mean ints.npy"]),
    "a picture": ("run m.onnx --input x=cat.png", 1, ["cat.png holds no arrays: it is a picture; write them with numpy.save('FILE.npy', numpy.asarray(PIL.Image.open('cat.png')))"]),
    "pictures": ("run m.onnx --inputs cat.png", 1, ["cat.png holds no arrays: it is a picture; write them with numpy.savez('FILE.npz', NAME="]),
    "a table": ("run m.onnx --input x=rows.csv", 1, ["numpy.save('FILE.npy', numpy.loadtxt('rows.csv', delimiter=','))"]),
    "a tensor": ("run m.onnx --input x=tensor.pt", 1, ["it is a file of PyTorch; write them with numpy.save('FILE.npy', tensor.numpy())"]),
    "objects": ("run m.onnx --input x=objects.npy", 1, ["objects are not unpickled"]),
    "another device": ("run m.onnx --input x=zeros --dim N=1 --runtime cuda", 1, ["did you mean cupy?"]),
    "case of a runtime": ("run m.onnx --input x=zeros --dim N=1 --runtime NumPy", 1, ["did you mean numpy"]),
    "ort": ("run m.onnx --input x=zeros --dim N=1 --against ort", 1, ["did you mean onnxruntime?"]),
    "an option": ("run m.onnx --imput x=zeros", 2, ["No such option '--imput'", "--input"]),
    "fetch": ("run m.onnx --input x=zeros --dim N=1 --fetch outt", 1, ["did you mean out?"]),
    "one example": ("run m.onnx --input x=one.npy", 1, ["given the shape [4]; expected [N, 4]; for an array x, x[None] is [1, 4]"]),
    "rows and columns": ("run m.onnx --input x=turned.npy", 1, ["for an array x, x.transpose(1, 0) is [12, 4]"]),
    "not flat": ("run m.onnx --input x=squares.npy", 1, ["for an array x, x.reshape(-1, 4) is [12, 4]"]),
    "channels last": ("run images.onnx --input x=last.npy", 1, ["for an array x, x.transpose(0, 3, 1, 2) is [2, 3, 5, 5]"]),
    "an image": ("run images.onnx --input x=image.npy", 1, ["for an array x, x.transpose(2, 0, 1)[None] is [1, 3, 5, 5]"]),
    "no channel": ("run grey.onnx --input x=grey.npy", 1, ["for an array x, x.reshape(-1, 1, 5, 5) is [2, 1, 5, 5]"]),
    "no hint": ("run m.onnx --input x=random:2x5", 1, ["given the shape [2, 5]; expected [N, 4]"]),
    "npz for one": ("run m.onnx --input data.npz", 2, ["an .npz goes with --inputs data.npz"]),
    "unknown pattern to fetch": ("run m.onnx --input x=zeros --dim N=1 --fetch q*", 1, ["no value 'q*' in the model; there are x, out"]),
    "pattern to fetch": ("run m.onnx --input x=zeros --dim N=1 --fetch o*", 0, []),
    "gigabytes": ("run m.onnx --input x=zeros --dim N=1 --limit-memory 4GB", 0, []),
    "gibibytes": ("run m.onnx --input x=zeros --dim N=1 --limit-memory 1GiB", 0, []),
    "no bytes": ("run m.onnx --input x=zeros --dim N=1 --limit-memory 1i", 2, ["'1i' is no number of bytes, such as 4G"]),
    "batch": ("run m.onnx --input x=zeros --batch 4", 2, ["No such option '--batch'; did you mean --dim N=8?"]),
    "device": ("run m.onnx --input x=zeros --device cuda", 2, ["did you mean --runtime?"]),
    "verbose": ("info m.onnx -v", 2, ["did you mean --debug?"]),
    "a URL": ("info https://example.com/m.onnx", 1, ["https://example.com/m.onnx: a file on this machine is expected; download it first"]),
    "dashes": ("--info m.onnx", 2, ["verbs have no dashes: graphir info"]),
    "help": ("help", 2, ["did you mean graphir --help?"]),
    "a destination as an option": ("export m.onnx -o n.onnx", 2, ["graphir export takes MODEL DESTINATION"]),
    "a format against the name": ("export m.onnx n.onnx --format gir", 2, ["n.onnx would be a file of format gir; expected a name that ends in .gir"]),
    "words for a number": ("train m.onnx data.npz t.onnx --batch-size ten", 2, ["'ten' is not a valid whole number"]),
    # gradients
    "a pattern of nothing": ("grad m.onnx g.onnx --wrt q*", 1, ["no value 'q*' in the model; there are x, out, layer1.weight"]),
    "a pattern nearly of something": ("grad m.onnx g.onnx --wrt layr1.weight", 1, ["did you mean layer1.weight?"]),
    "stop of nothing": ("grad m.onnx g.onnx --stop q*", 1, ["no value 'q*' in the model; there are x"]),
    "of": ("gradcheck m.onnx --of logits", 1, ["no value 'logits'", "there are x, out"]),
    # training
    "labels": ("train m.onnx labels.npz t.onnx", 1, ["it holds x, labels; name with --target what is to be learned, such as labels"]),
    "inputs": ("train m.onnx upper.npz t.onnx", 1, ["the data lacks x (float32[N, 4]); it holds X, y; did you mean X? Keys are the names of the inputs"]),
    "no data": ("train m.onnx empty.npz t.onnx", 1, ["it holds nothing"]),
    "an npy": ("train m.onnx ints.npy t.onnx", 1, ["ints.npy holds one array without a name; expected an .npz: numpy.savez("]),
    "a csv": ("train m.onnx rows.csv t.onnx", 1, ["it is text that begins '1,2,3,4'", "numpy.savez("]),
    "whole floats": ("train m.onnx floats.npz t.onnx", 0, ["note: the data has y as float64[12], which is taken as int64[12]"]),
    "half a class": ("train m.onnx halves.npz t.onnx", 1, ["y as float64[12]; expected int64[N], and y[0] is 0.5, no class number"]),
    "one-hot": ("train m.onnx onehot.npz t.onnx", 1, ["labels are class numbers, and of one-hot rows those are y.argmax(axis=1)"]),
    "a column": ("train m.onnx column.npz t.onnx", 0, ["note: the data has y as int64[12, 1], which is taken as int64[12]"]),
    "no column": ("train one.onnx flat.npz t.onnx --loss mse", 0, ["note: the data has y as float32[12], which is taken as float32[12, 1]"]),
    "one score": ("train one.onnx flat.npz t.onnx", 1, ["for yes or no, take the loss binary_cross_entropy"]),
    "labels from 1": ("train m.onnx from1.npz t.onnx", 1, ["the model has 3 classes, 0 to 2; they are counted from 0"]),
    "labels as text": ("train m.onnx texts.npz t.onnx", 1, ["numpy.unique(y, return_inverse=True)[1] are class numbers"]),
    "arrays without names": ("train m.onnx unnamed.npz t.onnx", 1, ["numpy.savez('FILE.npz', x=..., y=...) gives arrays their names"]),
    "labels for squares": ("train m.onnx data.npz t.onnx --loss mse", 1, ["for class numbers, take the loss cross_entropy"]),
    "flat data": ("train m.onnx squares.npz t.onnx", 1, ["for an array x, x.reshape(-1, 4) is [12, 4]"]),
    "a model as data": ("train data.npz m.onnx t.onnx", 1, ["m.onnx is called as a model is; expected arrays, in FILE.npz: the model comes first"]),
    "a share in percent": ("train m.onnx data.npz t.onnx --validation 25%", 0, []),
    "no share": ("train m.onnx data.npz t.onnx --validation 0", 1, ["validation is 0.0 of 12 examples; expected a share between 0 and 1"]),
    "yes or no": ("train one.onnx flat.npz t.onnx --loss bce", 0, ["taken as float32[12, 1]"]),
    "an output called y": ("train y.onnx data.npz t.onnx --output y", 0, []),
    "crossentropy": ("train m.onnx data.npz t.onnx --loss crossentropy", 0, []),
    "CrossEntropyLoss": ("train m.onnx data.npz t.onnx --loss CrossEntropyLoss", 0, []),
    "cross-entropy": ("train m.onnx data.npz t.onnx --loss cross-entropy", 0, []),
    "Adam": ("train m.onnx data.npz t.onnx --optimizer Adam --lr 0.01", 0, []),
    "SGD": ("train m.onnx data.npz t.onnx --optimizer SGD", 0, []),
    "AdamW": ("train m.onnx data.npz t.onnx --optimizer AdamW", 2, ["there are sgd, momentum, adam; did you mean adam?"]),
    "mean": ("train m.onnx data.npz t.onnx --loss mean_square_error", 1, ["did you mean mean_squared_error?"]),
    "optimiser": ("train m.onnx data.npz t.onnx --optimiser adam", 2, ["--optimizer"]),
    "an output that is not there": ("train m.onnx data.npz t.onnx --output logits", 1, ["there are 1 outputs of floats (out); name one with --output"]),
    "weights that are not there": ("train m.onnx data.npz t.onnx --wrt fc*", 1, ["no value 'fc*' in the model; the weights are layer1.weight"]),
}  # fmt: skip


@pytest.mark.parametrize("row", TYPED)
def test_what_people_type(here: Path, capsys: pytest.CaptureFixture[str], row: str) -> None:
    command, status, says = TYPED[row]
    arguments = command.split() + (TRAIN if command.startswith("train") else [])
    assert main(arguments) == status, capsys.readouterr().err
    printed = capsys.readouterr()
    assert all(text in printed.err for text in says), printed.err
    if status:
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and not printed.out
        assert not {"t.onnx", "g.onnx"} & {p.name for p in here.iterdir()}
    else:
        assert says or not printed.err


def test_no_option_is_explained_by_none(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("run", "export", "info", "check", "grad", "gradcheck", "train", "runtimes"):
        assert main([verb, "--help"]) == 0
        assert "None" not in capsys.readouterr().out


def test_the_history_tells_what_was_done(here: Path) -> None:
    assert main(["train", "m.onnx", "data.npz", "t.onnx", "--epochs", "1", "--loss", "CE", "--optimizer", "ADAM"]) == 0
    said = json.loads(Path("t.history.json").read_text())
    assert (said["batch_size"], said["loss"], said["optimizer"]) == (32, "cross_entropy", "adam")


def test_names_of_any_length_are_shortened(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "n" * 1_000_000
    graphir.save(linear(output=f"o{long}", x=f"x{long}"), "long.onnx")
    for arguments in (["info"], ["run"], ["run", "--input", "x=zeros"], ["run", "--input", f"x{long}=random:2x4"], ["grad", "g.onnx"], ["train", "data.npz", "t.onnx"], ["gradcheck", "--of", "q"]):  # fmt: skip
        main([arguments[0], "long.onnx", *arguments[1:]])
        printed = capsys.readouterr()
        assert 0 < len(printed.out + printed.err) < 2000 and "nnn...nnn" in printed.out + printed.err
    assert main(["export", "long.onnx", "-", "--format", "txt"]) == 0
    assert long in capsys.readouterr().out  # what is exported is whole


def test_lists_of_any_length_are_shortened(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = Graph("many")
    x = graph.input("x", TensorType("float32", ("N",)))
    for i in range(3000):
        graph.output(ops.activation.relu(x), f"name{i}")
    graphir.save(Model(graph), "many.onnx")
    assert main(["grad", "many.onnx", "g.onnx"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and len(said) < 4000
    assert "the model has 3000 float outputs (name0, name1," in said and "name2999); say with --of which is meant" in said


# ---- in Python ----------------------------------------------------------------------------------------------------------------------

X = {"x": ROWS}
CALLED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "an array": (lambda p: p.run(ROWS), TypeError, "the feeds are a ndarray; expected a mapping from names to arrays: run({'x': ...})"),
    "a list": (lambda p: p.run([ROWS]), TypeError, "expected a mapping from names to arrays: run({'x': ...})"),
    "names first": (lambda p: p.run(None, X), TypeError, "the feeds come first, then what to fetch: run({'x': ...})"),
    "names first, some": (lambda p: p.run(["out"], X), TypeError, "the feeds come first, then what to fetch: run({'x': ...})"),
    "nothing": (lambda p: p.run(None), TypeError, "the feeds are None; expected a mapping"),
    "text": (lambda p: p.run("x.npy"), TypeError, "the feeds are 'x.npy'; expected a mapping"),
    "case": (lambda p: p.run({"X": ROWS}), ValueError, "no input 'X'; the inputs are x: float32[N, 4]; did you mean x?"),
    "double": (lambda p: p.run({"x": ROWS.astype(float)}), ValueError, "was given float64[12, 4]; cast it to float32"),
    "one example": (lambda p: p.run({"x": ROWS[0]}), ValueError, "expected [N, 4]; for an array x, x[None] is [1, 4]"),
    "another value": (lambda p: p.run(X, "outt"), KeyError, "no value 'outt' in the model; did you mean out?"),
}  # fmt: skip


@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("row", CALLED)
def test_calls_of_a_program(row: str, runtime: str) -> None:
    call, error, words = CALLED[row]
    with pytest.raises(error, match=re.escape(words)) as e:
        call(graphir.compile(linear(), runtime))
    assert "\n" not in str(e.value)


class Foreign:
    """An array of another library."""

    def __init__(self, x: np.ndarray) -> None:
        self.__dlpack__, self.__dlpack_device__ = x.__dlpack__, x.__dlpack_device__
        self.dtype, self.shape = "theirs.float32", x.shape


@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("x", [ROWS.astype(">f4"), Foreign(ROWS), ROWS.tolist(), ROWS.data], ids=lambda x: type(x).__name__)
def test_arrays_of_others_go_in(x: Any, runtime: str) -> None:
    np.testing.assert_allclose(graphir.compile(linear(), runtime).run({"x": x})["out"], ROWS @ np.ones((4, 3), F32), rtol=1e-5)


any_model: Any = linear()
ASKED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "device": (lambda: graphir.compile(linear(), device="cuda"), TypeError, "runtime numpy takes no option 'device'; it takes limits, seed; what it runs on is chosen by the runtime: runtime='cupy' is a GPU"),
    "providers": (lambda: graphir.compile(linear(), "onnxruntime", providers=["x"]), TypeError, "runtime onnxruntime takes no option 'providers'; it takes limits, seed, threads; what it runs on"),
    "thread": (lambda: graphir.compile(linear(), "onnxruntime", thread=2), TypeError, "it takes limits, seed, threads; did you mean threads?"),
    "CPUExecutionProvider": (lambda: graphir.compile(linear(), "CPUExecutionProvider"), ValueError, "did you mean numpy?"),
    "cuda:0": (lambda: graphir.compile(linear(), "cuda:0"), ValueError, "did you mean cupy?"),
    "a name": (lambda: graphir.compile("m.onnx"), TypeError, "graphir.load('m.onnx') reads one"),  # pyright: ignore[reportArgumentType]
    "a model of a name": (lambda: Model("m.onnx"), TypeError, "the graph of the model is 'm.onnx'; expected a Graph; graphir.load(path) reads a model"),  # pyright: ignore[reportArgumentType]
    "run": (lambda: any_model.run(X), AttributeError, "a Model has no 'run'; program = graphir.compile(model); program.run({'x': ...}) runs it"),
    "predict": (lambda: any_model.predict, AttributeError, "program.run({'x': ...}) runs it"),
    "save": (lambda: any_model.save("m.gir"), AttributeError, "graphir.save(model, path) writes it"),
    "fit": (lambda: any_model.fit, AttributeError, "graphir.training.fit(model, data) trains it"),
    "attribute": (lambda: any_model.nothing, AttributeError, "a Model has no 'nothing'"),
    "train": (lambda: graphir.fit, AttributeError, "did you mean graphir.training.fit(model, data)?"),  # pyright: ignore[reportAttributeAccessIssue]
    "session": (lambda: graphir.InferenceSession, AttributeError, "did you mean graphir.compile(model).run({...})?"),  # pyright: ignore[reportAttributeAccessIssue]
    "near": (lambda: graphir.gradients, AttributeError, "did you mean gradient"),  # pyright: ignore[reportAttributeAccessIssue]
    "rate": (lambda: training.step(linear(), lr=0.1), TypeError, "there is no option 'lr'; expected stop, scale, straight_through, ties"),  # pyright: ignore[reportCallIssue]
    "marks": (lambda: graphir.gradient(linear(), stops="x"), TypeError, "there is no option 'stops'; expected stop, scale, straight_through, ties; did you mean stop"),  # pyright: ignore[reportCallIssue]
    "bytes": (lambda: graphir.load(b"abc"), TypeError, "expected the name of a file; graphir.loads(data) reads bytes"),  # pyright: ignore[reportArgumentType]
    "a stream": (lambda: graphir.load(io.BytesIO()), TypeError, "expected the name of a file"),  # pyright: ignore[reportArgumentType]
    "no file": (lambda: graphir.load("nothing.onnx"), FileNotFoundError, "there is no such file"),
    "loss": (lambda: training.fit(linear(), {"x": ROWS, "y": np.zeros(12)}, loss="hinge"), ValueError, "no loss is called 'hinge'; there are cross_entropy, mean_squared_error, binary_cross_entropy"),
    "target": (lambda: training.fit(linear(), {"x": ROWS, "labels": np.zeros(12)}), ValueError, "name with `target` what is to be learned, such as labels"),
    "output": (lambda: training.step(linear(), output="q"), ValueError, "name one with `output`"),
    "option of a format": (lambda: graphir.dumps(linear(), "onnx", opset_version=13), TypeError, "did you mean opset, ir_version?"),
}  # fmt: skip


@pytest.mark.parametrize("row", ASKED)
def test_calls_in_python(row: str) -> None:
    call, error, words = ASKED[row]
    with pytest.raises(error, match=re.escape(words)) as e:
        call()
    assert "\n" not in str(e.value)


def test_names_of_others_are_understood() -> None:
    losses = [
        training.fit(linear(), {"x": ROWS, "y": np.arange(12) % 3.0}, loss, epochs=1).history
        for loss in ("cross_entropy", "CE", "CrossEntropyLoss")
    ]
    assert losses[0] == losses[1] == losses[2]
    notes: list[str] = []
    data = {"x": ROWS, "y": np.ones((12, 1, 3, 1))}
    training.fit(linear(), data, "MSE", epochs=1, note=notes.append)
    assert notes == ["the data has y as float64[12, 1, 3, 1], which is taken as float32[12, 3]"]

"""The native file: everything of a model there and back, readable by others, written whole or not at all."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from graphir.dtypes import DTYPES
from graphir.file import data, dumps, json_format, load, loads, save
from graphir.file.container import Container, Stored, write
from graphir.file.message import DEPTH, encode
from graphir.ir import Graph, Operator
from graphir.model import Function, Model
from graphir.ops.elementwise import add
from graphir.plugins import FormatError
from graphir.tensors import Tensor
from graphir.types import TensorType
from samples import array_of, container, data_of, everything, nested, parts_of, picture, small, tree_of

# ---- there and back -----------------------------------------------------------------------------------------------------------------


def test_everything_there_and_back(tmp_path):
    model = everything()
    expected, written = picture(model), dumps(model)
    assert picture(loads(written, verify=True)) == expected
    save(model, tmp_path / "m.gir")
    assert (tmp_path / "m.gir").read_bytes() == written
    loaded = load(tmp_path / "m.gir")
    assert picture(loaded) == expected
    save(loaded, tmp_path / "m.gir")  # over the file that it reads from
    assert picture(loaded) == expected
    assert (tmp_path / "m.gir").read_bytes() == written


def test_the_picture_sees_differences():
    """What the test above compares by is no blind witness."""
    for change in (
        lambda m: m.graph.nodes[0].attributes.update(float=0.2),
        lambda m: m.graph.nodes[0].attributes.update(whole=2),
        lambda m: m.graph.nodes[0].attributes.update(nan=float("nan")),
        lambda m: setattr(m.graph, "weights", dict(reversed(m.graph.weights.items()))),
        lambda m: setattr(m.graph.nodes[2].attributes["then_branch"].nodes[0], "name", "other"),
        lambda m: setattr(m.graph.weights["twice"].tensor, "storage", "external"),
        lambda m: m.graph.nodes[0].outputs.append(None),
    ):
        model = everything()
        change(model)
        assert picture(model) != picture(everything())
    assert picture(everything()) == picture(everything())


def test_types_are_inferred_on_load():
    model = loads(dumps(small()))
    assert [str(v.type) for v in model.outputs] == ["float32[N, 3]"]
    assert model.outputs[0].declared is None


def test_message_is_deterministic_and_readable():
    message = encode(small())[0].decode()
    assert message == encode(small())[0].decode() == encode(loads(dumps(small())))[0].decode()
    for line in (
        '{"name": "x", "type": "float32[N, 3]"}',
        '{"name": "w", "tensor": "w", "type": "float32[3]"},',
        '{"name": "v", "tensor": "w", "type": "float32[3]"}',
        '{"op": "Add", "inputs": ["x", "w"], "outputs": ["s"]},',
    ):
        assert line in map(str.strip, message.splitlines())


def test_equal_data_is_stored_once():
    graph = Graph()
    a = np.zeros(4, np.float32)
    same = [graph.weight("a", a), graph.weight("b", a.copy()), graph.weight("c", Tensor.of(a).array)]
    for name, other in {"minus": -a, "shape": a.reshape(2, 2), "type": a.view(np.int32), "nan": a * np.nan}.items():
        graph.weight(name, other)
    graph.append(Operator("x", "Y"), (), {"a": Tensor.of(a)}, (None,), "n", ("y",))
    assert list(encode(Model(graph))[1]) == ["a", "minus", "shape", "type", "nan"]
    loaded = loads(dumps(Model(graph)))
    assert all(np.array_equal(data_of(loaded.graph.weights[w.name]), a) for w in same)
    assert np.array_equal(data_of(loaded.graph), a)


def test_keys_are_addresses():
    """Weights of bodies too, and whatever the names, no two data share a key."""
    graph = Graph()
    body = Graph("body", graph)
    values = [
        graph.weight("n/w", np.array([1])),
        body.weight("w", np.array([2])),
        graph.weight("n/value", np.array([3])),
        graph.weight("\ud800", np.array([4])),
    ]
    graph.append(Operator("x", "Y"), (), {"body": body, "value": Tensor.of([5])}, (None,), "n", ("y",))
    model = Model(graph)
    keys = {key: int(t.array[0]) for key, t in encode(model)[1].items()}
    assert keys == {"n/w": 1, "n/w#2": 2, "n/value": 3, "?": 4, "n/value#2": 5}
    assert {a: int(data_of(w)[0]) for a, w in model.weights.items()} == {"n/w": 1, "n/w#2": 2, "n/value": 3, "\ud800": 4}
    assert [int(data_of(w)[0]) for w in loads(dumps(model)).weights.values()] == [1, 3, 4, 2]
    assert safetensors.numpy.load(dumps(model))["n/w#2"] == data_of(values[1])


# ---- other tools --------------------------------------------------------------------------------------------------------------------


def test_safetensors_reads_all_of_it():
    model = everything()
    written = dumps(model)
    found = dict(safetensors.deserialize(written))
    tensors = encode(model)[1]
    assert set(found) == {*tensors, "graphir.model"}
    for key, tensor in tensors.items():
        assert found[key]["dtype"] == data.code_of(tensor.dtype)
        assert bytes(found[key]["data"]) == b"".join(bytes(c) for c in data.chunks(tensor))
        if data.code_of(tensor.dtype) != "U8" or tensor.dtype == np.uint8:
            assert found[key]["shape"] == list(tensor.shape)
            assert bytes(found[key]["data"]) == tensor.array.tobytes()
    assert json.loads(bytes(found["graphir.model"]["data"])) == tree_of(model)


def test_safetensors_gives_the_weights(tmp_path):
    save(small(), tmp_path / "m.gir")
    found = safetensors.numpy.load_file(tmp_path / "m.gir")
    assert found["w"].dtype == np.float32
    assert found["w"].tolist() == [1.5, -2.0, 0.25]


@pytest.mark.parametrize("name", [n for n in data._NAMES if not n.startswith(("bfloat", "float8"))])
def test_files_of_safetensors_are_read(name):
    arrays = {"a": array_of(name), "empty": np.zeros((0, 2), name), "scalar": array_of(name)[:1].reshape(())}
    found = Container(safetensors.numpy.save(arrays))
    for key, a in arrays.items():
        read = found.array(key, a.dtype, a.shape)
        assert read.dtype == a.dtype
        assert read.tobytes() == a.tobytes()
        assert not read.flags.writeable
    with pytest.raises(FormatError, match="holds tensors, but no model"):
        loads(safetensors.numpy.save(arrays))


def test_every_code_of_safetensors_is_known():
    """The package names all its types in the error for one that it does not know."""
    with pytest.raises(safetensors.SafetensorError) as e:
        safetensors.deserialize(container({"a": Stored("X1", [], 1, 1, lambda: [b"0"])}, {}))
    assert {part.strip("` ") for part in str(e.value).split("one of ")[1].split(" at ")[0].split(",")} == set(data.CODES)


def test_places_are_aligned(tmp_path):
    save(everything(), tmp_path / "m.gir")
    for graph in load(tmp_path / "m.gir").graphs():
        for w in graph.weights.values():
            if isinstance(w.tensor, Tensor) and w.tensor.dtype != DTYPES["string"]:
                assert w.tensor.array.flags.aligned and w.tensor.array.ctypes.data % w.tensor.dtype.alignment == 0


# ---- what cannot be written ---------------------------------------------------------------------------------------------------------


def shared_name(graph):
    graph.append(Operator("x", "A"), (), {}, (None,), "a", ("v",))
    graph.append(Operator("x", "A"), (), {}, (None,), "b", ("v",))
    graph.append(Operator("x", "B"), (graph.nodes[0].outputs[0],), {}, (None,), "c", ("w",))


def wrong_order(graph):
    shared_name(graph)
    graph.nodes[0].outputs[0]._name = "u"
    graph.nodes.reverse()


def too_deep(graph, depth=DEPTH):
    for _ in range(depth):
        body = Graph("b", graph)
        graph.append(Operator("x", "A"), (), {"body": body}, (None,), "", ("v",))
        graph = body


def test_bodies_in_bodies_up_to_the_limit():
    graph = Graph("top")
    too_deep(graph, DEPTH - 1)
    model = loads(dumps(Model(graph)))
    assert max(g.depth for g in model.graphs()) == DEPTH - 1


def test_functions_that_call_each_other_cannot_be_written():
    graphs = Graph("f"), Graph("g")
    for graph, called in zip(graphs, "gf"):
        graph.append(Operator("", called), (), {}, (), "", ())
    model = Model(Graph(), functions={("", name, ""): Function("", name, graph) for name, graph in zip("fg", graphs)})
    with pytest.raises(FormatError, match=r"function [fg] calls itself, or a function that does"):
        dumps(model)


def attribute(x):
    return lambda graph: graph.append(Operator("x", "A"), (), {"a": x}, (None,), "n", ("v",))


def carried(x):
    return lambda graph: setattr(graph, "carried", {"a": x})


def odd_text(graph):
    graph.weight("t", np.array(["a", 5], object))


@pytest.mark.parametrize(
    ("build", "complaint"),
    [(shared_name, "graph 'bad': node 'c': 'v' is another value here"), (wrong_order, "node 'c': 'u' is another value here, or none"), (too_deep, "nested deeper than 48"),
     (attribute({}), "node 'n': 'n/a' is of type dict"), (attribute(2**70), "does not fit 64 bits"), (carried({1}), "type set"), (carried(nested(1)), "nested deeper"),
     (carried({1: 2}), "type dict"), (odd_text, "tensor 't': an element of a string tensor is 5")],
)  # fmt: skip
def test_what_cannot_be_written(build, complaint, tmp_path):
    graph = Graph("bad")
    build(graph)
    path = tmp_path / "m.gir"
    path.write_text("old")
    with pytest.raises(FormatError, match=r"m\.gir: ") as e:
        save(Model(graph), path)
    assert complaint in str(e.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.gir"]


KILLED = """
import os, sys, time
import numpy as np
import graphir.file.data as data
from graphir import Graph, Model
from graphir.file import save

def slow(tensor, whole=data.chunks):
    (chunk,) = whole(tensor)
    yield chunk[:1000]
    if slow.written:
        print("half way", flush=True)
        time.sleep(60)
    yield chunk[1000:]

slow.written = False
graph = Graph()
graph.weight("w", np.ones(10_000, np.float32))
parts = data.size_of
data.size_of = lambda t: (setattr(slow, "written", True), parts(t))[1]
data.chunks = slow
save(Model(graph), __import__("pathlib").Path(sys.argv[1]))
"""


def test_a_killed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.gir"
    save(small(), path)
    before = path.read_bytes()
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "half way\n"
        (temporary,) = {p.name for p in tmp_path.iterdir()} - {"m.gir"}
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_bytes() == before
    assert load(path, verify=True).weights.keys() == {"w", "v"}
    assert (tmp_path / temporary).exists(), "the process was killed while it wrote"


# ---- size ---------------------------------------------------------------------------------------------------------------------------


class Holes:
    """A file to write to in which a range stands for zeros that are not written."""

    def __init__(self, file):
        self.file = file

    def write(self, chunk):
        self.file.seek(len(chunk), 1) if isinstance(chunk, range) else self.file.write(chunk)


BIG = """
import os, resource, sys
from pathlib import Path
from typing import Any
from graphir.file import load
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = load(Path(sys.argv[1]))
array = model.weights["w"].tensor.array
assert array.shape == (1 << 27,) and array[-1] == 0 and not array.flags.owndata
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_is_not_read(tmp_path):
    """Half a gigabyte, of which load touches the header, the message and what is asked for."""
    size = 1 << 29
    tree = {"version": 1, "graph": {"weights": [{"name": "w", "tensor": "w", "type": f"float32[{size // 4}]"}]}, "sha256": {"w": ""}}
    path = tmp_path / "big.gir"
    with path.open("wb") as file:
        holes: Any = Holes(file)
        write(holes, *parts_of(tree, w=Stored("F32", [size // 4], size, 4, lambda: [range(size)])), "graphir.header_sha256")
    done = subprocess.run([sys.executable, "-c", BIG, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8000, "kilobytes more than before"


def test_saving_takes_little_memory(tmp_path):
    """Arrays are written from where they lie: nothing is copied whole."""
    import tracemalloc

    graph = Graph()
    for i in range(4):
        graph.weight(f"w{i}", Tensor.of(np.full(1 << 22, i, np.float32)))
    tracemalloc.start()
    save(Model(graph), tmp_path / "m.gir")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 21


# ---- .json --------------------------------------------------------------------------------------------------------------------------


def test_json_is_the_message(tmp_path):
    path = tmp_path / "m.json"
    json_format.save(small(), path)
    assert path.read_bytes() == json_format.dumps(small()) == bytes(Container(dumps(small())).view("graphir.model"))
    with pytest.raises(FormatError, match=r"m\.json: graph 'small': weight 'w': tensor 'w': the data of this float32\[3\] is missing"):
        json_format.load(path)


def test_json_without_tensors_is_complete():
    graph = Graph()
    x = graph.input("x", TensorType("float32", ("N",)))
    graph.output(add(x, x), "y")
    loaded = json_format.loads(json_format.dumps(Model(graph, opsets={"": 28})))
    assert str(loaded.outputs[0].type) == "float32[N]"
    with pytest.raises(FormatError, match="JSON text is broken"):
        json_format.loads(b"{")


def test_formats_know_their_own():
    from graphir import file

    written = dumps(small())
    assert file.recognizes(written) and not file.recognizes(b"{}") and not file.recognizes(b"\x08\x07\x12\x04test")
    assert json_format.recognizes(b' {"version": 1}') and not json_format.recognizes(written)


def test_paths_are_paths(tmp_path):
    save(small(), Path(tmp_path) / "é ☃.gir")
    assert load(Path(tmp_path) / "é ☃.gir").graph.name == "small"

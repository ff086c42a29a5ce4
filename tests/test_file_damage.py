"""Native files that are damaged, cut off or hostile are refused, with an error that names the file and the place."""

import hashlib
import json
import os
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphir.file import dumps, load, loads
from graphir.file.container import Container, Stored
from graphir.file.message import DEPTH
from graphir.plugins import FormatError
from samples import ARRAY, container, data_of, nested, signed, small, tree_of

# ---- damage -------------------------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_is_noticed():
    """In the header and the message when the file is loaded, in a tensor when it is verified."""
    written = dumps(small())
    found = Container(written)
    tensor, message = found.entries["w"], found.entries["graphir.model"]
    regions = {
        "header": range(tensor.offset),
        "tensor": range(tensor.offset, tensor.offset + 12),
        "message": range(message.offset, len(written)),
    }
    assert sum(map(len, regions.values())) == len(written)
    for region, places in regions.items():
        for at in places:
            damaged = bytearray(written)
            damaged[at] ^= 1 << at % 8
            if region == "tensor":
                loads(bytes(damaged))
            with pytest.raises(FormatError, match="tensor 'w' does not match its checksum" if region == "tensor" else "the data: "):
                loads(bytes(damaged), verify=True)


def test_truncated_files_are_refused(tmp_path):
    written = dumps(small())
    path = tmp_path / "cut.gir"
    for length in range(len(written)):
        with pytest.raises(FormatError):
            loads(written[:length])
    for length in (0, 1, 7, 8, 9, 100, len(written) - 1):
        path.write_bytes(written[:length])
        with pytest.raises(FormatError, match=r"cut\.gir: "):
            load(path)
    for more in (b"\0", b" " * 8):
        with pytest.raises(FormatError, match="too long"):
            loads(written + more)


def header(**entries) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


HOSTILE = [
    (b"", "0 bytes"),
    (b"\xff" * 16, "the header claims 18446744073709551615 bytes"),
    (struct.pack("<Q", 100_000_001) + b"{" * 20, "the header claims"),
    (struct.pack("<Q", 2) + b"[]", "another format"),
    (struct.pack("<Q", 2) + b"{x", "JSON text is broken"),
    (struct.pack("<Q", 4) + b'{"\xff"', "not UTF-8"),
    (struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995, "nested too deep"),
    (struct.pack("<Q", 13) + b'{"a":1,"a":2}', "'a' is given twice"),
    (header(a=[]), "'a': its entry"),
    (header(a={"dtype": "U8", "shape": [0], "data_offsets": [0, 0], "more": 1}), "'a': its entry"),
    (header(a={"dtype": "U7", "shape": [0], "data_offsets": [0, 0]}), "'a': dtype is 'U7'"),
    (header(a={"dtype": [], "shape": [0], "data_offsets": [0, 0]}), "'a': dtype is"),
    (header(a={"dtype": "U8", "shape": [-1], "data_offsets": [0, 0]}), "'a': shape and data_offsets"),
    (header(a={"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}) + b"x", "'a': shape and data_offsets"),
    (header(a={"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}) + b"x", "'a': shape and data_offsets"),
    (header(a={"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}) + b"x", "'a': shape and data_offsets"),
    (header(a={"dtype": "U8", "shape": [1] * 65, "data_offsets": [0, 1]}) + b"x", "65 axes"),
    (header(a={"dtype": "U8", "shape": [2**62, 2**62], "data_offsets": [0, 4]}) + b"xxxx", "'a': data_offsets span 4 bytes"),
    (header(a={"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}) + b"xx", "'a': data_offsets span 2 bytes"),
    (header(a={"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}), "'a': data_offsets span -4 bytes"),
    (header(a={"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}) + b"xxx", "cut off"),
    (header(a={"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}) + b"xxxxx", "too long"),
    (header(a={"dtype": "U8", "shape": [4], "data_offsets": [1, 5]}) + b"xxxxx", "'a': its data begins 1 bytes behind the end of the header"),
    (header(a={"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, b={"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}) + b"xxxxxx", "'b': its data begins 2 bytes before the end of 'a'"),
    (header(a={"dtype": "U8", "shape": [1], "data_offsets": [0, 10**30]}) + b"x", "does not fit 64 bits"),
    (struct.pack("<Q", 5006) + b'{"a":' + b"9" * 5000 + b"}", "does not fit 64 bits"),
    (header(__metadata__={"a": 1}), "__metadata__"),
    (header(__metadata__=["graphir.version"]), "__metadata__"),
    (header(__metadata__={"graphir.version": "1"}), "holds tensors, but no model"),
    (container({"graphir.model": Stored("U8", [2], 2, 1, lambda: [b"{}"])}, {"graphir.version": "2"}), "format version '2'"),
    (container({"graphir.model": Stored("U8", [2], 2, 1, lambda: [b"{}"])}, {"graphir.version": "1"}), "does not match its checksum"),
    (header(__metadata__={"graphir.version": "1"}, **{"graphir.model": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}), "no checksum"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "complaint"), HOSTILE, ids=[c for _, c in HOSTILE])
def test_hostile_containers(written, complaint):
    with pytest.raises(FormatError, match="the data: ") as e:
        loads(written)
    assert complaint in str(e.value)


def put(path, value):
    """A change of the message: the value is put at a path of keys and places."""

    def change(tree):
        *parents, last = path
        for key in parents:
            tree = tree[key]
        tree[last] = value

    return change


def deep_graph(tree, depth=DEPTH + 1):
    inner = {"name": "g"}
    for _ in range(depth):
        inner = {"nodes": [{"op": "If", "inputs": [], "outputs": [], "attributes": {"b": {"graph": inner}}}]}
    tree["graph"] = inner


HOSTILE_MESSAGES = [
    (put(["version"], 2), "format version 2"),
    (put(["version"], "1"), "format version '1'"),
    (put(["graph"], []), "a message has graph []"),
    (put(["more"], 1), "a message has 'more' 1; expected one of version, graph"),
    (put(["opsets"], {"": "1"}), "opsets is"),
    (put(["opsets"], {"": 2.0}), "opsets is"),
    (put(["metadata"], {"a": 1}), "metadata is"),
    (put(["graph", "nodes"], {}), "a graph has 'nodes' {}; expected list"),
    (put(["graph", "nodes", 0], 5), "graph 'small': 5 stands in place of a node"),
    (put(["graph", "nodes", 0, "inputs"], ["q"]), "graph 'small': node 'Add': no value 'q' is made before it is used"),
    (put(["graph", "nodes", 0, "inputs"], ["y"]), "no value 'y' is made before it is used"),
    (put(["graph", "nodes", 0, "inputs"], [["x"]]), "no value ['x'] is made"),
    (put(["graph", "nodes", 0, "outputs"], [""]), "an output has an empty name"),
    (put(["graph", "nodes", 0, "outputs"], [3]), "3 stands in place of a output"),
    (put(["graph", "nodes", 0, "outputs"], [{"name": "s", "declared": "float32"}]), "'float32' is no type"),
    (put(["graph", "nodes", 0, "attributes"], {"a": None}), "an attribute is null"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"what": 1}}), "an attribute has the entries 'what'"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"bytes": "?"}}), "no base64"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"bytes": 5}}), "no base64"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"float": "1"}}), "no special float"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"float": "3ff0000000000000"}}), "no special float"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"ref": "x"}}), "a reference has kind None"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"tensor": "w"}}), "a tensor has type None"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"tensor": "q", "type": "bool[]"}}), "tensor 'q': the file does not hold it"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"tensor": "graphir.model", "type": "uint8[5]"}}), "the file does not hold it"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"sparse": {"shape": [-1], "values": {}, "indices": {}}}}), "the shape of a sparse tensor"),
    (put(["graph", "nodes", 0, "attributes"], {"a": {"sparse": []}}), "[] stands in place of a sparse tensor"),
    (put(["graph", "nodes", 0, "attributes"], {"a": nested(1)}), "a list of lists"),
    (put(["graph", "nodes", 0, "carried"], {"a": nested(1)}), "nested deeper"),
    (put(["graph", "nodes", 0, "carried"], {"object": 1}), "an object was expected"),
    (put(["graph", "nodes", 0, "name"], 7), "a node has 'name' 7; expected str"),
    (put(["graph", "weights", 0, "type"], "float32[4]"), "weight 'w': tensor 'w': the header has it as F32 of shape [3], but the message as float32[4]"),
    (put(["graph", "weights", 0, "type"], "float64[3]"), "the header has it as F32"),
    (put(["graph", "weights", 0, "type"], "string[3]"), "the header has it as F32"),
    (put(["graph", "weights", 0, "type"], "float32[N]"), "expected an element type and a shape"),
    (put(["graph", "weights", 0, "type"], "float32[...]"), "expected an element type and a shape"),
    (put(["graph", "weights", 0, "type"], "sequence(?)"), "expected an element type and a shape"),
    (put(["graph", "weights", 0, "type"], f"float32[{', '.join('1' * 65)}]"), "at most 64"),
    (put(["graph", "weights", 0, "kind"], "odd"), "its kind is not one of"),
    (put(["graph", "weights", 0, "storage"], "odd"), "its storage is"),
    (put(["graph", "weights", 1, "name"], "w"), "given twice"),
    (put(["graph", "weights", 1], {"name": "q"}), "an attribute has the entries"),
    (put(["graph", "inputs", 0], "q"), "the input 'q' names no weight"),
    (put(["graph", "outputs"], ["q"]), "no value 'q'"),
    (put(["updates"], [{"weight": "x", "value": "y"}]), "names no weight"),
    (put(["updates"], [{"weight": "w", "value": "y"}] * 2), "a weight twice"),
    (put(["gradients"], [{"of": "y"}]), "a gradient has wrt None"),
    (put(["functions"], [{"name": "f", "graph": {}}] * 2), "two functions are called f"),
    (put(["functions"], [{"name": "f", "graph": {"nodes": [{"op": "f", "inputs": [], "outputs": []}]}}]), "function f calls itself"),
    (put(["functions"], [{"name": "f", "graph": {}, "attributes": {"a": {"graph": {}}}}]), "function 'f': an attribute has the entries 'graph'"),
    (put(["sha256"], {}), "tensor 'w' stands in the header or in the message"),
    (put(["sha256", "graphir.model"], "00"), "stands in the header or in the message"),
    (put(["sha256", "more"], "00"), "tensor 'more' stands"),
    (deep_graph, "nested"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "complaint"), HOSTILE_MESSAGES, ids=[f"{i} {c}" for i, (_, c) in enumerate(HOSTILE_MESSAGES)])
def test_hostile_messages(change, complaint):
    tree = tree_of(small())
    loads(signed(tree, w=ARRAY), verify=True)
    change(tree)
    with pytest.raises(FormatError, match="the data: ") as e:
        loads(signed(tree, w=ARRAY))
    assert complaint in str(e.value)


@pytest.mark.parametrize(
    ("type_", "stored", "complaint"),
    [
        ("bool[2]", np.array([1, 0], bool), None),
        ("bool[2]", np.array([1, 2], np.uint8), "a byte holds 2"),
        ("int4[3]", np.array([1, 2], np.uint8), None),
        ("int4[5]", np.array([1, 2], np.uint8), "the header has it as U8 of shape [2], but the message as int4[5]"),
        ("complex128[1]", np.zeros(15, np.uint8), "the header has it as U8 of shape [15], but the message as complex128[1]"),
        ("float32[0, 4611686018427387904]", np.zeros((0, 2**62), np.uint8), "the sizes [0, 4611686018427387904] multiply to more than"),
        ("string[2]", np.frombuffer(b'["a","b"]', np.uint8), None),
        ("string[3]", np.frombuffer(b'["a","b"]', np.uint8), "no list of 3 texts"),
        ("string[2]", np.frombuffer(b'["a",1]', np.uint8), "no list of 2 texts"),
        ("string[2]", np.frombuffer(b'["a",{"float":"inf"}]', np.uint8), "no list of 2 texts"),
        ("string[2]", np.frombuffer(b'["a",', np.uint8), "JSON text is broken"),
        ("string[2]", np.frombuffer(b'["a","\xff"]', np.uint8), "not UTF-8"),
        ("string[1]", np.frombuffer(b"[" * 100_000, np.uint8), "nested too deep"),
    ],
)
def test_hostile_data(type_, stored, complaint):
    """Noticed when the file is loaded, where the sizes do not fit; else when it is verified, or when the tensor is read."""
    code = {"bool": "BOOL", "float32": "F32"}.get(type_.split("[")[0], "U8")
    tree = {
        "version": 1,
        "graph": {"nodes": [{"op": "X", "domain": "x", "inputs": [], "outputs": [], "attributes": {"a": {"tensor": "t", "type": type_}}}]},
    }
    tree |= {"sha256": {"t": hashlib.sha256(stored.tobytes()).hexdigest()}}
    written = signed(tree, t=Stored(code, list(stored.shape), stored.nbytes, 1, lambda: [stored.tobytes()]))
    if complaint is None:
        assert data_of(loads(written, verify=True).graph).size
        return
    if "header" not in complaint and "sizes" not in complaint:
        model = loads(written)
        with pytest.raises(FormatError, match="the data: tensor 't': ") as e:
            data_of(model.graph)
        assert complaint in str(e.value)
    with pytest.raises(FormatError, match=r"the data: .*tensor 't': ") as e:
        loads(written, verify=True)
    assert complaint in str(e.value)


PLACES = list(range(60))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(PLACES),
    st.sampled_from([None, True, -1, 2.5, "", "x", "w", [], [[]], {}, {"tensor": "w"}, {"graph": {}}]),
    st.booleans(),
)
def test_any_change_of_the_message_is_read_or_refused(place, value, drop):
    """The tree has a few dozen places; whatever is put there, or left out there, leads to a model or to a FormatError."""
    tree = tree_of(small())
    spots = list(walk(tree))
    holder, key = spots[place % len(spots)]
    if drop:
        del holder[key]
    else:
        holder[key] = value
    with suppress(FormatError):
        loads(signed(tree, w=ARRAY))


def walk(x):
    for key in x if isinstance(x, dict) else range(len(x)):
        yield x, key
        if isinstance(x[key], dict | list):
            yield from walk(x[key])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=40), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(noise, at):
    written = bytearray(dumps(small()))
    written[at : at + len(noise)] = noise
    with suppress(FormatError):
        loads(bytes(written))


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "bad.gir"
    path.write_bytes(b"x" * 100)
    with pytest.raises(FormatError, match=r"bad\.gir: the header claims"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.gir")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe.gir")
    with pytest.raises(FormatError, match="pipes and devices"):
        load(tmp_path / "pipe.gir")

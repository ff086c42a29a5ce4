"""Builds the torture model: it uses every field of the newest ModelProto, in ways that files do use it and in ways that they could, and fields of no known version.

It is well formed, but it is no model of anything: it is there to be read and written back byte for byte.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    helper,
)

UNKNOWN = b"\xfa\xff\x03\x05later\xc8\xfe\x03\x2a"  # field 8191, bytes; field 8169, a number: of a version yet to come
SIGNALING = struct.pack("<I", 0x7FA00001)  # a NaN whose payload a Python float does not keep
TENSORS = {k: n for k, n in TensorProto.DataType.items() if n}


def unknown(proto: Any) -> Any:
    """The message, with fields that nobody knows."""
    proto.MergeFromString(UNKNOWN)
    return proto


def notes(proto: Any, name: str) -> Any:
    """The message, with documentation, metadata (one key twice) and unknown fields."""
    proto.doc_string = f"about {name}\n\twith a tab, an é, a \u202e"
    for key, value in (("b", "2"), ("a", "1"), ("b", "3"), ("", "")):
        proto.metadata_props.add(key=key, value=value)
    return unknown(proto)


# ---- tensors ------------------------------------------------------------------------------------------------------------------------


def raw(name: str, kind: int, dims: list[int], data: bytes, **fields: Any) -> TensorProto:
    """A tensor with raw_data."""
    return TensorProto(name=name, data_type=kind, dims=dims, raw_data=data, **fields)  # pyright: ignore[reportArgumentType]


def tensors() -> Iterator[TensorProto]:
    """Tensors of all types, raw and typed, of odd sizes; and the odd ones."""
    for label, kind in TENSORS.items():
        if kind == TensorProto.STRING:
            continue
        array = np.arange(1, 8).astype(np.float32).astype(np.uint8 if label in ("UINT2", "BOOL") else np.float32)
        array = array.astype(helper.tensor_dtype_to_np_dtype(kind))
        yield onnx.numpy_helper.from_array(array, f"raw_{label}")
        typed = TensorProto(name=f"typed_{label}", data_type=kind, dims=[7])  # pyright: ignore[reportArgumentType]
        field = helper.tensor_dtype_to_field(kind)
        numbers = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2, "COMPLEX64": 14, "COMPLEX128": 14}.get(label, 7)
        getattr(typed, field).extend([i % 2 if label == "BOOL" else i + 1 for i in range(numbers)])
        yield typed
    yield raw("nan", TensorProto.FLOAT, [4], SIGNALING + struct.pack("<fff", -0.0, float("inf"), float("nan")))
    odd = TensorProto(name="typed_nan", data_type=TensorProto.FLOAT, dims=[2])
    odd.MergeFromString(b"\x22\x08" + SIGNALING + b"\x00\x00\x00\x80")
    yield odd
    odd = TensorProto(name="typed_nan_64", data_type=TensorProto.DOUBLE, dims=[1])
    odd.MergeFromString(b"\x52\x08" + struct.pack("<Q", 0x7FF4000000000001))
    yield odd
    yield raw("empty", TensorProto.FLOAT, [2, 0, 3], b"")
    yield TensorProto(name="typed_empty", data_type=TensorProto.INT64, dims=[0])
    yield raw("scalar", TensorProto.DOUBLE, [], struct.pack("<d", 3.0))
    yield TensorProto(name="typed_scalar", data_type=TensorProto.INT32, int32_data=[-7])
    yield TensorProto(name="strings", data_type=TensorProto.STRING, dims=[2, 2], string_data=[b"", "é".encode(), b"\xff\x00\xfe", b"plain"])
    yield from odd_tensors()


def odd_tensors() -> Iterator[TensorProto]:
    """Data that numbers of its type do not fill to the bit."""
    yield raw("padding", TensorProto.INT4, [3], b"\x21\xf3")
    yield raw("padding_2", TensorProto.UINT2, [5], b"\xe4\xff")
    yield raw("padding_6", TensorProto.FLOAT6E2M3, [3], b"\x41\x20\xfc")
    yield raw("truths", TensorProto.BOOL, [3], b"\x00\x02\xff")
    yield TensorProto(name="typed_truths", data_type=TensorProto.BOOL, dims=[2], int32_data=[5, 0])
    yield TensorProto(name="typed_half", data_type=TensorProto.FLOAT16, dims=[2], int32_data=[0x3C00, -1])
    yield TensorProto(name="typed_short", data_type=TensorProto.INT16, dims=[2], int32_data=[70000, -1])
    yield TensorProto(name="typed_nibbles", data_type=TensorProto.UINT4, dims=[2], int32_data=[0x121])
    yield notes(raw("noted", TensorProto.FLOAT, [1], b"\0\0\x80?"), "a tensor")
    segment = TensorProto.Segment(begin=0, end=1)
    yield raw("segmented", TensorProto.FLOAT, [1], b"\0\0\x80?", segment=unknown(segment))
    yield raw("located", TensorProto.FLOAT, [1], b"\0\0\x80?", data_location=TensorProto.DEFAULT)
    both = raw("both", TensorProto.FLOAT, [1], b"\0\0\x80?")
    both.float_data.append(2.0)
    both.external_data.add(key="location", value="nowhere")
    yield both


def sparse(name: str, indices: list[int], dims: list[int], rank: int = 1) -> SparseTensorProto:
    """A sparse tensor with linear indices, or one row of `rank` indices for each value."""
    count = len(indices) // rank
    made = SparseTensorProto(dims=dims)
    made.values.CopyFrom(raw(name, TensorProto.FLOAT, [count], np.arange(count, dtype=np.float32).tobytes()))
    shape = [count] if rank == 1 else [count, rank]
    made.indices.CopyFrom(TensorProto(name="where", data_type=TensorProto.INT64, dims=shape, int64_data=indices))
    return made


# ---- types --------------------------------------------------------------------------------------------------------------------------


def types() -> dict[str, TypeProto]:
    """Types of all kinds, and those that say little."""
    tensor = helper.make_tensor_type_proto
    t: dict[str, TypeProto] = {
        "fixed": tensor(TensorProto.FLOAT, [2, 3]),
        "symbolic": tensor(TensorProto.FLOAT, ["N", "2*N + 1", "a b", "", None, "N//2"]),
        "negative": tensor(TensorProto.FLOAT, [-1, 0]),
        "rank_0": tensor(TensorProto.INT64, []),
        "no_shape": tensor(TensorProto.INT64, None),
        "no_element": TypeProto(tensor_type=TypeProto.Tensor()),
        "later_element": TypeProto(tensor_type=TypeProto.Tensor(elem_type=77)),
        "empty": TypeProto(),
        "sparse": helper.make_sparse_tensor_type_proto(TensorProto.DOUBLE, ["N", 4]),
        "opaque": TypeProto(opaque_type=TypeProto.Opaque(domain="a.b", name="Thing")),
        "bare_opaque": TypeProto(opaque_type=TypeProto.Opaque()),
    }
    t["sequence"] = helper.make_sequence_type_proto(t["symbolic"])
    t["optional"] = helper.make_optional_type_proto(t["sequence"])
    t["map"] = helper.make_map_type_proto(TensorProto.STRING, t["fixed"])
    t["maps"] = helper.make_sequence_type_proto(t["map"])
    t["bare_sequence"] = TypeProto(sequence_type=TypeProto.Sequence())
    t["bare_map"] = TypeProto(map_type=TypeProto.Map(key_type=TensorProto.INT64))
    denoted = tensor(TensorProto.FLOAT, [1, 3], ["DATA_BATCH", "DATA_CHANNEL"])
    denoted.denotation = "IMAGE"
    t["denoted"] = denoted
    later = tensor(TensorProto.FLOAT, [1, "N"])
    unknown(later.tensor_type.shape.dim[0])
    unknown(later.tensor_type.shape)
    unknown(later.tensor_type)
    t["later"] = unknown(later)
    return t


# ---- nodes --------------------------------------------------------------------------------------------------------------------------


def attributes() -> Iterator[AttributeProto]:
    """Attributes of all kinds, and the odd ones."""
    make = helper.make_attribute
    body = GraphProto(name="body_of_a_list")
    yield from (
        make("i", 7),
        make("f", 0.1),
        make("s", "text"),
        make("bytes", b"\xff\x00"),
        make("ints", [1, 2]),
        make("floats", [0.1, -0.0]),
    )
    yield from (make("strings", ["a", b"\xfe"]), make("type", types()["map"]), make("types", [types()["fixed"], types()["denoted"]]))
    yield from (make("tensor", raw("t", TensorProto.INT8, [2], b"\x01\xff")), make("tensors", [*tensors()][:4]))
    yield from (make("sparse", sparse("s", [1, 3], [4])), make("sparses", [sparse("", [], [0]), sparse("s2", [0, 1], [2, 2], rank=2)]))
    yield make("graphs", [body, notes(GraphProto(), "an unnamed body")])
    for name, kind in (
        ("no_ints", "INTS"),
        ("no_floats", "FLOATS"),
        ("no_strings", "STRINGS"),
        ("no_tensors", "TENSORS"),
        ("no_graphs", "GRAPHS"),
    ):
        yield AttributeProto(name=name, type=AttributeProto.AttributeType.Value(kind))  # pyright: ignore[reportArgumentType]
    yield AttributeProto(name="no_number", type=AttributeProto.INT)
    yield AttributeProto(name="old", i=3)  # files of the first version do not say the kind
    yield unknown(AttributeProto(name="noted", type=AttributeProto.FLOAT, f=float("nan"), doc_string="a doc"))
    yield AttributeProto(name="wrong", type=AttributeProto.INT, i=1, f=2.0, s=b"x", ints=[4])
    signaling = AttributeProto(name="signaling", type=AttributeProto.FLOATS)
    signaling.MergeFromString(b"\x3d" + SIGNALING)
    yield signaling


def devices(node: NodeProto, tensor: str) -> None:
    """Say on which devices a node runs."""
    found = node.device_configurations.add(configuration_id="two", pipeline_stage=1)
    spec = found.sharding_spec.add(tensor_name=tensor, device=[0, -1])
    spec.index_to_device_group_map.add(key=-1, value=[0, 1])
    axis = spec.sharded_dim.add(axis=0)
    axis.simple_sharding.add(dim_value=2, num_shards=2)
    axis.simple_sharding.add(dim_param="N", num_shards=2)
    unknown(found)


def branches() -> NodeProto:
    """An If whose branches capture outer values, one of them through another If, with names that both use."""
    inner = helper.make_graph([helper.make_node("Relu", ["fixed"], ["inner"])], "inner", [], [ValueInfoProto(name="inner")])
    nested = helper.make_node("If", ["truth"], ["same"], "nested", then_branch=inner, else_branch=inner)
    then = helper.make_graph(
        [helper.make_node("Neg", ["hidden"], ["n"]), nested], "then", [], [helper.make_tensor_value_info("same", 1, [2, 3])]
    )
    other = GraphProto(name="else")
    other.node.append(helper.make_node("Mul", ["hidden", "own"], ["same"]))
    other.initializer.append(raw("own", TensorProto.FLOAT, [1], b"\0\0\x80?"))
    other.output.add(name="same")
    return helper.make_node("If", ["truth"], ["chosen"], "choose", then_branch=then, else_branch=notes(other, "a branch"))


def nodes() -> Iterator[NodeProto]:
    """Nodes of all kinds."""
    yield helper.make_node("Identity", ["fixed"], ["hidden"])
    yield branches()
    odd = helper.make_node("Strange", ["hidden", "", "raw_FLOAT", ""], ["", "odd", ""], "odd", domain="com.example", overload="v2")
    odd.attribute.extend(attributes())
    devices(odd, "hidden")
    yield notes(odd, "a node")
    yield NodeProto(op_type="Add", domain="ai.onnx", input=["hidden", "fixed"], output=["sum"], name="", overload="")
    yield helper.make_node("Cast", ["sum"], ["half"], to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", ["sum"], ["unsaid"], to=0)
    yield helper.make_node("LSTM", ["recurrent", "recurrent", "recurrent"], ["", "y_h"], "lstm")
    yield helper.make_node("Constant", [], ["constant"], value_float=0.5)
    yield helper.make_node("Constant", [], ["text"], value=TensorProto(data_type=TensorProto.STRING, dims=[1], string_data=[b"\xfa"]))
    yield helper.make_node("Double", ["half"], ["doubled"], domain="local", scale=2.0)
    yield helper.make_node("Double", ["half"], ["tripled"], domain="local", overload="other")


def functions() -> Iterator[FunctionProto]:
    """Two functions of one name, with references to attributes, defaults, and all that a function can say."""
    body = helper.make_node("Mul", ["x", "c"], ["y"])
    constant = NodeProto(op_type="Constant", output=["c"])
    constant.attribute.add(name="value_float", type=AttributeProto.FLOAT, ref_attr_name="scale")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    yield helper.make_function("local", "Double", ["x"], ["y"], [constant, body], imports, ["scale", "unused"])
    default = [helper.make_attribute("alpha", 0.5), helper.make_attribute("t", raw("", TensorProto.INT4, [3], b"\x21\x03"))]
    info = [helper.make_tensor_value_info("y", 1, ["N"]), notes(helper.make_tensor_value_info("ghost", 1, None), "a ghost")]
    info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT16, [2]))
    leaky = NodeProto(op_type="LeakyRelu", input=["x"], output=["y"])
    leaky.attribute.add(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="alpha")
    made = FunctionProto(
        name="Double", domain="local", overload="other", input=["x"], output=["y"], attribute=["must"], attribute_proto=default
    )
    made.node.extend([notes(leaky, "a node of a function")])
    made.opset_import.extend([helper.make_opsetid("ai.onnx", 21), helper.make_opsetid("com.example", 3)])
    made.value_info.extend(info)
    yield notes(made, "a function")


# ---- the model ----------------------------------------------------------------------------------------------------------------------


def graph() -> GraphProto:
    """The main graph."""
    made = GraphProto(name="torture")
    made.node.extend(nodes())
    made.initializer.extend(tensors())
    made.sparse_initializer.extend([sparse("linear", [0, 5], [2, 3]), sparse("rows", [0, 1, 1, 2], [2, 3], rank=2)])
    made.sparse_initializer.append(unknown(sparse("later_sparse", [], [3])))
    for name, type_ in types().items():
        made.input.add(name=name, type=type_)
    made.input.add(name="untyped")
    made.input.extend([helper.make_tensor_value_info("truth", TensorProto.BOOL, []), helper.make_tensor_value_info("recurrent", 1, None)])
    made.input.append(notes(helper.make_tensor_value_info("raw_FLOAT", 1, [7]), "an input with a default"))
    made.input.append(helper.make_tensor_value_info("typed_FLOAT", 1, ["seven"]))
    made.output.extend([helper.make_tensor_value_info("chosen", 1, ["N", 3]), ValueInfoProto(name="odd")])
    made.output.append(notes(helper.make_tensor_value_info("fixed", 1, [2, 3]), "an input that is an output"))
    made.output.append(helper.make_tensor_value_info("raw_INT64", TensorProto.INT64, [7]))
    info = helper.make_tensor_value_info
    made.value_info.extend([info("half", TensorProto.FLOAT16, [2, 3]), notes(info("sum", 1, [2, 3]), "a value"), info("hidden", 1, None)])
    made.value_info.extend([info("nobody", 1, [1]), info("chosen", 1, [2, 3]), info("fixed", 1, [2, None]), ValueInfoProto(name="doubled")])
    made.value_info.extend([info("scalar", TensorProto.DOUBLE, []), info("hidden", 1, [2, 3])])
    annotation = made.quantization_annotation.add(tensor_name="hidden")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="raw_FLOAT")
    unknown(annotation)
    return notes(made, "the graph")


def torture() -> ModelProto:
    """The torture model."""
    made = ModelProto(ir_version=14, producer_name="torture", producer_version="", domain="org.example", model_version=-3)
    imports = [("com.example", 3), ("", 18), ("local", 1), ("ai.onnx.ml", 3), ("unused", 9)]
    made.opset_import.extend(helper.make_opsetid(*o) for o in imports)
    unknown(made.opset_import[0])
    made.graph.CopyFrom(graph())
    made.functions.extend(functions())
    training = made.training_info.add()
    training.initialization.CopyFrom(GraphProto(name="init"))
    step = helper.make_graph(
        [helper.make_node("Sub", ["raw_FLOAT", "rate"], ["next"])], "step", [], [helper.make_tensor_value_info("next", 1, [7])]
    )
    training.algorithm.CopyFrom(step)
    training.algorithm.initializer.append(raw("rate", TensorProto.FLOAT, [], b"\0\0\x80?"))
    training.initialization_binding.add(key="raw_FLOAT", value="nothing")
    training.update_binding.add(key="raw_FLOAT", value="next")
    unknown(training)
    made.training_info.add()
    configuration = made.configuration.add(name="two", num_devices=2, device=["gpu:0", "gpu:1"])
    unknown(configuration)
    return notes(made, "the model")

"""The steps of ai.onnx.ml."""

from ...dtypes import INT64, STRING
from ...nodes import Node
from .rewriting import CannotSay, down, dtype_of, given, required, take, up

LABEL_ENCODER = "ai.onnx.ml.LabelEncoder"


@up(2, LABEL_ENCODER)
def _label_encoder_2(node: Node) -> None:
    """The older form holds one list of labels, each of which stands for its place."""
    labels = required(node, "classes_strings", str, many=True)
    dtype = dtype_of(node.inputs[0])
    if dtype not in (STRING, INT64):
        raise CannotSay("the type of its input is unknown" if dtype is None else f"its input is {dtype}")
    node.attributes["keys_strings" if dtype == STRING else "values_strings"] = labels
    node.attributes["values_int64s" if dtype == STRING else "keys_int64s"] = tuple(range(len(labels)))


@down(2, LABEL_ENCODER)
def _label_encoder_1(node: Node) -> None:
    said = {name for name in node.attributes if name.startswith(("keys_", "values_"))}
    for labels, places in (("keys_strings", "values_int64s"), ("values_strings", "keys_int64s")):
        if said == {labels, places} and given(node, places, ()) == tuple(range(len(given(node, labels, ())))):
            node.attributes["classes_strings"] = take(node, labels)
            for name in (places, "default_float"):
                node.attributes.pop(name, None)
            return
    raise CannotSay("its keys and values are not labels and their places")

"""In which versions a model is written: the opsets that its nodes need, and the IR version that holds its content."""
from graphir.model import Model


def placed(model: Model, opset, ir_version):
    return model, model.opsets, ir_version

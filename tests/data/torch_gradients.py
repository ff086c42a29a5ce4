"""Makes tests/data/torch_gradients.json: what PyTorch says of the gradients of the models in tests/data/torch, weight by weight of each file.

Run by hand, `python tests/data/torch_gradients.py`, where torch 2.13.0 and onnx are installed. The models are built as export_torch.py builds them. Where an
exporter folded a normalization into a convolution, transposed a matrix, packed the weights of an LSTM or kept one tensor for several equal parameters,
so is done here to the parameters and their gradients. Of a gradient two numbers are kept: its norm, and its product with a random direction.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (torch is no dependency, and to a type checker the folder of that name beside this file is all there is of it.)

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "torch"
REFERENCE = Path(__file__).parent / "torch_gradients.json"
BATCH = 2
LEFT_OUT = {"transformer_dynamo": ".self_attn.out_proj.bias"}  # parameters that an exporter left out, as all of them are zero
INPUTS = {"mlp": (4, 6), "resnet": (3, 32, 32), "transformer": (6,), "lstm": (6,)}


def model_input(name: str) -> np.ndarray:
    """What the model is fed with: numbers, or ids of tokens."""
    rng = np.random.default_rng(2)
    shape = (BATCH, *INPUTS[name])
    return rng.integers(0, 20, shape) if len(shape) == 2 else rng.standard_normal(shape).astype(np.float32)


def seed(output: int, shape: tuple[int, ...]) -> np.ndarray:
    """By what an output is multiplied before all are summed to the loss."""
    return np.random.default_rng(3 + output).standard_normal(shape).astype(np.float32)


def digest(gradient: np.ndarray) -> list[float]:
    """The norm of a gradient, and its product with a random direction."""
    wide = gradient.astype(np.float64)
    direction = np.random.default_rng(1).standard_normal(wide.shape)
    return [float(f"{x:.8g}") for x in (np.sqrt((wide * wide).sum()), (wide * direction).sum())]


def main() -> None:
    """Write the reference."""
    found = {}
    for name in INPUTS:
        parameters = differentiated(name)
        for path in sorted(FOLDER.glob(f"{name}_*.onnx")):
            found[path.stem] = matched(path, parameters)
    lines = ",\n".join(f"{json.dumps(stem)}: {json.dumps(weights)}" for stem, weights in found.items())
    REFERENCE.write_text(f"{{\n{lines}\n}}\n")
    print(f"{sum(map(len, found.values()))} gradients in {len(found)} models, {REFERENCE.stat().st_size / 1e3:.1f} kB in {REFERENCE}")


def differentiated(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The parameters of a model and their gradients, in each layout that an exporter may have given them."""
    import torch
    from export_torch import MODELS, settle

    torch.manual_seed(0)
    make, _, _ = MODELS[name]
    model = settle(make())
    fold(model)
    model.requires_grad_(True)  # a folded bias would have no gradient
    made = model(torch.from_numpy(model_input(name)))
    outputs = made if isinstance(made, tuple) else (made,)
    sum((y * torch.from_numpy(seed(i, tuple(y.shape)))).sum() for i, y in enumerate(outputs)).backward()
    plain = {n: (p.detach().numpy(), p.grad.numpy()) for n, p in model.named_parameters()}
    return {**plain, **{f"{n}.T": (p.T, g.T) for n, (p, g) in plain.items() if p.ndim == 2}, **packed(plain)}


def fold(module: Any) -> None:
    """Fold each normalization that follows a convolution into it."""
    from torch import nn

    children = list(module.named_children())
    for (first, conv), (second, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, nn.utils.fusion.fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())
    for _, child in children:
        fold(child)


def packed(plain: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The parameters of each LSTM layer as ONNX has them: both directions stacked, gates in the order input, output, forget, cell; the two biases as one."""

    def pack(names: list[str], which: int) -> np.ndarray:
        gates = [np.split(plain[n][which], 4) for n in names]
        return np.concatenate([np.concatenate([g[i] for i in (0, 3, 1, 2)]) for g in gates])

    def both(*names: str) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = (np.stack([pack([f"lstm.{n}{d}" for n in names], k) for d in ("", "_reverse")]) for k in (0, 1))
        return values, gradients

    if "lstm.weight_ih_l0" not in plain:
        return {}
    found = {}
    for layer in ("l0", "l1"):
        found |= {f"w_{layer}": both(f"weight_ih_{layer}"), f"r_{layer}": both(f"weight_hh_{layer}")}
        found[f"b_{layer}"] = both(f"bias_ih_{layer}", f"bias_hh_{layer}")
    return found


def matched(path: Path, parameters: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Each weight of a file that is a parameter, and the gradient: where equal parameters are one weight, the sum of theirs."""
    import onnx

    without = next((suffix for stem, suffix in LEFT_OUT.items() if path.stem.startswith(stem)), None)
    parameters = {n: x for n, x in parameters.items() if without is None or not n.endswith(without)}
    found, used = {}, set()
    for x in onnx.load(path).graph.initializer:
        weight = onnx.numpy_helper.to_array(x)
        same = {n: g for n, (p, g) in parameters.items() if p.shape == weight.shape and np.abs(p - weight).max() < 1e-6}
        if same:
            found[x.name] = digest(np.sum(list(same.values()), axis=0))
            used |= {n.removesuffix(".T") for n in same}
    missing = [n for n in parameters if not n.endswith(".T") and n not in used and not n.startswith("lstm.")]
    assert not missing, f"{path.stem}: no weight is the parameter {missing}"
    return found


if __name__ == "__main__":
    main()

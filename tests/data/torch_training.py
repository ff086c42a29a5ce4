"""Makes tests/data/torch_training.json: the losses of 200 steps of torch.optim's SGD, momentum and Adam on the perceptron 784-256-128-10.

Run by hand, `python tests/data/torch_training.py`, where torch 2.13.0 is installed. Weights and data are drawn by NumPy, so that the test can draw the same.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (torch is no dependency, and to a type checker the folder of that name beside this file is all there is of it.)

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parent / "torch_training.json"
SIZES = (784, 256, 128, 10)
BATCH, BATCHES, STEPS = 64, 20, 200
RATES = {
    "sgd": 0.05,
    "momentum": 0.005,
    "adam": 0.0001,
}  # with 0.0005, Adam is chaotic: PyTorch itself parts by 1e-3 where weights differ by 1e-7


def drawn() -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """The layers: weights by He's rule (inputs, outputs), small biases; then the data, in batches: x, and y, which hangs on x and on chance."""
    rng = np.random.default_rng(0)
    layers = []
    for n, m in pairwise(SIZES):
        weight, bias = rng.standard_normal((n, m)) * np.sqrt(2 / n), rng.standard_normal(m) * 0.01
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    x = rng.standard_normal((BATCHES, BATCH, SIZES[0])).astype(np.float32)
    y = (x @ rng.standard_normal((SIZES[0], SIZES[-1])) + rng.gumbel(size=(BATCHES, BATCH, SIZES[-1])) * 10).argmax(axis=-1)
    return layers, x, y


def main() -> None:
    """Write the reference."""
    import torch

    torch.set_num_threads(1)
    make = {
        "sgd": lambda p, rate: torch.optim.SGD(p, rate),
        "momentum": lambda p, rate: torch.optim.SGD(p, rate, momentum=0.9),
        "adam": lambda p, rate: torch.optim.Adam(p, rate),
    }
    found = {}
    for name, rate in RATES.items():
        layers, x, y = drawn()
        parts: list = []
        for weight, bias in layers:
            linear = torch.nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)
            parts += [linear, torch.nn.ReLU()]
        network = torch.nn.Sequential(*parts[:-1])
        optimizer = make[name](network.parameters(), rate)
        found[name] = []
        for i in range(STEPS):
            loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(x[i % BATCHES])), torch.from_numpy(y[i % BATCHES]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found[name].append(float(f"{loss.item():.8g}"))
        print(name, found[name][0], "...", found[name][-1])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(losses)}" for name, losses in found.items())
    REFERENCE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()

"""Networks in PyTorch and what it exports of them: the gradients of all parameters and inputs are those of autograd, in graphir and in ONNX Runtime.

`make test-torch` installs PyTorch and runs this; without it, all is skipped.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest

import graphir
from graphir import Model, training
from graphir.ir import Weight
from graphir.passes.upgrade import upgrade
from graphir.training.step import train

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
from torch_networks import NETWORKS, built, exported, sample  # noqa: E402  # which imports torch

BATCH = {"fixed": 2, "dynamic": 3}
FORMS = [
    pytest.param(name, dynamo, batch, id=f"{name}-{'dynamo' if dynamo else 'script'}-{batch}")
    for name, network in NETWORKS.items()
    for dynamo in (False, True)
    for batch in BATCH
    if dynamo or network.script
]
# Where an optimizer of an exporter computed with a parameter beforehand: the weight of its name is not all of it.
COMPUTED = {("rnn", "recurrent.bias_hh_l0")}  # the first step, from zeros


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The exporters warn of themselves; and one core is enough for all this."""
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def seed(shape: tuple[int, ...]) -> np.ndarray:
    """By what an output is multiplied to be the loss; a single number is the loss itself."""
    return np.random.default_rng(0).standard_normal(shape) if shape else np.ones(())


def autograd(name: str, batch: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each parameter and each float input by name, and its gradient in double precision."""
    module, inputs = built(name).double(), sample(name, batch)
    inputs = {n: x.double().requires_grad_() if x.is_floating_point() else x for n, x in inputs.items()}
    y = module(*inputs.values())
    (y * torch.from_numpy(seed(tuple(y.shape)))).sum().backward()
    leaves = dict(module.named_parameters()) | {n: x for n, x in inputs.items() if x.is_floating_point()}
    return {n: (p.detach().numpy(), p.grad.numpy()) for n, p in leaves.items()}


def feeds_of(name: str, batch: int, model: Model) -> dict[str, np.ndarray]:
    """The inputs, and the seed where the model asks for one."""
    feeds = {n: x.numpy() for n, x in sample(name, batch).items()}
    if "seed_y" in {v.name for v in model.inputs}:
        y = built(name)(*sample(name, batch).values())
        feeds["seed_y"] = seed(tuple(y.shape)).astype(np.float32)
    return feeds


def session_of(model: Model) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graphir.dumps(model, "onnx"), options, providers=["CPUExecutionProvider"])


def off(made: Any, want: np.ndarray) -> float:
    """How far a result is off, in parts of the norm of what is wanted."""
    return float(np.linalg.norm(np.asarray(made, np.float64) - want) / max(np.linalg.norm(want), 1e-30))


def same_as(weight: Weight, parameters: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[tuple[str, bool]]:
    """The parameters that a weight is, and whether transposed: optimizing, the exporters write a matrix the way it is read."""
    x = np.asarray(weight.tensor.array)  # pyright: ignore[reportAttributeAccessIssue]
    found = [(n, False) for n, (p, _) in parameters.items() if p.shape == x.shape and np.array_equal(p.astype(x.dtype), x)]
    return found or [(n, True) for n, (p, _) in parameters.items() if p.T.shape == x.shape and np.array_equal(p.T.astype(x.dtype), x)]


def found_for(model: Model, made: Mapping[str, Any], parameters: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """The gradients that a model gives, by parameter: summed, where a parameter is several weights."""
    found: dict[str, Any] = {}
    for (_, address), output in model.gradients.items():
        v = model.find(address)
        names = same_as(v, parameters) if isinstance(v, Weight) else [(address, False)]
        for name, transposed in names:
            found[name] = found.get(name, 0) + (made[output].T if transposed else made[output])
    return found


def inputs_of(name: str) -> list[str]:
    return [n for n, x in sample(name, 2).items() if x.is_floating_point()]


@pytest.mark.parametrize(("name", "dynamo", "batch"), FORMS)
def test_gradients_are_those_of_autograd(name: str, dynamo: bool, batch: str) -> None:
    expected = autograd(name, BATCH[batch])
    for form, data in exported(name, dynamo, batch == "dynamic").items():
        model = graphir.loads(data, "onnx")
        if dynamo and NETWORKS[name].training:  # this exporter writes what the network infers
            if form == "optimized":
                continue  # the normalizations are gone
            train(upgrade(model))
            for weight in list(model.updates):
                model.stop_updating(weight)
        model = graphir.gradient(model, of="y", wrt=[*inputs_of(name), "*"])
        feeds = feeds_of(name, BATCH[batch], model)
        session = session_of(model)
        runs = {
            "numpy": graphir.compile(model).run(feeds),
            "onnxruntime": dict(zip([v.name for v in session.get_outputs()], session.run(None, feeds))),
        }
        for runtime, made in runs.items():
            found = found_for(model, made, expected)
            assert found and (form != "plain" or found.keys() == expected.keys())
            wrong = {n: off(found[n], expected[n][1]) for n in found if form == "plain" or (name, n) not in COMPUTED}
            assert {n: x for n, x in wrong.items() if not x < 1e-4} == {}, f"{form}, {runtime}"


# ---- training -----------------------------------------------------------------------------------------------------------------------

STEPS = 100
TRAINED = [
    ("resnet", lambda rate: training.sgd(rate, momentum=0.9), lambda p, rate: torch.optim.SGD(p, rate, momentum=0.9), 0.002),
    ("resnet", training.adam, torch.optim.Adam, 0.0004),  # at 0.0005 the two part by 1.6e-4 in one step after 80 alike ones
    ("lstm", lambda rate: training.sgd(rate, momentum=0.9), lambda p, rate: torch.optim.SGD(p, rate, momentum=0.9), 0.1),
    ("lstm", training.adam, torch.optim.Adam, 0.01),
]


@pytest.mark.parametrize(("name", "ours", "theirs", "rate"), TRAINED, ids=["resnet-momentum", "resnet-adam", "lstm-momentum", "lstm-adam"])
def test_training_follows_torch(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], rate: float) -> None:
    """The losses of 100 steps, and the parameters after them. What normalizes does so by the batch."""
    module = built(name).train()
    parameters = dict(module.named_parameters())
    model = graphir.loads(exported(name, False, True)["plain"], "onnx")
    step = training.step(model, optimizer=ours(rate), target="labels", wrt=list(parameters))
    program, torch_optimizer = graphir.compile(step), theirs(module.parameters(), rate)
    losses: dict[str, list[float]] = {"graphir": [], "torch": []}
    for i in range(STEPS):
        inputs = sample(name, 16 + i % 4)
        labels = torch.randint(0, 4, (16 + i % 4,))
        losses["graphir"].append(float(program.run({n: x.numpy() for n, x in inputs.items()} | {"labels": labels.numpy()})["loss"]))
        loss = torch.nn.functional.cross_entropy(module(*inputs.values()), labels)
        torch_optimizer.zero_grad()
        loss.backward()
        torch_optimizer.step()
        losses["torch"].append(loss.item())
    assert losses["torch"][-1] < 0.9 * losses["torch"][0]
    np.testing.assert_allclose(losses["graphir"], losses["torch"], rtol=1e-4)
    wrong = {n: off(program.state[n], p.detach().numpy()) for n, p in parameters.items()}
    assert {n: x for n, x in wrong.items() if not x < 1e-4} == {}
    # The running variance is another: ONNX follows that of the batch, PyTorch what it says of all.
    statistics = {n: off(program.state[n], x.numpy()) for n, x in module.named_buffers() if n.endswith("running_mean")}
    assert {n: x for n, x in statistics.items() if not x < 1e-4} == {}

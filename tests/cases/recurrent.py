"""Rows of graphir.ops.recurrent. onnx's reference knows neither sequence_lens nor clip nor activations, ONNX Runtime no layout and no missing hidden_size."""

from typing import Any

import numpy as np

from cases import Case, array, case

TIME, BATCH, INPUTS, HIDDEN = 5, 3, 2, 4


def row(
    gates: int, b: bool = False, lens: list[int] | None = None, starts: int = 0, p: bool = False, dtype: str = "float32", **options: Any
) -> Case:
    """A row of a layer with `gates` gates; starts: how many initial states are given."""
    directions = 2 if options.get("direction") == "bidirectional" else 1

    def weight(*shape: int) -> Any:
        return array(directions, *shape, low=-1, high=1, dtype=dtype)

    swap = options.get("layout", 0)
    state = array(*((BATCH, directions) if swap else (directions, BATCH)), HIDDEN, dtype=dtype)
    inputs = [
        array(*((BATCH, TIME) if swap else (TIME, BATCH)), INPUTS, dtype=dtype),
        weight(gates * HIDDEN, INPUTS),
        weight(gates * HIDDEN, HIDDEN),
        weight(2 * gates * HIDDEN) if b else None,
        None if lens is None else np.asarray(lens, "int32"),
        *[state] * starts,
        *([None] * (2 - starts) if p else []),
        *([weight(3 * HIDDEN)] if p else []),
    ]
    if not p:
        while inputs[-1] is None:
            inputs.pop()
    return case(*inputs, **options)


def common(gates: int, states: int, kinds: int) -> list[Case]:
    """Rows of what all three layers have."""
    bidirectional: dict[str, Any] = {"direction": "bidirectional"}
    runtime: dict[str, Any] = {"referee": "ort", "hidden_size": HIDDEN}
    return [
        row(gates),
        row(gates, b=True, starts=states),
        row(gates, b=True, starts=1, direction="reverse"),
        row(gates, b=True, starts=states, **bidirectional),
        row(gates, starts=states, layout=1),
        row(gates, b=True, layout=1, hidden_size=HIDDEN, **bidirectional),
        case(array(TIME, 0, INPUTS), array(1, gates * HIDDEN, INPUTS), array(1, gates * HIDDEN, HIDDEN)),
        row(gates, b=True, dtype="float64"),
        row(gates, b=True, dtype="float16", tolerance=1e-2),
        row(gates, b=True, lens=[5, 2, 3], starts=states, **bidirectional, **runtime),
        row(gates, b=True, lens=[1, 4, 2], direction="reverse", **runtime),
        row(gates, b=True, starts=states, clip=0.3, **bidirectional, **runtime),
        row(gates, activations=["HardSigmoid", "Softsign", "LeakyRelu"][:kinds], activation_alpha=[0.3, 0.1][:kinds], activation_beta=[0.6], **runtime),
        row(gates, activations=["Sigmoid", "Elu", "Softsign", "Sigmoid", "ScaledTanh", "Softplus"][: 2 * kinds],
            activation_alpha=[0.7, 0.5][:kinds], activation_beta=[1.5][: kinds - 1] or None, **bidirectional, **runtime),
        row(gates, activations=["Affine", "ThresholdedRelu", "Tanh"][:kinds], activation_alpha=[0.3, 0.2][:kinds], activation_beta=[0.4], **runtime),
    ]  # fmt: skip


# The sum, 3, is clipped to alpha, and stays; then it is below alpha.
AT_THE_THRESHOLD = case(
    np.array([[[1.0]], [[0.1]]], "float32"), np.array([[[3.0]]], "float32"), np.array([[[0.5]]], "float32"),
    hidden_size=1, clip=1.0, activations=["ThresholdedRelu"],
    referee=lambda x, w, r: (np.array([[[[1.0]]], [[[0.0]]]], "float32"), np.zeros((1, 1, 1), "float32")),
)  # fmt: skip

CASES = {
    "LSTM": [
        *common(4, 2, 3),
        row(4, b=True, starts=2, p=True),
        row(4, starts=0, p=True, direction="bidirectional"),
        row(4, b=True, starts=2, p=True, lens=[5, 1, 3], clip=0.5, hidden_size=HIDDEN, referee="ort"),
        row(4, activations=["sigmoid", "relu", "RELU"], hidden_size=HIDDEN, referee="ort"),
        row(4, b=True, input_forget=1, hidden_size=HIDDEN, referee="ort"),
        row(4, b=True, starts=2, p=True, input_forget=1, direction="bidirectional", hidden_size=HIDDEN, referee="ort"),
    ],
    "GRU": [
        *common(3, 1, 2),
        row(3, b=True, starts=1, linear_before_reset=1),
        row(3, linear_before_reset=1, direction="bidirectional", lens=[5, 1, 3], hidden_size=HIDDEN, referee="ort"),
    ],
    "RNN": [*common(1, 1, 1), AT_THE_THRESHOLD],
}

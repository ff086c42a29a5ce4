"""Makes tests/data/torch: four small models, exported by PyTorch in two ways, each with a fixed and with a symbolic batch.

Run by hand, `python tests/data/export_torch.py`, where torch 2.13.0, onnx and onnxscript are installed. The weights are seeded, so only what PyTorch writes can change.
"""
# pyright: reportAttributeAccessIssue=false
# (torch is no dependency, and to a type checker the folder of that name beside this file is all there is of it.)

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "torch"
BATCH = 2


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 5), nn.Softmax(dim=-1))


class Residual(nn.Module):
    """Two convolutions and a way around them, which is a convolution itself where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = stride == 1 and channels == out
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.skip(x))


class ResNet(nn.Sequential):
    """A small residual network. The normalization before the first convolution is the one that the exporters cannot fold into a convolution."""

    def __init__(self):
        stem = (
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 8, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        blocks = (Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 16, 1))
        super().__init__(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


class Attention(nn.Module):
    """Self-attention of two heads, spelled out."""

    def __init__(self, d: int):
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.LayerNorm(d)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, d = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, 2, d // 2).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) / (d // 2) ** 0.5, dim=-1)
        return self.norm(x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, d)))


class Transformer(nn.Module):
    """Token ids to class scores: PyTorch's own encoder, then attention spelled out, then the mean over tokens."""

    def __init__(self, d: int = 16):
        super().__init__()
        self.embedding = nn.Embedding(20, d)
        self.position = nn.Parameter(torch.randn(1, 6, d))
        layer = nn.TransformerEncoderLayer(d, 4, 32, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.attention = Attention(d)
        self.head = nn.Linear(d, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.position
        return self.head(self.attention(self.encoder(x)).mean(dim=1))


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(24, 4)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.lstm(self.embedding(tokens))
        return self.head(y[:, -1]), h


def tokens() -> Tensor:
    return torch.randint(0, 20, (BATCH, 6))


MODELS = {
    "mlp": (MLP, lambda: torch.randn(BATCH, 4, 6), ["scores"]),
    "resnet": (ResNet, lambda: torch.randn(BATCH, 3, 32, 32), ["scores"]),
    "transformer": (Transformer, tokens, ["scores"]),
    "lstm": (LSTM, tokens, ["scores", "state"]),
}


def settle(model: nn.Module) -> nn.Module:
    """The model in inference mode, with statistics in its batch normalizations that are not the initial ones."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def export(name: str, dynamo: bool, symbolic: bool) -> None:
    torch.manual_seed(0)
    make, sample, outputs = MODELS[name]
    model, x = settle(make()), sample()
    path = FOLDER / f"{name}_{'dynamo' if dynamo else 'script'}_{'symbolic' if symbolic else 'fixed'}.onnx"
    options: dict = {}
    if symbolic and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif symbolic:
        batch_axis = {"state": 1}
        options["dynamic_axes"] = {n: {batch_axis.get(n, 0): "batch"} for n in ["x", *outputs]}
    if dynamo:
        options["external_data"] = False
    torch.onnx.export(model, (x,), str(path), dynamo=dynamo, input_names=["x"], output_names=outputs, verbose=False, **options)
    strip(path)


def strip(path: Path) -> None:
    """Take out the stack traces, which name folders of the machine and are most of the file."""
    proto = onnx.load(path)
    for node in proto.graph.node:
        kept = [p for p in node.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, path)
    onnx.checker.check_model(str(path), full_check=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.backends.mha.set_fastpath_enabled(False)
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        for dynamo in (True, False):
            for symbolic in (False, True):
                export(name, dynamo, symbolic)
    total = sum(p.stat().st_size for p in FOLDER.iterdir())
    print(f"{len(list(FOLDER.iterdir()))} files, {total / 1e6:.2f} MB in {FOLDER}")

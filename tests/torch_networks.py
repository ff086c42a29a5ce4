"""Small networks of the kinds that people train, in PyTorch: for tests that hold gradients against autograd."""
# pyright: reportMissingImports=false
# (torch is no dependency.)

from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# ---- images -------------------------------------------------------------------------------------------------------------------------


def conv(channels: int, out: int, size: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """A convolution, normalized over the batch, then an activation if any."""
    parts = [nn.Conv2d(channels, out, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*parts, *([act()] if act else []))


class Residual(nn.Module):
    """Something, and a way around it, which is a convolution itself where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int, main: nn.Module):
        super().__init__()
        self.main = main
        self.skip = nn.Identity() if stride == 1 and channels == out else conv(channels, out, 1, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.skip(x))


def basic(channels: int, out: int, stride: int = 1) -> Residual:
    """Two convolutions 3x3."""
    return Residual(channels, out, stride, nn.Sequential(conv(channels, out, 3, stride), conv(out, out, act=None)))


def bottleneck(channels: int, out: int, stride: int = 1) -> Residual:
    """A convolution 3x3 in groups between two 1x1 on fewer channels, as ResNeXt has it."""
    inner = nn.Sequential(conv(channels, out // 2, 1), conv(out // 2, out // 2, 3, stride, groups=2), conv(out // 2, out, 1, act=None))
    return Residual(channels, out, stride, inner)


class ResNet(nn.Sequential):
    """Images to class scores."""

    def __init__(self, block: Callable[..., nn.Module]):
        stem = (conv(3, 8, 5, 2), nn.MaxPool2d(3, 2, padding=1))
        end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
        super().__init__(*stem, block(8, 8), block(8, 16, 2), block(16, 16), *end)


class SqueezeExcite(nn.Module):
    """Each channel times a number between 0 and 1 that is made of the means of all."""

    def __init__(self, channels: int):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """MobileNetV3's block: wide, depthwise, squeeze-excite, narrow."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        wide = channels * 3
        self.main = nn.Sequential(
            conv(channels, wide, 1, act=nn.Hardswish), conv(wide, wide, 5, stride, groups=wide, act=nn.ReLU6), SqueezeExcite(wide),
            conv(wide, out, 1, act=None),
        )  # fmt: skip
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)
        return x + y if self.residual else y


class MobileNet(nn.Sequential):
    """Images to log-probabilities of classes."""

    def __init__(self):
        blocks = (Inverted(8, 8, 1), Inverted(8, 12, 2), conv(12, 12, 3, groups=3, act=nn.Hardswish))
        end = (nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5), nn.LogSoftmax(dim=-1))
        super().__init__(conv(3, 8, 3, 2, act=nn.Hardswish), *blocks, *end)


class ChannelsLast(nn.LayerNorm):
    """LayerNorm over the channels of an image."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """A block of ConvNeXt between its patches and its head."""

    def __init__(self, d: int = 8):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, d, 4, 4), ChannelsLast(d)
        self.depthwise, self.norm = nn.Conv2d(d, d, 7, padding=3, groups=d), nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.scale = nn.Parameter(torch.full((d,), 0.5))
        self.head_norm, self.head = nn.LayerNorm(d), nn.Linear(d, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_norm(self.stem(x))
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        x = x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)
        return self.head(self.head_norm(x.mean((-2, -1))))


class GroupNormed(nn.Sequential):
    """Convolutions with group norm, SiLU and a dilation, as in diffusion models."""

    def __init__(self):
        first = (nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.SiLU())
        second = (nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.GroupNorm(2, 8), nn.SiLU(), nn.InstanceNorm2d(8, affine=True))
        super().__init__(*first, *second, nn.Conv2d(8, 4, 3, 2, padding_mode="reflect", padding=1), nn.Mish())


class UNet(nn.Module):
    """Down twice and up again, once by a transposed convolution and once bilinearly, with what was there on the way down."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = conv(3, 6), conv(6, 8), conv(8, 10)
        self.up = nn.ConvTranspose2d(10, 8, 3, 2, padding=1, output_padding=1)
        self.four, self.five = conv(16, 6), conv(12, 6)
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        three = self.three(F.avg_pool2d(two, 2))
        four = self.four(torch.cat([self.up(three), two], 1))
        five = self.five(torch.cat([F.interpolate(four, scale_factor=2, mode="bilinear", align_corners=False), one], 1))
        return torch.sigmoid(self.last(five))


class Generator(nn.Sequential):
    """Noise to images, as in DCGAN."""

    def __init__(self):
        first = (nn.Linear(6, 8 * 9), nn.Unflatten(1, (8, 3, 3)), nn.BatchNorm2d(8), nn.LeakyReLU(0.2))
        second = (nn.ConvTranspose2d(8, 6, 4, 2, padding=1, bias=False), nn.BatchNorm2d(6), nn.PReLU(6))
        super().__init__(*first, *second, nn.Upsample(scale_factor=2), nn.ConvTranspose2d(6, 3, 3, dilation=2), nn.Tanh())


class VAE(nn.Module):
    """Images and noise to the loss of a variational autoencoder: the squared distance, and the divergence from the normal distribution."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 4, 2), nn.ELU(), nn.Conv2d(6, 8, 3, 2), nn.Softplus(), nn.Flatten())
        self.mean, self.log_variance = nn.Linear(72, 4), nn.Linear(72, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 72), nn.ReLU(), nn.Unflatten(1, (8, 3, 3)), nn.ConvTranspose2d(8, 3, 6, 5))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        y = self.decoder(mean + noise * torch.exp(0.5 * log_variance))
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp(), dim=1)
        return F.mse_loss(y, x) + divergence.mean()


# ---- sequences ----------------------------------------------------------------------------------------------------------------------

TOKENS = 17


class Encoder(nn.Module):
    """Tokens to class scores: PyTorch's own encoder, one layer with the norms behind, one with them before, then the mean over tokens."""

    def __init__(self, d: int = 12):
        super().__init__()
        self.embedding, self.position = nn.Embedding(TOKENS, d), nn.Parameter(torch.randn(6, d))
        self.behind = nn.TransformerEncoderLayer(d, 3, 24, dropout=0, activation="gelu", batch_first=True)
        self.before = nn.TransformerEncoderLayer(d, 2, 24, dropout=0, norm_first=True, batch_first=True)
        self.head = nn.Linear(d, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.before(self.behind(self.embedding(tokens) + self.position)).mean(1))


class Decoder(nn.Module):
    """Tokens and a memory to the cross entropy of the tokens that follow: a causal mask, cross attention, the embedding as the last layer, too."""

    def __init__(self, d: int = 12):
        super().__init__()
        self.embedding, self.position = nn.Embedding(TOKENS, d), nn.Parameter(torch.randn(6, d))
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(d, 2, 24, dropout=0, batch_first=True), 2, nn.LayerNorm(d))

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=memory.dtype)
        h = self.decoder(self.embedding(tokens[:, :-1]) + self.position[:5], memory, tgt_mask=mask, tgt_is_causal=True)
        return F.cross_entropy((h @ self.embedding.weight.T).flatten(0, 1), tokens[:, 1:].flatten())


class CausalBlock(nn.Module):
    """A block as in Llama: RMSNorm, rotated queries and keys, grouped keys and values, a gated SiLU."""

    def __init__(self, d: int = 16):
        super().__init__()
        self.first, self.second = nn.RMSNorm(d), nn.RMSNorm(d)
        self.q, self.kv, self.out = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up, self.down = nn.Linear(d, 24, bias=False), nn.Linear(d, 24, bias=False), nn.Linear(24, d, bias=False)
        angles = torch.outer(torch.arange(5.0), 100 ** -torch.arange(0, 1, 1.0))
        self.register_buffer("cos", angles.cos().repeat(1, 4))
        self.register_buffer("sin", angles.sin().repeat(1, 4))

    def rotated(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-b, a], dim=-1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        q = self.q(h).unflatten(-1, (4, 4)).transpose(1, 2)
        k, v = self.kv(h).unflatten(-1, (4, 4)).transpose(1, 2).chunk(2, dim=1)
        k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        y = F.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        h = self.second(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Recurrent(nn.Module):
    """Tokens to class scores by a recurrent network: from the last output and the last state."""

    def __init__(self, kind: type[nn.Module], **options: Any):
        super().__init__()
        self.embedding, self.recurrent = nn.Embedding(TOKENS, 6), kind(6, 8, batch_first=True, **options)
        ways = 2 if options.get("bidirectional") else 1
        self.head, self.other = nn.Linear(8 * ways, 4), nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        y, state = self.recurrent(self.embedding(tokens))
        last = state[1] if isinstance(state, tuple) else state
        return self.head(y[:, -1]) + self.other(torch.tanh(last[0]))


# ---- the table ----------------------------------------------------------------------------------------------------------------------


class Network(NamedTuple):
    """make: the module. inputs: name -> what the input of a batch is. training: whether it is exported as it trains. script: whether TorchScript can."""

    make: Callable[[], nn.Module]
    inputs: dict[str, Callable[[int], Tensor]]
    training: bool = False
    script: bool = True


def floats(*shape: int) -> Callable[[int], Tensor]:
    """Random numbers."""
    return lambda batch: torch.randn(batch, *shape)


def tokens(batch: int) -> Tensor:
    """Random tokens."""
    return torch.randint(0, TOKENS, (batch, 6))


IMAGE = {"x": floats(3, 16, 16)}
NETWORKS = {
    "resnet": Network(lambda: ResNet(basic), IMAGE),
    "resnet_training": Network(lambda: ResNet(basic), IMAGE, training=True),
    "bottleneck": Network(lambda: ResNet(bottleneck), IMAGE),
    "bottleneck_training": Network(lambda: ResNet(bottleneck), IMAGE, training=True),
    "mobilenet": Network(MobileNet, IMAGE),
    "convnext": Network(ConvNeXt, IMAGE),
    "group_norm": Network(GroupNormed, IMAGE),
    "unet": Network(UNet, IMAGE),
    "generator": Network(Generator, {"noise": floats(6)}),
    "generator_training": Network(Generator, {"noise": floats(6)}, training=True),
    "vae": Network(VAE, {"x": floats(3, 16, 16), "noise": floats(4)}),
    "encoder": Network(Encoder, {"tokens": tokens}),
    "decoder": Network(Decoder, {"tokens": tokens, "memory": floats(4, 12)}),
    "llama": Network(CausalBlock, {"x": floats(5, 16)}, script=False),  # TorchScript has no RMSNorm
    "lstm": Network(lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True), {"tokens": tokens}),
    "gru": Network(lambda: Recurrent(nn.GRU, num_layers=2), {"tokens": tokens}),
    "gru_two_ways": Network(lambda: Recurrent(nn.GRU, bidirectional=True), {"tokens": tokens}),
    "rnn": Network(lambda: Recurrent(nn.RNN), {"tokens": tokens}),
}


def built(name: str) -> nn.Module:
    """A network with seeded weights of which no two are equal, and with statistics in its batch normalizations that are not the initial ones."""
    torch.manual_seed(0)
    module = NETWORKS[name].make()
    for p in module.parameters():  # the exporter by TorchScript makes one weight of two that are equal
        p.data += 0.1 * torch.randn_like(p)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.train(NETWORKS[name].training)


def sample(name: str, batch: int) -> dict[str, Tensor]:
    """Seeded inputs."""
    torch.manual_seed(batch)
    return {n: make(batch) for n, make in NETWORKS[name].inputs.items()}


def exported(name: str, dynamo: bool, dynamic: bool) -> dict[str, bytes]:
    """The network as ONNX: plain, where each parameter is a weight of its name; and optimized, as the exporter does by default."""
    module, inputs = built(name), sample(name, 2)
    options: dict[str, Any] = {"input_names": list(inputs), "output_names": ["y"], "verbose": False, "dynamo": dynamo}
    if dynamo:
        options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in inputs) if dynamic else None
        program = torch.onnx.export(module, tuple(inputs.values()), optimize=False, **options)
        plain = program.model_proto.SerializeToString()
        program.optimize()
        return {"plain": plain, "optimized": program.model_proto.SerializeToString()}
    options["dynamic_axes"] = {n: {0: "batch"} for n in (*inputs, "y")} if dynamic else None
    options["training"] = torch.onnx.TrainingMode.TRAINING if module.training else torch.onnx.TrainingMode.EVAL
    found = {}
    for form, folding in (("plain", False), ("optimized", True)):
        file = BytesIO()
        torch.onnx.export(module, tuple(inputs.values()), file, do_constant_folding=folding, **options)
        found[form] = file.getvalue()
    return found

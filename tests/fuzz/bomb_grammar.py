"""Bombs that nobody named: values that grow step by step, shapes that do, and what asks for much by a number, in any order, in loops and functions."""

from random import Random

from .bomb_text import bomb, loop

NUMBERS = (2, 3, 7, 60, 1000, 10**5, 10**6, 10**8, 10**9, 10**12, 2**31, 2**62, 2**63 - 1)
COUNTS = (1, 2, 10, 40, 100, 300)
SHAPES = (  # of a vector of sizes
    "{1} = Add({0}, {0})", "{1} = Mul({0}, {0})", "{1} = Concat<axis = 0>({0}, {0})", "a{i} = Div({0}, $[3]); {1} = Add(a{i}, {0})",
    "a{i} = Sub({0}, $[1]); {1} = Mul(a{i}, {0})", "a{i} = Mod({0}, $[5]); {1} = Add(a{i}, {0})", "{1} = CumSum({0}, $0)",
    "a{i} = Max({0}, $[2]); {1} = Mul(a{i}, {0})", "a{i} = Neg({0}); b{i} = Abs(a{i}); {1} = Add(b{i}, {0})", "{1} = Tile({0}, $[2])",
    "a{i} = ReduceProd<keepdims = 1>({0}); {1} = Add(a{i}, {0})", "a{i} = Shape({0}); {1} = Concat<axis = 0>({0}, a{i})",
)  # fmt: skip
VALUES = (  # of a tensor of floats
    "{1} = Concat<axis = 0>({0}, {0})", "s{i} = Shape({0}); {1} = Tile({0}, s{i})", "{1} = Unsqueeze({0}, $[0])", "{1} = Add({0}, {0})",
    "f{i} = Reshape({0}, $[-1]); u{i} = Unsqueeze(f{i}, $[0]); w{i} = Unsqueeze(f{i}, $[1]); {1} = Mul(u{i}, w{i})", "{1} = Flatten({0})",
    "s{i} = Shape({0}); p{i} = Concat<axis = 0>(s{i}, s{i}); {1} = Pad({0}, p{i})", "s{i} = Shape({0}); {1} = Expand({0}, s{i})",
    "f{i} = Flatten({0}); t{i} = Transpose(f{i}); {1} = MatMul(t{i}, f{i})", "s{i} = Shape({0}); {1} = ConstantOfShape(s{i})",
    "f{i} = Reshape({0}, $[-1]); n{i} = NonZero(f{i}); {1} = Cast<to = 1>(n{i})", "{1} = Exp({0})", "{1} = Softmax({0})",
    "q{i} = SequenceConstruct({0}, {0}); {1} = ConcatFromSequence<axis = 0>(q{i})", "m{i} = Cast<to = 9>({0}); {1} = Compress({0}, m{i})",
)  # fmt: skip
ASKING = (  # of a tensor v and a number n
    "y = Expand(v, $[{n}])", "y = Tile(v, $[{n}])", "y = Pad(v, $[0, {n}])", "y = Expand(v, $[{n}, {n}])", "y = OneHot(o, ${n}, w)", "y = Range($0, ${n}, $1)",
    "c = ConstantOfShape($[{n}])\ny = Add(c, v)", "r = Range($0, ${n}, $1)\ny = Unsqueeze(v, r)", "y = Reshape(v, $[{n}, -1])",
    "e = Expand(v, $[{n}, 1])\nf = Expand(v, $[1, {n}])\ny = Add(e, f)", "e = Expand(v, $[{n}, 3])\nt = Transpose(e)\ny = MatMul(e, t)",
    "e = Expand(v, $[1, 1, {n}])\ny = MaxPool<kernel_shape = [{k}]>(e)", "e = Expand(v, $[1, 1, {n}])\ny = Conv<pads = [{k}, {k}]>(e, c3)",
    "e = Expand(v, $[{n}])\ny, i = TopK(e, $[{k}])", "e = Expand(v, $[{n}])\nq = SplitToSequence(e)\ny = SequenceLength(q)", "y = Gather(v, o)",
    "e = Expand(v, $[{n}])\ns = Cast<to = 8>(e)\ny = StringConcat(s, s)", "e = Expand(v, $[{n}])\ny = Einsum<equation = \"a,b->ab\">(e, e)",
    "y = ReduceSum(v)", "s = Shape(v)\ny = Resize(v, , , s)", "y = RandomNormalLike(v)", "e = Expand(v, $[{n}])\ny = Unique(e)", "y = EyeLike(v)",
)  # fmt: skip
WEIGHTS = "int64[1] o = {0}, float[2] w = {0, 1}, float[1, 1, 3] c3 = {1, 1, 1}"


def grown(rng: Random) -> bytes:
    """A file. Raises what ONNX raises where its text is none."""
    inputs = rng.choice(["float[N] x", "float[3] x", "float x", "float[N, M] x", "float[2, 3] x", f"float[{rng.choice(NUMBERS)}] x"])
    lines = ["v0 = Shape(x)" if (sizes := rng.random() < 0.4) else "v0 = Identity(x)"]
    count, at = rng.choice(COUNTS), 0
    steps = [rng.choice(SHAPES if sizes else VALUES) for _ in range(rng.choice([1, 1, 2, 3]))]
    for i in range(count):
        lines += [part.strip().format(f"v{at}", f"v{at + 1}", i=i) for part in steps[i % len(steps)].split(";")]
        at += 1
    lines.append(f"v = ConstantOfShape(v{at})" if sizes else f"v = Identity(v{at})")
    last = rng.choice(ASKING).format(n=rng.choice(NUMBERS), k=rng.choice((2, 400, 10**6, 2**31)))
    if rng.random() < 0.2:  # what grows once more, as often as the number says
        body = rng.choice([step for step in VALUES if "$" not in step]).format("s", "t", i="")
        lines.append(loop(f"${rng.choice(NUMBERS)}", "v", "float[] s", body, "t").replace("l0 =", "y ="))
        return bomb(inputs, *lines, weights=WEIGHTS, outputs="y")
    return bomb(inputs, *lines, *last.split("\n"), weights=WEIGHTS, outputs="y")

"""Small files whose ranks and dims grow: what they are -> how they are made."""

from .bomb_text import Row, chain, row

BIG = 10**9
AXES = f"float[3] x, int64[{BIG}] a"
N = "float[N] x"

RANKS: dict[str, Row] = {
    "Unsqueeze at 10^9 axes": row(AXES, "y = Unsqueeze(x, a)"),
    "Squeeze of 10^9 axes": row(AXES, "y = Squeeze(x, a)"),
    "Reshape to 10^9 axes": row(AXES, "y = Reshape(x, a)"),
    "Expand to 10^9 axes": row(AXES, "y = Expand(x, a)"),
    "ConstantOfShape of 10^9 axes": row(AXES, "y = ConstantOfShape(a)"),
    "Tile by 10^9 repeats": row(AXES, "y = Tile(x, a)"),
    "Pad by 10^9 pads": row(AXES, "y = Pad(x, a)"),
    "Slice at 10^9 places": row(AXES, "y = Slice(x, a, a, a)"),
    "Resize to 10^9 sizes": row(AXES, "y = Resize(x, , , a)"),
    "ReduceSum over 10^9 axes": row(AXES, "y = ReduceSum(x, a)"),
    "Split into 10^9": row(AXES, "y = Split(x, a)"),
    "SplitToSequence by 10^9 lengths": row(AXES, "y = SplitToSequence(x, a)"),
    "CenterCropPad to 10^9 axes": row(AXES, "y = CenterCropPad(x, a)"),
    "Col2Im of 10^9 axes": row(f"float[1, 1, 1] x, int64[{BIG}] a", "y = Col2Im(x, a, a)"),
    "GatherND with indices of 10^9": row(AXES, "y = GatherND(x, a)"),
    "AffineGrid of 10^9 sizes": row(f"float[1, 2, 3] x, int64[{BIG}] a", "y = AffineGrid(x, a)"),
    "a Range of 10^9 as a shape": row("float[3] x", f"r = Range($0, ${BIG}, $1)", "y = Reshape(x, r)"),
    "a Tile of 10^9 as a shape": row("float[3] x", "s = Shape(x)", f"r = Tile(s, $[{BIG}])", "y = Expand(x, r)"),
    "an Expand to 10^9 as axes": row("float[3] x", f"r = Expand($[0], $[{BIG}])", "y = Unsqueeze(x, r)"),
    "shapes that double 40 times": row("float[3] x", "v0 = Shape(x)", *chain(40, "{1} = Concat<axis = 0>({0}, {0})"), "y = Expand(x, v40)"),
    "Unsqueeze 100 times": row("float[3] v0", *chain(100, "{1} = Unsqueeze({0}, $[0])"), "y = Neg(v100)"),
    "10^5 axes": row(f"float[{', '.join(f'N{i}' for i in range(10**5))}] x", "y = Flatten(x)"),
    "Einsum to 60 axes": row("float[2] x", f'y = Einsum<equation = "{",".join(map(chr, range(97, 123)))},{",".join(map(chr, range(65, 91)))}">({", ".join(["x"] * 52)})'),
    "an outer product with itself, 40 times": row("float[N, M] v0", *chain(40, "f{i} = Reshape({0}, $[-1]); u{i} = Unsqueeze(f{i}, $[0]); w{i} = Unsqueeze(f{i}, $[1]); {1} = Mul(u{i}, w{i})"), "y = Neg(v40)"),
    "Transpose of 10^5 axes": row("float x", f"y = Transpose<perm = {list(range(10**5))}>(x)"),
}  # fmt: skip

DIMS: dict[str, Row] = {
    "s += s // 3, 30 times": row(N, "v0 = Shape(x)", *chain(30, "a{i} = Div({0}, $[3]); {1} = Add(a{i}, {0})"), "y = ConstantOfShape(v30)"),
    "s *= s + 1, 10 times": row(N, "v0 = Shape(x)", *chain(10, "a{i} = Add({0}, $[1]); {1} = Mul(a{i}, {0})"), "y = ConstantOfShape(v10)"),
    "s = s * s, 60 times": row(N, "v0 = Shape(x)", *chain(60, "{1} = Mul({0}, {0})"), "y = ConstantOfShape(v60)"),
    "s = s % 7 + s // 7, 40 times": row(N, "v0 = Shape(x)", *chain(40, "a{i} = Mod({0}, $[7]); b{i} = Div({0}, $[7]); {1} = Add(a{i}, b{i})"), "y = ConstantOfShape(v40)"),
    "max and min, 40 times": row(N, "v0 = Shape(x)", "t0 = Add(v0, v0)", *chain(40, "a{i} = Max({0}, t{i}); b{i} = Min({0}, t{i}); {1} = Add(a{i}, b{i}); t{j} = Mul(a{i}, b{i})"), "y = ConstantOfShape(v40)"),
    "20 factors (A + B)": row(", ".join(f"float[A{i}] x{i}" for i in range(40)), *(f"s{i} = Shape(x{i})" for i in range(40)), *(f"p{i} = Add(s{2 * i}, s{2 * i + 1})" for i in range(20)), "v0 = Identity(p0)", *chain(19, "{1} = Mul({0}, p{i})"), "y = ConstantOfShape(v19)"),
    "Concat with itself, 200 times": row("float[N] v0", *chain(200, "{1} = Concat<axis = 0>({0}, {0})"), "y = Shape(v200)"),
    "Concat of 3,000 sizes": row(", ".join(f"float[N{i}] x{i}" for i in range(3000)), f"y = Concat<axis = 0>({', '.join(f'x{i}' for i in range(3000))})"),
    "a sum of sizes, squared and squared": row(", ".join(f"float[N{i}] x{i}" for i in range(30)), f"c = Concat<axis = 0>({', '.join(f'x{i}' for i in range(30))})", "v0 = Shape(c)", *chain(8, "{1} = Mul({0}, {0})"), "y = ConstantOfShape(v8)"),
    "Tile by its own shape, 30 times": row("float[N] v0", *chain(30, "s{i} = Shape({0}); {1} = Tile({0}, s{i})"), "y = Neg(v30)"),
    "Pad by its own shape, 60 times": row("float[N] v0", *chain(60, "s{i} = Shape({0}); p{i} = Concat<axis = 0>(s{i}, s{i}); {1} = Pad({0}, p{i})"), "y = Neg(v60)"),
    "1,000 pools with ceil": row("float[1, 1, N] v0", *chain(1000, "{1} = MaxPool<kernel_shape = [3], strides = [2], pads = [1, 1], ceil_mode = 1>({0})"), "y = Neg(v1000)"),
    "500 convolutions with strides": row("float[1, 1, N] v0", *chain(500, "{1} = Conv<strides = [3], pads = [5, 5]>({0}, w)"), "y = Neg(v500)", weights="float[1, 1, 3] w = {1, 1, 1}"),
    "Resize by 1.3, 300 times": row("float[N] v0", *chain(300, "{1} = Resize({0}, , s)"), "y = Neg(v300)", weights="float[1] s = {1.3}"),
    "Reshape to [-1, 7] and back, 100 times": row("float[N, M] v0", *chain(100, "r{i} = Reshape({0}, $[-1, 7]); {1} = Reshape(r{i}, $[11, -1])"), "y = Neg(v100)"),
    "Slice to half, 200 times": row("float[N] v0", *chain(200, "s{i} = Shape({0}); h{i} = Div(s{i}, $[2]); {1} = Slice({0}, $[0], h{i})"), "y = Neg(v200)"),
    "Range over its own size": row(N, "z = Size(x)", "v0 = Identity(z)", *chain(25, "r{i} = Range($0, {0}, $3); q{i} = Size(r{i}); {1} = Mul(q{i}, {0})"), "y = Identity(v25)"),
    "a dim of 10^5 letters": row(f"float[{'N' * 10**5}] x", "y = Neg(x)"),
    "the product of a shape": row("float[A, B, C, D] x", "s = Shape(x)", "v0 = ReduceProd<keepdims = 1>(s)", *chain(8, "a{i} = Add({0}, $[1]); {1} = Mul(a{i}, a{i})"), "y = ConstantOfShape(v8)"),
    "CumSum of a shape, 50 times": row("float[A, B, C, D, E, F] x", "v0 = Shape(x)", *chain(50, "{1} = CumSum({0}, $0)"), "y = ConstantOfShape(v50)"),
}  # fmt: skip

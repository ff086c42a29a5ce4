"""Small files that take long, or are long themselves: what they are -> how they are made."""

from functools import partial

import onnx

from .bomb_text import Row, bomb, chain, loop, row

MANY = 20_000
XS = ", ".join(["x"] * MANY)
EVER = 10**12
DOMAIN = '<domain: "f", opset_import: ["": 22, "f": 1]>'


def calls(levels: int, step: str) -> str:
    """Functions of which each calls the one before it."""
    return (
        "".join(f"{DOMAIN} f{i + 1} (x) => (y) {{ {step.format(f'f.f{i}')} }}\n" for i in range(levels))
        + f"{DOMAIN} f0 (x) => (y) {{ y = Neg(x) }}\n"
    )


def nested(levels: int) -> str:
    """An If in an If in an If."""
    inner, name = "n = Neg(x)", "n"
    for i in range(levels):
        inner, name = (
            f"q{i} = If<then_branch = a{i} () => (float {name}) {{ {inner} }}, else_branch = b{i} () => (float e{i}) {{ e{i} = Identity(x) }}>(c)",
            f"q{i}",
        )
    return inner


def edited(change: str, count: int) -> bytes:
    """y = -x, with many of something that is not a node."""
    model = onnx.load_from_string(bomb("float[1] x", "y = Neg(x)"))
    inner = model.graph.input.add(name="s").type
    for i in range(count):
        match change:
            case "opsets":
                model.opset_import.add(domain=f"d{i}", version=1)
            case "metadata":
                model.metadata_props.add(key=f"k{i}", value="v")
            case "initializers":
                model.graph.initializer.add(name=f"w{i}", data_type=1, dims=[0])
            case "outputs":
                model.graph.output.add(name="y")
            case "inputs":
                model.graph.input.add(name=f"x{i}")
            case "value infos":
                model.graph.value_info.add(name=f"v{i}")
            case "attributes":
                model.graph.node[0].attribute.add(name=f"a{i}", type=1, f=1.0)
            case "functions":
                model.functions.add(name=f"f{i}", domain="f")
            case "training":
                model.training_info.add()
            case "types":
                inner = inner.sequence_type.elem_type
                inner.SetInParent()
    return model.SerializeToString()


TIME: dict[str, Row] = {
    "a Loop of 10^12 trips": row("float x", loop(f"${EVER}", "x", "float s", "t = Neg(s)", "t"), outputs="l0"),
    "a Loop without an end": row("float x", loop("", "x", "float s", "t = Neg(s)", "t"), outputs="l0"),
    "a Loop of 10^12 trips that does nothing": row("float x", loop(f"${EVER}", "x", "float s", "t = Identity(s)", "t"), outputs="l0"),
    "a Loop that scans 10^9 values": row("float x", loop("$1000000000", "x", "float s", "t = Neg(s);u = Exp(s)", "t", "u"), outputs="l1"),
    "a Loop whose state doubles": row("float[1] x", loop("$60", "x", "float[] s", "t = Concat<axis = 0>(s, s)", "t"), outputs="l0"),
    "a Loop whose text doubles": row("string[1] x", loop("$60", "x", "string[1] s", "t = StringConcat(s, s)", "t"), outputs="l0"),
    "a Loop whose rank grows": row("float[1] x", loop("$1000", "x", "float s", "t = Unsqueeze(s, z)", "t"), outputs="l0", weights="int64[1] z = {0}"),
    "a Loop that grows a sequence": row("float[1] x", "e = SequenceEmpty()", "a = Expand(x, $[1000000])", loop("$100000", "e", "seq(float) s", "b = Neg(a);t = SequenceInsert(s, b)", "t"), outputs="l0"),
    "a Loop that doubles a sequence": row("float[1] x", "e = SequenceConstruct(x, x)", loop("$60", "e", "seq(float) s", "n = Concat<axis = 0>(x, x);c = ConcatFromSequence<axis = 0>(s);d = Concat<axis = 0>(c, c);t = SplitToSequence(d)", "t"), outputs="l0"),
    "a Scan of 10^9 rows": row("float[1] x", "r = Expand(x, $[1000000000, 1])", "y = Scan<num_scan_inputs = 1, body = b (float[1] p) => (float[1] q) { q = Neg(p) }>(r)"),
    "functions that call the one before twice, 40 levels": row("float x", "y = f.f40(x)", functions=calls(40, "a = {0}(x) y = {0}(a)")),
    "functions that call the one before ten times, 12 levels": row("float x", "y = f.f12(x)", functions=calls(12, "a0 = {0}(x) " + " ".join(f"a{i + 1} = {{0}}(a{i})" for i in range(9)) + " y = Neg(a9)")),
    "functions in a chain of 3,000": row("float x", "y = f.f3000(x)", functions=calls(3000, "y = {0}(x)")),
    "a function that calls itself": row("float x", "y = f.f(x)", functions=DOMAIN + " f (x) => (y) { y = f.f(x) }"),
    "If in If, 30 deep": row("float x, bool c", nested(30), outputs="q29"),
    "Sum of 20,000 inputs": row("float[1] x", f"y = Sum({XS})"),
    "Max of 20,000 inputs": row("float[1] x", f"y = Max({XS})"),
    "Mean of 20,000 inputs": row("float[1] x", f"y = Mean({XS})"),
    "Concat of 20,000 inputs": row("float[N] x", f"y = Concat<axis = 0>({XS})"),
    "SequenceConstruct of 20,000 inputs": row("float[1] x", f"s = SequenceConstruct({XS})", "y = ConcatFromSequence<axis = 0>(s)"),
    "Einsum of 2,000 inputs": row("float[1] x", f'y = Einsum<equation = "{",".join(["a"] * 2000)}->a">({", ".join(["x"] * 2000)})'),
    "a chain of 20,000 nodes": row("float[N] v0", *chain(MANY, "{1} = Neg({0})"), "y = Identity(v20000)"),
    "a ladder of 5,000 sums": row("float[N] v0", *chain(5000, "{1} = Add({0}, {0})"), "y = Identity(v5000)"),
    "5,000 nodes that read all before them in part": row("float[1] v0", *chain(2000, "{1} = Sum({0}, v0, {0})"), f"y = Sum({', '.join(f'v{i}' for i in range(2000))})"),
    "20,000 constants": row("float[1] x", *(f"c{i} = Constant<value_float = {i}.0>()" for i in range(MANY)), f"y = Sum({', '.join(f'c{i}' for i in range(MANY))}, x)"),
    "20,000 equal nodes": row("float[1] x", *(f"c{i} = Neg(x)" for i in range(MANY)), f"y = Sum({', '.join(f'c{i}' for i in range(MANY))})"),
    "Conv, a window of 400 squared": row("float[1, 1, 1000, 1000] x", "w = Expand(o, $[1, 1, 400, 400])", "y = Conv<pads = [500, 500, 500, 500]>(x, w)", weights="float[1] o = {1}"),
    "MaxPool, a window of 2,000 squared": row("float[1, 1, 3000, 3000] x", "y = MaxPool<kernel_shape = [2000, 2000]>(x)"),
    "LpPool, a window of 1,000 squared": row("float[1, 1, 3000, 3000] x", "y = LpPool<kernel_shape = [1000, 1000]>(x)"),
    "MatMul of 30,000 squared": row("float[1] x", "a = Expand(x, $[30000, 3000])", "b = Transpose(a)", "c = MatMul(b, a)", "d = MatMul(c, b)", "y = ReduceSum(d)"),
    "MatMul of whole numbers, 3,000 squared": row("int64[1] x", "a = Expand(x, $[3000, 3000])", "y = MatMul(a, a)"),
    "Einsum of four cubes": row("float[1] x", "a = Expand(x, $[100, 100, 100])", 'y = Einsum<equation = "abc,ade,bdf,cef->">(a, a, a, a)'),
    "Einsum of 12 letters": row("float[1] x", "a = Expand(x, $[9, 9, 9, 9, 9, 9])", 'y = Einsum<equation = "abcdef,ghijkl->">(a, a)'),
    "NonMaxSuppression of 50,000 boxes": row("float[1] x", "b = Expand(q, $[1, 50000, 4])", "s = Expand(x, $[1, 1, 50000])", "y = NonMaxSuppression(b, s, $[50000])", weights="float[4] q = {0, 0, 1, 1}"),
    "a pattern that tries all ways": row("string[1] x", 't = Constant<value_strings = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]>()', 'y = RegexFullMatch<pattern = "(a+)+b|(a|a)*c|(a?){30}a{30}">(t)'),
    "Det of 3,000 squared": row("float[1] x", "e = Expand(x, $[3000, 3000])", "y = Det(e)"),
    "Unique of 10^7": row("float[1] x", "r = Range($0, $10000000, $1)", "u = Unique<sorted = 1>(r)", "y = Identity(u)"),
    "TopK of 2 10^7": row("float[1] x", "r = Range($0, $20000000, $1)", "y, i = TopK(r, $[10000000])", outputs="y"),
    "DFT of 4,999,999": row("float[1] x", "r = Expand(x, $[1, 4999999, 1])", "y = DFT(r, , $1)"),
    "DeformConv with a window of 200 squared": row("float[1] x", "i = Expand(x, $[1, 1, 300, 300])", "w = Expand(x, $[1, 1, 200, 200])", "o = Expand(x, $[1, 80000, 101, 101])", "y = DeformConv(i, w, o)"),
    "a GRU of 10^6 steps": row("float[1] x", "s = Expand(x, $[1000000, 1, 1])", "w = Expand(x, $[1, 3, 1])", "y = GRU<hidden_size = 1>(s, w, w)"),
    "a gradient of 300 multiplications by itself": row("float[1] v0", *chain(300, "{1} = Mul({0}, {0})"), "y = Identity(v300)"),
    "100 Loops in a chain": row("float[1] l0x", *(loop("$100000", f"l{i}x", "float[1] s", "t = Neg(s)", "t").replace("l0 =", f"l{i + 1}x =") for i in range(100)), outputs="l100x"),
    **{f"{count:,} {what}": partial(edited, what, count) for what, count in [
        ("opsets", 30_000), ("metadata", 30_000), ("initializers", 30_000), ("outputs", 30_000), ("inputs", 30_000), ("value infos", 30_000), ("attributes", 30_000),
        ("functions", 30_000), ("training", 30_000), ("types", 45),
    ]},
}  # fmt: skip

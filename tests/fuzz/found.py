"""What the campaigns found, made small: the campaign, what it was, and the file. tests/test_fuzz.py tries each again."""

from .case import Case

FOUND: list[tuple[str, str, Case]] = [
    ("hostile", "a name that is not UTF-8", Case(".onnx", b":\x0c\n\n\x12\x08constA\xa1t")),
    (
        "hostile",
        "an input of no elements, for sizes too large for NumPy",
        Case(".onnx", b":\x1eZ\x1c\n\x02x0\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x00\n\n\x08\x80\x80\x80\x80\x80\x80\x80\x80@"),
    ),
    (
        "hostile",
        "half of a surrogate pair on its way to ONNX",
        Case(
            ".json",
            b'{"version":1,"graph":{"name":"\\ud800","inputs":[{"name":"x","type":"float32[2]"}],"nodes":[{"op":"Neg","inputs":["x"],"outputs":["y"]}],"outputs":["y"]},"sha256":{}}',
        ),
    ),
    ("hostile", "an old ReduceMin without an input", Case(".onnx", b':\r\n\x0b"\tReduceMin')),
    (
        "hostile",
        "a Resize of an opset before there was one, without scales",
        Case(".onnx", b':\x1c\n\x0c\n\x02x2"\x06ResizeZ\x0c\n\x02x2\x12\x06\n\x04\x08\x01\x12\x00'),
    ),
    (
        "hostile",
        "a Cast without an input, in training",
        Case(".onnx", b'::\n \x12\x0ctreeensemble"\x04Cast:\nai.onnx.mlb\x16\x12\x06\n\x04\x08\x01\x12\x00\n\x0ctreeensemble'),
    ),
    ("hostile", "two bodies, one under a name that is not UTF-8", Case(".onnx", b":\x17\n\x15*\x0f\n\x0bthen_bran\xc6h2\x00*\x022\x00")),
    ("hostile", "a function without opsets", Case(".onnx", b":\x00\xca\x01\x00")),
    (
        "hostile",
        "the gradient of a CumProd along an axis of no number",
        Case(
            ".onnx",
            b':7\n\x17\n\x02x0\n\x02x1\x12\x04tile"\x07CumProd*\x08\x08\x00B\x02x1\x10\x07Z\n\n\x02x0\x12\x04\n\x02\x08\x01b\x06\n\x04tile',
        ),
    ),
    (
        "hostile",
        "a ReduceMean of a scalar over more axes than are looked at",
        Case(
            ".onnx",
            b':R\n \n\x02x0\n\x02x1\x12\nreducemean"\nReduceMeanZ\x0c\n\x02x0\x12\x06\n\x04\x08\x07\x12\x00Z\x12\n\x02x1\x12\x0c\n\n\x08\x07\x12\x06\n\x04\x08\x80\x80\x04b\x0c\n\nreducemeanB\x02\x10\x12',
        ),
    ),
    (
        "hostile",
        "a Scan whose body makes nothing",
        Case(
            ".json",
            b'{"version":1,"graph":{"inputs":[{"name":"x0","type":"float32[4, 3]"},{"name":"x1","type":"float32[4, 3]"}],"nodes":[{"op":"Scan","inputs":["x0","x1"],"outputs":["scan"],"attributes":{"body":{"graph":{"inputs":[{"name":"in"},{"name":"in_1"}]}},"num_scan_inputs":2}}],"outputs":["scan"]},"sha256":{}}',
        ),
    ),
    ("hostile", "a DFT of an opset before there was one, without inputs", Case(".onnx", b':\x07\n\x05"\x03DFT')),
]

"""What the campaigns found, made small: campaign and what it was -> the case. The fuzz keeps these; tests/test_fuzz.py tries them again."""

from .case import Case

FOUND: dict[tuple[str, str], Case] = {
    ("hostile", "a name that is not UTF-8"): Case(".onnx", b""),
}

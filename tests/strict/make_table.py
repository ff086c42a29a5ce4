"""Writes table.json: the names and parameters of the installed CuPy, which the stand-in array holds kernels to. No GPU is needed.

python tests/strict/make_table.py            writes the table
python tests/strict/make_table.py --check    compares, and tells what differs
"""

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("table.json")


def made() -> dict[str, Any]:
    """The table of the installed CuPy."""
    import cupy  # pyright: ignore[reportMissingImports]
    import cupyx  # pyright: ignore[reportMissingImports]
    import cupyx.scipy.special  # pyright: ignore[reportMissingImports]

    return {
        "version": cupy.__version__,
        "cupy": names(cupy),
        "cupy.fft": names(cupy.fft),
        "cupy.lib.stride_tricks": names(cupy.lib.stride_tricks),
        "cupy.linalg": names(cupy.linalg),
        "cupy.random": names(cupy.random),
        "cupy.random.Generator": methods(cupy.random.Generator),
        "cupy.ndarray": methods(cupy.ndarray),
        "cupy.ufunc": methods(cupy.ufunc),
        "cupyx": {k: v for k, v in names(cupyx).items() if k.startswith("scatter")},
        "cupyx.scipy.special": names(cupyx.scipy.special),
    }


def names(module: Any) -> dict[str, Any]:
    """Public name -> the parameters of a function, the dtypes of a ufunc, such as "ff->f dd->d", or null for all else but modules."""
    public = [(n, getattr(module, n)) for n in sorted(dir(module)) if not n.startswith("_")]
    return {n: described(x) for n, x in public if not inspect.ismodule(x) and not is_a_stranger(x)}


def methods(class_: type) -> dict[str, Any]:
    """Public name -> the parameters of a method, null for a property."""
    return {n: described(getattr(class_, n)) for n in sorted(dir(class_)) if not n.startswith("_")}


def described(x: Any) -> Any:
    if type(x).__name__ == "ufunc":
        return " ".join(x.types)
    if inspect.isclass(x) or not callable(x):
        return None
    try:
        return str(inspect.Signature([plain(p) for p in inspect.signature(x).parameters.values()]))
    except (TypeError, ValueError):
        said = re.match(r"[\w.]*\((.*)\)", x.__doc__ or "")  # compiled functions say it in the first line
        return None if said is None else f"({re.sub(r'=[^,()]+', '=None', re.sub(r'[a-z_A-Z]+ (?=[a-z])', '', said[1]))})"


def plain(p: inspect.Parameter) -> inspect.Parameter:
    """The parameter without annotation, its default, if any, None."""
    return p.replace(annotation=p.empty, default=p.default if p.default is p.empty else None)


def is_a_stranger(x: Any) -> bool:
    """Whether a function comes from elsewhere, typing above all."""
    return (getattr(x, "__module__", None) or "cupy").split(".")[0] in ("typing", "__future__", "collections", "functools", "math")


def text(table: dict[str, Any]) -> str:
    """A line a name, so that differences read well."""
    return json.dumps(table, indent=1, sort_keys=True) + "\n"


def main() -> int:
    new = text(made())
    if "--check" not in sys.argv:
        TABLE.write_text(new)
        return 0
    old = TABLE.read_text()
    if new != old:
        import difflib

        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "table.json", "the installed CuPy", n=0))
        print("run tests/strict/make_table.py, then make test, and mend what fails", file=sys.stderr)
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())

"""The laws of the house: who may import whom, sizes, names, and what it costs to begin."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import graphir

ROOT = Path(__file__).parent.parent
PACKAGES = {p.name: p for source in ("graphir", "runtimes/*", "exporters/*") for p in ROOT.glob(source) if (p / "__init__.py").is_file()}
SOURCES = sorted(
    p for folder in ("graphir", "runtimes", "exporters", "models", "tests", "benchmarks", "docs") for p in ROOT.glob(f"{folder}/**/*.py")
)
HOUSE = [p for p in SOURCES if any(p.is_relative_to(package) for package in PACKAGES.values())]

# Each room imports from itself and those before it. `graphir/__init__.py` is the door to all of them, and in no room.
ROOMS = {
    "ir": "addresses budget collector mapped dims dim_text dtypes expect types tensors readers nodes ir model calls verify",
    "plugins": "atomic file_kinds plugins turns feeds text results",
    "ops": "ops",
    "passes": "passes",
    "file": "file info",
    "training": "training dynamic",
    "cli": "cli __main__",
}
ROOM = {module: rank for rank, modules in enumerate(ROOMS.values()) for module in modules.split()}
FOR_PRINTING = {("graphir.ir", "graphir.text"), ("graphir.model", "graphir.text")}  # str(graph) asks for the printer when it is called

# Who may import what comes from elsewhere; all other packages of the house may not.
GUESTS = {
    "onnx": {"graphir_onnx"},
    "google": {"graphir_onnx"},
    "cupy": {"graphir_cupy"},
    "onnxruntime": {"graphir_onnxruntime"},
    "click": {"graphir"},
}
NEIGHBOURS = {"graphir_numpy": {"graphir_arrays"}, "graphir_cupy": {"graphir_arrays"}}
BANNED = re.compile(r"(^|_)(utils?|helpers?|misc)(_|$)", re.IGNORECASE)
UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def module_name(path: Path) -> str:
    """The name under which a file of the house is imported."""
    package = next(p for p in PACKAGES.values() if path.is_relative_to(p))
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, in functions too; of `from a import b`, a.b where that is a module, else a."""
    here = module_name(path)
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                yield f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base


def is_module(name: str) -> bool:
    top, *rest = name.split(".")
    at = PACKAGES[top].joinpath(*rest) if top in PACKAGES else None
    return at is not None and (at.is_dir() or at.with_suffix(".py").is_file())


def test_there_is_a_house():
    assert {"graphir", "graphir_arrays", "graphir_numpy", "graphir_onnx"} <= PACKAGES.keys()
    assert len(HOUSE) > 20
    assert "graphir.ir" in set(imports(ROOT / "graphir/model.py"))
    assert "graphir.ops.elementwise" in map(module_name, HOUSE)


def test_every_module_has_a_room():
    here = {p.stem for p in (ROOT / "graphir").glob("*") if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert here - {"__init__"} <= ROOM.keys(), "say in ROOMS where it belongs"


def test_rooms_import_downwards():
    """ir <- plugins <- ops <- passes <- file <- training, dynamic <- cli."""
    wrong = []
    for path in HOUSE:
        here = module_name(path)
        if not here.startswith("graphir."):
            continue
        for there in imports(path):
            room = there.split(".")[1] if there.startswith("graphir.") else None
            if room is not None and ROOM[room] > ROOM[here.split(".")[1]] and (here, there) not in FOR_PRINTING:
                wrong.append(f"{here} imports {there}")
    assert not wrong


def test_packages_import_graphir_and_not_each_other():
    wrong = []
    for path in HOUSE:
        here = module_name(path).split(".")[0]
        for there in {name.split(".")[0] for name in imports(path)} & PACKAGES.keys() - {here}:
            if there != "graphir" and there not in NEIGHBOURS.get(here, ()):
                wrong.append(f"{path.relative_to(ROOT)} imports {there}")
    assert not wrong


def test_guests_stay_where_they_belong():
    wrong = []
    for path in HOUSE:
        here = module_name(path).split(".")[0]
        tops = {name.split(".")[0] for name in imports(path)}
        wrong += [f"{path.relative_to(ROOT)} imports {top}" for top in tops if top in UNSAFE or (top in GUESTS and here not in GUESTS[top])]
    assert not wrong


# An installer, then graphir as what it is to fetch by name: the name belongs to somebody else on the public index. A path, or a wheel, is meant otherwise.
FETCHES = re.compile(
    r"""\b(?:pip3?|pipx|uvx?|poetry|conda|mamba)\b[^\n`]*?[ "'=]graphir(?=[\[\s"'`=<>~;,)]|\.?$)(?!\S*\.whl)|\bgraphir\[[\w{]""", re.M
)


def test_nobody_is_told_to_fetch_graphir_from_an_index():
    wrong, right = ("pip install {}", "pip install '{}[x]'", "uv add {}", "pip install -U {}==1", "pipx run {}"), (
        "pip install -e .", "pip install {}-0.1.0-py3-none-any.whl", "pip install ./{}", "import {}; {}.load",
    )  # fmt: skip
    assert [bool(FETCHES.search(text.format(*["graphir"] * 2))) for text in (*wrong, *right)] == [True] * 5 + [False] * 4
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    texts = {name: (ROOT / name).read_bytes() for name in listed if name and (ROOT / name).is_file()}
    assert len(texts) > 100
    assert not {name: m[0] for name, data in texts.items() if b"\0" not in data for m in FETCHES.finditer(data.decode())}


def test_operators_keep_their_annotations():
    """Rules are read at run time, so their annotations must not become text."""
    assert not [p for p in HOUSE if p.is_relative_to(ROOT / "graphir/ops") and "__future__" in set(imports(p))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short_and_well_named(path):
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= 500
    named = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    lengths = {n.name: (n.end_lineno or 0) - n.lineno + 1 for n in named if not isinstance(n, ast.ClassDef)}
    assert not {name: lines for name, lines in lengths.items() if lines > 60}
    assert not [name for name in (path.stem, *(n.name for n in named)) if BANNED.search(name)]


@pytest.mark.parametrize("path", [p for p in HOUSE if "kernels" not in p.parts], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_public_is_documented(path):
    """Modules, classes, functions and methods; a kernel is documented by its op."""
    tree = ast.parse(path.read_text())
    bare = [] if ast.get_docstring(tree) else ["the module"]
    bare += [n.name for n in public(tree) if not ast.get_docstring(n) and not is_overload(n)]
    assert not bare


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """A stub, whose documentation stands elsewhere: @overload, a setter, a one-line protocol method, a rule below its op."""
    marks = [ast.unparse(d) for d in node.decorator_list]
    return any(m == "overload" or m.endswith((".setter", ".decompose", ".gradient", ".kernel")) for m in marks)


def test_the_door_agrees_with_itself():
    tree = ast.parse((ROOT / "graphir/__init__.py").read_text())
    typed = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for a in n.names}
    assert typed == set(graphir.__all__) == {*graphir._ROOMS, *graphir._HOME}
    assert all(getattr(graphir, name) is not None for name in graphir.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = graphir.nothing


def python(code: str, bytecode: Path) -> str:
    """What a fresh interpreter prints. bytecode: where it keeps what it compiles, so that all but the first import as users do."""
    env = {name: x for name, x in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": str(bytecode)}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout


def test_import_is_quick(tmp_path: Path):
    """`import graphir` costs at most 0.15 s beyond NumPy; all that lies behind its names, operators too, twice that; nothing loads that only some need."""
    code = (
        "import numpy, sys, time; before = set(sys.modules); start = time.process_time(); import graphir; door = time.process_time() - start; "
        "[getattr(graphir, n) for n in graphir.__all__]; print(door, time.process_time() - start, *(set(sys.modules) - before))"
    )
    runs = [python(code, tmp_path).split() for _ in range(5)]
    assert min(float(r[0]) for r in runs) <= 0.15  # of processor time, the least of five: what else runs here does not count
    assert min(float(r[1]) for r in runs) <= 0.3
    assert not {m.split(".")[0] for m in runs[0][2:]} & {"onnx", "google", "scipy", "rich", "click", "cupy", "onnxruntime"}
    assert "importlib.metadata" not in runs[0]


def test_help_is_quick(tmp_path: Path):
    """--help answers in 0.4 s, the interpreter's own start included, without NumPy."""
    code = "import sys, time; from graphir.cli import main; assert main(['--help']) == 0; print(time.process_time(), *sys.modules)"
    runs = [python(code, tmp_path).splitlines()[-1].split() for _ in range(5)]
    assert min(float(r[0]) for r in runs) <= 0.4
    assert not {"numpy", "rich", "onnx", "importlib.metadata", "graphir.ir"} & set(runs[0])

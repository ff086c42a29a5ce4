"""What graphir asks of those that run graphs and of those that read and write files, and how they are found: by entry points, when they are first used.

Groups: `graphir.formats` names modules (see Format), `graphir.runtimes` names objects (see Runtime). Ours come through the same door as anyone's.
"""

import errno
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .atomic import write_atomically
from .budget import Budget, LimitError, Limits
from .expect import expect, expect_model, near
from .file_kinds import HEAD, Kind, kind_of_bytes, kind_of_file, near_file

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .model import Model

__all__ = [
    "FORMATS", "RUNTIMES", "Budget", "Format", "FormatError", "LimitError", "Limits", "Program", "Runtime", "RuntimeFacts", "compile", "dumps",
    "expect_limits", "format_of", "installed", "kept_limits", "load", "loads", "maps_devices", "runtime_facts", "runtimes", "save", "write_atomically",
]  # fmt: skip

FORMATS, RUNTIMES = "graphir.formats", "graphir.runtimes"
_DEVICES = ("device", "devices", "providers", "provider", "target", "backend")
_OTHER_NAMES = {  # what people call formats and runtimes
    "numpy": "cpu np cpuexecutionprovider",
    "cupy": "gpu cuda nvidia cudaexecutionprovider",
    "onnxruntime": "ort onnxrt",
    "gir": "safetensors native",
    "txt": "text str",
}


class FormatError(ValueError):
    """A file that cannot be read, or a model that cannot be written. Names the file, the graph, the node or tensor; what was found, what was expected."""


class Format(Protocol):
    """A module that reads and writes files of one kind. The name of its entry point is the format's name.

    A format that is only written, or only read, leaves the other functions out, or raises FormatError in them.
    load and save may take options of their own. Three are known to callers: of load `verify` (check the data of every tensor at once) and `copy`
    (read all at once, and map nothing); and `note` of save and dumps (a function that is told, in a sentence, what the file says otherwise than was asked).
    One whose files are text has `textual = True`. A function `recognizes(data) -> bool`, where there is one, tells `loads` what comes through a pipe.
    """

    suffixes: tuple[str, ...]

    def load(self, path: Path) -> "Model":
        """The model in a file. May map the file, and read a tensor when it is wanted."""
        ...

    def loads(self, data: bytes) -> "Model":
        """The model in these bytes."""
        ...

    def save(self, model: "Model", path: Path, **options: Any) -> None:
        """Write a file, through `write_atomically`."""
        ...

    def dumps(self, model: "Model", **options: Any) -> bytes:
        """The bytes of the file."""
        ...


class Program(Protocol):
    """A compiled model. state: the weights that updates move, by address, to read and to set.

    Threads may call all of it at any time: `graphir.turns` has what lets them take turns.
    One may have `runs`, how many runs there were, to read and to set, where random numbers hang on that.
    """

    @property
    def state(self) -> MutableMapping[str, Any]:
        """The weights that updates move, by address, to read and to set."""
        ...

    @property
    def stages(self) -> Sequence[Any]:
        """What compiling did, step by step, to print."""
        ...

    @property
    def source(self) -> str:
        """The program as text."""
        ...

    def run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs, or the values at the addresses in `fetch`, by name."""
        ...

    def clone(self) -> "Program":
        """A program for another thread, to run at the same time, which shares the constants."""
        ...


class Runtime(Protocol):
    """What compiles models into programs. The name of its entry point is the runtime's name.

    One may have a method `version() -> str`, which tells the library that it stands on, with its version; it is asked where the runtime can run.
    And `keeps`, the names of those Limits that its programs keep, where that is not all of them; and `maps_devices`, true where it maps so much
    memory of a device that the memory of its process tells nothing: the command line then leaves that unbounded.
    """

    name: str

    def unavailable(self) -> str | None:
        """Why it cannot run on this machine; None where it can."""
        ...

    def compile(self, model: "Model", **options: Any) -> Program:
        """A program that runs the model. options: limits (Limits for each run, or a Budget of the caller's), seed (an int), and the runtime's own."""
        ...


def expect_limits(limits: Any) -> None:
    """Raises TypeError for what is neither Limits, nor the Budget of a larger piece of work, nor None."""
    expect(limits, Limits | Budget | None, "limits", "a Limits, such as graphir.plugins.Limits(seconds=60)")


# ---- what users call ----------------------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], format: str | None = None, *, verify: bool = False, copy: bool | None = None) -> "Model":
    """The model in a file.

    format: its name; by default the suffix tells. verify: check the data of every tensor now, where the format keeps checksums.
    copy: read all of it into memory now. Else large files are mapped, and one that is changed in place afterwards is refused when its data is wanted.
    By default as `verify` says, so that what was checked is what is used.
    Raises FormatError where the file is not what it should be, and OSError where it cannot be opened.
    """
    expect(path, str | os.PathLike, "the path", "the name of a file; graphir.loads(data) reads bytes")
    if "://" in str(path):
        raise FileNotFoundError(errno.ENOENT, "a file on this machine is expected; download it first", str(path))
    path = Path(path)
    absent = "" if path.exists() else f"there is no such file{near_file(path)}"
    try:
        name = format or format_of(path)
    except FormatError as e:
        if absent:
            raise FormatError(f"{absent} ({e})") from None
        raise _explained(e, str(path), kind_of_file(path), "") from None
    read = _door(name, "load", "read")
    if absent:
        raise FileNotFoundError(errno.ENOENT, absent, str(path))
    wanted = {"verify": verify, "copy": verify if copy is None else copy}
    known = inspect.signature(read).parameters
    try:
        return read(path, **{option: True for option, is_wanted in wanted.items() if is_wanted and option in known})
    except FormatError as e:
        raise _explained(e, str(path), kind_of_file(path), name) from e.__cause__


def loads(data: bytes, format: str | None = None) -> "Model":
    """The model in these bytes. format: its name; by default the first bytes tell. Raises FormatError where they are not what they should be."""
    expect(data, bytes | bytearray | memoryview, "the data", "the bytes of a file; graphir.load(path) reads one by its name")
    name = format or _recognized(data)
    read = _door(name, "loads", "read")
    try:
        return read(data)
    except FormatError as e:
        raise _explained(e, "the data", kind_of_bytes(bytes(data[:HEAD])), name) from e.__cause__


def _explained(e: FormatError, what: str, kind: Kind | None, format: str) -> FormatError:
    """The error for what could not be read, which begins with what it is instead, where that is known. format: what it was taken for."""
    module = _load(FORMATS, format) if format in installed(FORMATS) else None
    if kind is None or getattr(module, "textual", False) or (kind.name.endswith("gir file") and format == "gir"):
        return e
    return FormatError(f"{what}: it is {kind.name}, and no model: {kind.remedy}")


def save(
    model: "Model", path: str | os.PathLike[str], format: str | None = None, *, note: Callable[[str], object] | None = None, **options: Any
) -> None:  # fmt: skip
    """Write a model to a file, whole or not at all. format: its name; by default the suffix tells. options: the format's own, such as opset=21 of onnx.

    note: is told, in a sentence, what the file says otherwise than was asked, as that an operator needs a newer opset.
    """
    expect_model(model, "the model, which comes first,")
    path = Path(path)
    name = format or format_of(path)
    write = _door(name, "save", "written")
    _check_options(f"format {name}", write, options)
    write(model, path, **options, **_noting(write, note))


def dumps(model: "Model", format: str, *, note: Callable[[str], object] | None = None, **options: Any) -> bytes:
    """The bytes of a file of this format. options: the format's own; note: see `save`."""
    expect_model(model)
    write = _door(format, "dumps", "written")
    _check_options(f"format {format}", write, options)
    return write(model, **options, **_noting(write, note))


def _noting(write: Callable[..., Any], note: Callable[[str], object] | None) -> dict[str, Any]:
    """The option `note`, for formats that have something to note."""
    return {"note": note} if note is not None and "note" in inspect.signature(write).parameters else {}


def compile(model: "Model", runtime: str | Runtime = "numpy", **options: Any) -> Program:
    """A program that runs the model. runtime: a name, or a Runtime; options: limits, seed, and the runtime's own.

    Raises ValueError where no such runtime is installed, and RuntimeError where it cannot run on this machine.
    """
    expect_model(model)
    found = _load(RUNTIMES, runtime) if isinstance(runtime, str) else runtime
    if not hasattr(found, "compile"):
        expect(runtime, str, "the runtime", "the name of one, such as 'numpy'")
    expect_limits(options.get("limits"))
    reason = found.unavailable()
    if reason is not None:
        raise RuntimeError(f"runtime {found.name} cannot run here: {reason}")
    _check_options(f"runtime {found.name}", found.compile, options)
    return found.compile(model, **options)


def runtimes() -> dict[str, Runtime]:
    """The installed runtimes by name, those that cannot run here included. One that cannot be imported stands there with that as its reason."""
    found: dict[str, Runtime] = {}
    for name in installed(RUNTIMES):
        try:
            found[name] = _load(RUNTIMES, name)
        except ImportError as e:
            found[name] = _Broken(name, str(e))
    return found


def kept_limits(runtime: str) -> Sequence[str]:
    """The names of the Limits that programs of a runtime keep. Raises ValueError where no such runtime is installed."""
    return getattr(_load(RUNTIMES, runtime), "keeps", Limits._fields)


def maps_devices(runtime: str) -> bool:
    """Whether a runtime maps memory of a device. Raises ValueError where no such runtime is installed."""
    return getattr(_load(RUNTIMES, runtime), "maps_devices", False)


class RuntimeFacts(NamedTuple):
    """What there is to say of an installed runtime. package: the distribution that it comes from; version: what it stands on; reason: why it cannot run here."""

    name: str
    package: str
    version: str | None
    available: bool
    reason: str | None


def runtime_facts() -> list[RuntimeFacts]:
    """The installed runtimes, by name in order, each asked whether it can run here."""
    found = []
    for name, runtime in runtimes().items():
        reason = runtime.unavailable()
        version = getattr(runtime, "version", None) if reason is None else None
        dist = installed(RUNTIMES)[name].dist
        package = f"{dist.name} {dist.version}" if dist is not None else "unknown"
        found.append(RuntimeFacts(name, package, version() if version is not None else None, reason is None, reason))
    return found


# ---- how they are found -------------------------------------------------------------------------------------------------------------


@functools.cache
def installed(group: str) -> "dict[str, EntryPoint]":
    """The entry points of a group by name. Raises ValueError where two packages give different things one name."""
    from importlib.metadata import entry_points  # costs more than the rest of the start-up

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: p.name):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ValueError(f"two installed packages give {group} the name {point.name!r}: {other.value} and {point.value}; remove one")
    return found


def _load(group: str, name: str) -> Any:
    points = installed(group)
    kind = group.removeprefix("graphir.").removesuffix("s")
    if name not in points:
        raise (FormatError if group == FORMATS else ValueError)(
            f"no {kind} is called {name!r}; installed: {', '.join(points) or 'none'}{_meant(name, points)}"
        )
    try:
        return points[name].load()
    except (ImportError, AttributeError) as e:
        raise ImportError(f"{kind} {name} ({points[name].value}) cannot be imported: {e}") from e


def _meant(name: str, points: Iterable[str]) -> str:
    """What an error adds about a name that is not known."""
    other = next((known for known, names in _OTHER_NAMES.items() if name.lower().partition(":")[0] in names.split()), None)
    return f"; did you mean {other}?" if other is not None and other in points else near(name, points)


def _door(name: str, function: str, done: str) -> Callable[..., Any]:
    found = getattr(_load(FORMATS, name), function, None)
    if found is None:
        raise FormatError(f"format {name} cannot be {done}")
    return found


def format_of(path: Path) -> str:
    """The format that a file's suffix names. One called like the suffix goes first, so that the others need not be imported."""
    name = path.suffix.lower().removeprefix(".")
    if name in installed(FORMATS):
        return name
    known = {}
    for other, module in _importable():
        known[other] = module.suffixes
        if path.suffix.lower() in known[other]:
            return other
    listed = ", ".join(f"{n} ({' '.join(s)})" for n, s in known.items()) or "none"
    if path.is_dir():
        raise FormatError(f"{path} is a folder; expected a file")
    raise FormatError(f"{path}: no format has the suffix {path.suffix!r}; installed: {listed}")


def _recognized(data: bytes) -> str:
    """The format whose mark the bytes bear; onnx, which has none, where there is no other."""
    return next((name for name, module in _importable("onnx") if getattr(module, "recognizes", lambda _: False)(data)), "onnx")


def _importable(*without: str) -> Iterator[tuple[str, Any]]:
    """The formats that can be imported, one by one. The others would say so themselves, if they were asked for."""
    for name in installed(FORMATS):
        with suppress(ImportError):
            if name not in without:
                yield name, _load(FORMATS, name)


def _check_options(whose: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    for name in options:
        if name not in known:
            hint = "; what it runs on is chosen by the runtime: runtime='cupy' is a GPU" * (
                name in _DEVICES and whose.startswith("runtime")
            )
            raise TypeError(f"{whose} takes no option {name!r}; it takes {', '.join(known) or 'none'}{hint or near(name, known)}")


class _Broken:
    """A runtime that cannot be imported."""

    def __init__(self, name: str, reason: str):
        self.name = name
        self._reason = reason

    def unavailable(self) -> str | None:
        return self._reason

    def compile(self, model: "Model", **options: Any) -> Program:
        raise RuntimeError(self._reason)

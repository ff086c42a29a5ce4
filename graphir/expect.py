"""What callers hand in, held to its kind at the public doors: an error there says more than one deep inside."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeVar

X = TypeVar("X")
_COMPARED = 100  # letters of a name that are compared with others


def expect(x: Any, kinds: Any, what: str, wanted: str) -> None:
    """Raises TypeError where x is of none of these kinds, as isinstance takes them. True and False are no numbers."""
    if not isinstance(x, kinds) or (isinstance(x, bool) and kinds is int):
        raise TypeError(f"{what} is {brief(x)}; expected {wanted}")


def expect_model(x: Any, what: str = "the model") -> None:
    """Raises TypeError where x is no Model, and says how to come by one."""
    from .ir import Graph
    from .model import Model

    if isinstance(x, str | PathLike):
        expect(x, Model, what, f"a Model; graphir.load({str(x)!r:.80}) reads one")
    if isinstance(x, Graph):
        expect(x, Model, what, "a Model; graphir.Model(graph) makes one of a graph")
    expect(x, Model, what, "a Model")


def expect_names(x: Any, what: str) -> Sequence[str] | None:
    """Names as a sequence; one alone may stand for itself, and None for none given. Raises TypeError for what is no name."""
    if x is None or isinstance(x, str):
        return x if x is None else [x]
    wanted = "a name, or a list of names"
    if not hasattr(x, "__iter__") or hasattr(x, "uses"):
        expect(x, str, what, wanted)
    names = list(x)
    for name in names:
        expect(name, str, f"an entry of {what}", "the name of a value, such as value.name")
    return names


def brief(x: Any) -> str:
    """A thing in few words."""
    text = repr(x)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(x).__name__}"


def near(name: str, known: Iterable[str]) -> str:
    """What an error adds about a name that is not known: those that are like it, in any case; empty where none is."""
    import difflib

    asked, plain = _plain(name[:_COMPARED]), {_plain(k[:_COMPARED]): k for k in known}
    inside = [k for k in plain if min(len(k), len(asked)) > 2 and (k in asked or asked in k)]
    found = [*dict.fromkeys([*inside, *difflib.get_close_matches(asked, plain, n=3)])][:3]
    return f"; did you mean {', '.join(plain[k] for k in found)}?" if found else ""


def named(name: str, known: Mapping[str, X], others: Mapping[str, X] | None = None) -> X | None:
    """What is known by a name, whatever its case, and with or without underscores, dashes and spaces. others: further names, plain."""
    table = {_plain(k): x for k, x in known.items()}
    return {**(others or {}), **table}.get(_plain(name))


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")

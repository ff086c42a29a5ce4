"""Who reads a value: the counts, and what is read in place of what was replaced.

A node of many inputs, or a graph of many outputs, looks through them when it is asked for them, and not at each replacement: that would take quadratic time.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nodes import Value


def use(value: "Value | None", user: Any) -> None:
    """Count `user`, a node, a graph or a model, among the readers of `value`."""
    if value is not None:
        value.uses[user] = value.uses.get(user, 0) + 1


def release(value: "Value | None", user: Any) -> None:
    """Take back one `use`."""
    if value is not None:
        if value.uses[user] == 1:
            del value.uses[user]
        else:
            value.uses[user] -= 1


def latest(values: "Iterable[Value | None]", replaced: "dict[Value, Value]") -> "tuple[Value | None, ...]":
    """The values, and in place of those that were replaced what stands for them last."""
    found: list[Value | None] = []
    for v in values:
        chain = []
        while v in replaced:
            chain.append(v)
            v = replaced[v]
        for passed in chain:
            replaced[passed] = v  # pyright: ignore[reportArgumentType]
        found.append(v)
    return tuple(found)


class Scope:
    """What holds nodes and lists outputs: the base of Graph, here so that a node can tell the bodies among its attributes."""

    __slots__ = ("_listed", "_outputs", "_replaced")

    def __init__(self) -> None:
        self._listed: list[Value] = []  # the outputs, but for what was replaced since
        self._replaced: dict[Value, Value] = {}
        self._outputs: tuple[Value, ...] | None = ()

    @property
    def outputs(self) -> "tuple[Value, ...]":
        """The outputs. Assign to change them."""
        found = self._outputs
        if found is None:
            if self._replaced:
                self._listed = list(latest(self._listed, self._replaced))  # pyright: ignore[reportAttributeAccessIssue]
                self._replaced = {}
            found = self._outputs = tuple(self._listed)
        return found

    @outputs.setter
    def outputs(self, values: "Iterable[Value]") -> None:
        values = list(values)
        for v in self.outputs:
            release(v, self)
            v.listed -= 1
        self._listed, self._outputs = [], None
        for v in values:
            self.list_output(v)

    def list_output(self, value: "Value") -> None:
        """Put a value behind the other outputs."""
        self._listed.append(value)
        self._outputs = None
        use(value, self)
        value.listed += 1

    def replace_output(self, old: "Value", new: "Value") -> None:
        """List `new` in place of `old`. The readers of both are counted elsewhere, see `Graph.replace_uses`."""
        if new in self._replaced:  # which was listed once, and is now again
            assert self.outputs
        self._replaced[old] = new
        self._outputs = None

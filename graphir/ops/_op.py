"""How an operator is declared: `@op` makes of a function with a typed signature an Op that adds nodes when it is called."""

import typing
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

import numpy as np

from ..ir import Attribute, Graph, Node, Value, Weight, home
from ..tensors import Tensor
from ..types import Type
from ._infer import RuleError, Typed
from ._signature import NORMALIZE, T1, T2, T3, AttributeSpec, Bool, DType, Flag, Floats, Index, Ints, MayOmit, Scalar, T, Vector

__all__ = [
    "T1", "T2", "T3", "AttributeSpec", "Bool", "DType", "Flag", "Floats", "Index", "Ints", "Op", "MayOmit", "RuleError", "Scalar", "T", "Vector", "arguments", "normalized", "op",
]  # fmt: skip

ARRAYS = (np.ndarray, np.generic, Tensor)
NUMBERS = frozenset((int, float, list))  # what mostly is no array
P = ParamSpec("P")
R = TypeVar("R")


class Op(Typed, Generic[P, R]):
    """A declared operator. Calling it on values adds its node to their graph and returns the outputs.

    since: the newest version. defaults: what attributes are that are not given. random: draws numbers, so it is neither folded nor merged.
    decomposition, gradient_rule, own_kernel: what else is declared of it, None where nothing is.
    """

    def __init__(
        self, name: str, since: int, domain: str, rule: Callable[P, Any], types: dict[str, frozenset[np.dtype]], random: bool = False
    ):
        super().__init__(name, domain, rule, types)
        self.random = random
        self.since = since
        self.function = rule.__name__
        self.module = rule.__module__
        self.__doc__ = rule.__doc__
        self.gradient_rule: Callable[..., Any] | None = None
        self.decomposition: Callable[..., Any] | None = rule if self.is_composite else None
        self.own_kernel: Callable[..., Any] | None = None
        self.defaults = {a.name: a.default for a in self.attributes.values() if not a.required}
        self._required = [a.name for a in self.attributes.values() if a.required]
        self._numbers = self._dtypes_of_numbers()
        quick = not (self.takes_graph or self.counts_outputs or self.may_have_bodies)
        self._least = sum(not i.optional for i in self.inputs) if quick else 1
        self._most = (1 << 30 if self.inputs and self.inputs[-1].variadic else len(self.inputs)) if quick else 0

    # ---- declaring ------------------------------------------------------------------------------------------------------------------

    def gradient(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient rule: `(dy, y, *inputs, **attributes)` to one entry an input, None where there is none."""
        self.gradient_rule = rule
        return rule

    def decompose(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Declare a body in other ops, with the rule's parameters, that returns the outputs."""
        self.decomposition = body
        return body

    def kernel(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a kernel `(xp, *inputs, **attributes)`: for ops of other packages. Ours stand at the mirrored path in graphir_arrays."""
        self.own_kernel = function
        return function

    # ---- calling --------------------------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node where its inputs live, and return its outputs. What is odd (inputs by name, bodies, several graphs) is left to `_slowly`."""
        if not self._least <= len(args) <= self._most:
            return self._slowly(args, kwargs)
        graph, numbers, missing = None, False, False
        for x in args:
            if x.__class__ is Value or x.__class__ is Weight:
                if graph is None:
                    graph = x.graph  # pyright: ignore[reportAttributeAccessIssue]
                elif x.graph is not graph:  # pyright: ignore[reportAttributeAccessIssue]
                    return self._slowly(args, kwargs)
            else:
                numbers = True
                if x is None:
                    missing = True
        if graph is None or (missing and self._lacks(args)) or graph.root._entered or graph.root.needs_upgrade:
            return self._slowly(args, kwargs)
        attributes: dict[str, Any] = kwargs
        if kwargs:
            for name, x in kwargs.items():
                spec = self.attributes.get(name)
                if spec is None or x is None:
                    return self._slowly(args, kwargs)
                if x.__class__ is not spec.exact:
                    attributes[name] = normalized(self, name, x)
        if self._required and not all(name in attributes for name in self._required):
            return self._slowly(args, kwargs)
        inputs: tuple[Value | None, ...] = self._constants(graph, args) if numbers else args  # pyright: ignore[reportAssignmentType]
        try:
            types = self.infer(inputs, attributes)
        except Exception:  # whatever it was: nothing of the call stays
            _forget(inputs, args)
            raise
        if self._one:
            return graph.append(self, inputs, attributes, types).outputs[0]  # pyright: ignore[reportReturnType]
        return self._added(graph, inputs, attributes, types)

    def _lacks(self, args: Sequence[Any]) -> bool:
        """Whether None stands where an input must be given."""
        return any(x is None and not self._formal(i).optional for i, x in enumerate(args))

    def _slowly(self, args: Sequence[Any], kwargs: dict[str, Any]) -> R:
        args = list(args)
        graph = args.pop(0) if self.takes_graph and args and isinstance(args[0], Graph) else None
        inputs, attributes, outputs = self._sort_arguments(args, dict(kwargs))
        bodies = [g for x in attributes.values() for g in (x if isinstance(x, tuple) else (x,)) if isinstance(g, Graph)]
        graph = graph or home([v for v in inputs if isinstance(v, Value)], bodies)
        if graph is None:
            raise TypeError(f"{self.name}: give at least one value of a graph" if self.inputs else f"{self.name}: give the graph first")
        if graph.root.needs_upgrade:
            raise TypeError(
                f"{self.name}: the graph holds nodes of older opsets; raise it with graphir.passes.upgrade before building on it"
            )
        values = self._constants(graph, inputs)
        try:
            types = self.infer(values, attributes, outputs)
        except Exception:  # as above
            _forget(values, inputs)
            raise
        return self._added(graph, values, attributes, types)

    def _added(self, graph: Graph, inputs: tuple[Value | None, ...], attributes: dict[str, Any], types: list[Type | None]) -> Any:
        """The outputs of a new node; None for those that do not exist in its mode."""
        if self._one:
            return graph.append(self, inputs, attributes, types).outputs[0]
        count = len(types)
        while count and types[count - 1] is None:  # to readers of files, an output that is left out is one all the same
            count -= 1
        outputs = graph.append(self, inputs, attributes, types[:count]).outputs
        for i in range(count):
            if types[i] is None:
                outputs[i] = None
        return (*outputs, *[None] * (len(types) - count))

    def _sort_arguments(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Attribute], int | None]:
        variadic = bool(self.inputs) and self.inputs[-1].variadic
        if len(args) > len(self.inputs) and not variadic:
            raise TypeError(f"{self.name} takes {len(self.inputs)} inputs; {len(args)} were given")
        for i, spec in enumerate(self.inputs):
            if spec.name in kwargs and not spec.variadic:
                if i < len(args):
                    raise TypeError(f"{self.name}: {spec.name} is given twice")
                args.extend([None] * (i - len(args)))
                args.append(kwargs.pop(spec.name))
        for i, spec in enumerate(self.inputs):
            if not spec.optional and not spec.variadic and (i >= len(args) or args[i] is None):
                raise TypeError(f"{self.name}: {spec.name} is missing")
            if spec.variadic and any(x is None for x in args[i:]):
                raise TypeError(f"{self.name}: one of {spec.name} is None; expected values")
        outputs = kwargs.pop("outputs", None) if self.counts_outputs else None
        attributes = {}
        for name, x in kwargs.items():
            if name not in self.attributes:
                raise TypeError(f"{self.name} has no attribute {name!r}; it has {', '.join(self.attributes) or 'none'}")
            if x is not None:
                attributes[name] = normalized(self, name, x)
        missing = [name for name in self._required if name not in attributes]
        if missing:
            raise TypeError(f"{self.name}: attribute {missing[0]} is missing")
        return args, attributes, outputs

    def _constants(self, graph: Graph, args: Sequence[Any]) -> tuple[Value | None, ...]:
        """The inputs, with a constant in place of each number, list and array; what is left out at the end is dropped."""
        found: list[Value | None] = []
        for x in args:
            if x is not None and x.__class__ is not Value and x.__class__ is not Weight:
                x = self._constant(graph, len(found), x, args)
            found.append(x)
        while found and found[-1] is None:
            found.pop()
        return tuple(found)

    def _constant(self, graph: Graph, place: int, x: Any, args: Sequence[Any]) -> Weight:
        if x.__class__ not in NUMBERS and isinstance(x, ARRAYS):
            return graph.root.weight(graph.fresh(self._formal(place).name), x)
        if len(args) <= (count := len(self.inputs)):
            dtype, neighbours = self._numbers[place]
        else:  # the last input repeats
            dtype, neighbours = self._numbers[min(place, count - 1)]
            neighbours = [i for i in range(len(args)) if min(i, count - 1) in neighbours]
        if dtype is None:
            for i in neighbours:
                if i < len(args) and isinstance(v := args[i], Value):
                    dtype = v.type.dtype
                    break
            else:
                raise TypeError(f"{self.name}: {self._formal(place).name} is {x!r}, and no other input says of which dtype")
        try:
            return graph.number(x, dtype)
        except TypeError as e:
            raise TypeError(f"{self.name}: {self._formal(place).name} is {e}") from None

    def _dtypes_of_numbers(self) -> list[tuple[np.dtype | None, list[int]]]:
        """For each input: the dtype of a Python number in its place, else the places of those that share its type variable; a plain input takes any."""
        free = [i for i, x in enumerate(self.inputs) if x.number is None]
        return [(x.number, [i for i in free if x.var is None or x.var == self.inputs[i].var]) for x in self.inputs]

    def __repr__(self) -> str:
        return f"<op {self.name}-{self.since}>"


def _forget(inputs: Sequence[Value | None], args: Sequence[Any]) -> None:
    """Drop the constants that were made of arrays and numbers for a call that failed."""
    made = {v for v, x in zip(inputs, args) if isinstance(v, Weight) and v is not x and not v.uses}
    for weight in made:
        weight.graph.drop_weight(weight)


def normalized(op_: Op[..., Any], name: str, x: Any) -> Attribute:
    """An attribute as nodes hold it: tuples, float32-rounded floats, plain ints, dtypes by name. Raises TypeError for one of another kind."""
    kind = op_.attributes[name].kind
    try:
        return NORMALIZE[kind](x)
    except (TypeError, ValueError, KeyError):
        raise TypeError(f"{op_.name}: attribute {name} is {x!r}; expected {kind}") from None


def is_random(node: Node) -> bool:
    """Whether a node draws numbers; those in its bodies are not asked."""
    return isinstance(node.op, Op) and node.op.random


def arguments(node: Node) -> dict[str, Any]:
    """All attributes of a node of a declared op: those given, and the defaults of the others."""
    return {**node.op.defaults, **node.attributes} if isinstance(node.op, Op) else dict(node.attributes)


def decompose(node: Node) -> tuple[Value | None, ...]:
    """Build the decomposition of a node where ops now land, and return what stands for its outputs. Raises TypeError where there is none."""
    op = node.op
    assert isinstance(op, Op) and node.graph is not None
    if op.decomposition is None:
        raise TypeError(f"{op} of {node.label}: this runtime has no kernel for it, and it has no decomposition")
    attributes = arguments(node)
    if op.counts_outputs:
        attributes["outputs"] = len(node.outputs)
    inputs: list[Value | Graph | None] = [node.graph] if op.takes_graph else []
    with node.graph:
        made = op.decomposition(*inputs, *node.inputs, **attributes)
    return (made,) if isinstance(made, Value) else tuple(made)


# The return annotation of a rule says what a call returns; these tell it to type checkers.
A2 = TypeVar("A2", bound=Type | None)
A3 = TypeVar("A3", bound=Type | None)


class _Declare(typing.Protocol):
    @overload
    def __call__(self, rule: Callable[P, Type], /) -> Op[P, Value]: ...
    @overload
    def __call__(self, rule: Callable[P, Value], /) -> Op[P, Value]: ...
    @overload
    def __call__(self, rule: Callable[P, tuple[Type, A2]], /) -> Op[P, tuple[Value, Value]]: ...
    @overload
    def __call__(self, rule: Callable[P, tuple[Type, A2, A3]], /) -> Op[P, tuple[Value, Value, Value]]: ...
    @overload
    def __call__(self, rule: Callable[P, tuple[Value, ...] | tuple[Type | None, ...]], /) -> Op[P, tuple[Value, ...]]: ...
    @overload
    def __call__(self, rule: Callable[P, list[Type]], /) -> Op[P, tuple[Value, ...]]: ...


def op(name: str, *, since: int, domain: str = "", random: bool = False, **types: frozenset[np.dtype]) -> _Declare:
    """Declare the operator `name`, of which `since` is the newest version. types: type variable -> allowed dtypes; random: draws numbers."""
    return lambda rule: Op(name, since, domain, rule, types, random)  # pyright: ignore[reportReturnType]

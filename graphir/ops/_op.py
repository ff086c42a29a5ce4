"""How an operator is declared: `@op` makes of a function with a typed signature an Op that adds nodes when it is called."""

import itertools
import typing
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

import numpy as np

from ..dims import unknown
from ..dtypes import NAMES
from ..ir import Attribute, Graph, Node, Operator, UnknownRank, Value, Weight, home
from ..tensors import Tensor
from ..types import TensorType, Type
from ._signature import NORMALIZE, OPERANDS, T1, T2, T3, AttributeSpec, Bool, DType, Floats, Index, Input, Ints, MayOmit, Signature, T

__all__ = [
    "T1", "T2", "T3", "AttributeSpec", "Bool", "DType", "Floats", "Index", "Input", "Ints", "Op", "MayOmit", "RuleError", "T", "arguments", "normalized", "op",
]  # fmt: skip

ARRAYS = (np.ndarray, np.generic, Tensor)
P = ParamSpec("P")
R = TypeVar("R")


class RuleError(TypeError):
    """Raised by a type rule: the op cannot take these inputs or attributes. Says what was found and what was expected."""


class Op(Operator, Generic[P, R]):
    """A declared operator. Calling it on values adds its node to their graph and returns the outputs.

    rule: the type rule, or the decomposition where `is_composite`. inputs, attributes, defaults: the schema, read from the rule's signature.
    types: type variable -> allowed dtypes. outputs: "one", "tuple" or "list". random: draws numbers, so it is neither folded nor merged.
    """

    def __init__(
        self, name: str, since: int, domain: str, rule: Callable[P, Any], types: dict[str, frozenset[np.dtype]], random: bool = False
    ):
        super().__init__(domain, name)
        self.random = random
        self.since = since
        self.rule = rule
        self.types = types
        self.function = rule.__name__
        self.module = rule.__module__
        self.__doc__ = rule.__doc__
        self.gradient_rule: Callable[..., Any] | None = None
        self.decomposition: Callable[..., Any] | None = None
        self.own_kernel: Callable[..., Any] | None = None
        signature = Signature.of(rule)
        self.inputs, self.attributes = signature.inputs, signature.attributes
        self.outputs, self.optional_outputs = signature.outputs, signature.optional_outputs
        self.takes_graph, self.counts_outputs, self.is_composite = signature.takes_graph, signature.counts_outputs, signature.is_composite
        self.defaults = {a.name: a.default for a in self.attributes.values() if not a.required}
        if self.is_composite:
            self.decomposition = self.rule
        self._required = [a.name for a in self.attributes.values() if a.required]
        self._checks = self._type_checks()
        self._one = self.outputs == "one"
        self._direct = not (self.counts_outputs or self.is_composite or self.takes_graph)
        self.may_have_bodies = any(a.kind in ("graph", "graphs") for a in self.attributes.values())
        quick = not (self.takes_graph or self.counts_outputs or self.may_have_bodies or any(i.variadic for i in self.inputs))
        self._least = sum(not i.optional for i in self.inputs) if quick else 1
        self._most = len(self.inputs) if quick else 0

    def _type_checks(self) -> list[tuple[str, frozenset[np.dtype], list[int], bool]]:
        """What is to be checked of the inputs: a type variable or an input's name, the allowed dtypes, the places, whether the last one repeats."""
        places: dict[str, list[int]] = {}
        for i, x in enumerate(self.inputs):
            if x.var is not None and x.var in self.types:
                places.setdefault(x.var, []).append(i)
        checks = [(var, self.types[var], at, self.inputs[at[-1]].variadic) for var, at in places.items()]
        operands = [(x, i) for i, x in enumerate(self.inputs) if x.var not in self.types]
        return checks + [(x.name, OPERANDS[x.number], [i], False) for x, i in operands if x.number is not None]

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

    # ---- typing ---------------------------------------------------------------------------------------------------------------------

    def infer(self, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int | None = None) -> list[Type | None]:
        """The types of the outputs. Raises RuleError, naming the op and the types that it was given."""
        try:
            self._check_types(inputs)
            if self._direct:
                types = self.rule(*inputs, **attributes)  # pyright: ignore[reportCallIssue]
                return [types] if self._one else list(types)
            return self._infer(inputs, attributes, outputs)
        except UnknownRank:
            return self._infer_by_trial(inputs, attributes, outputs)
        except RuleError as e:
            given = ", ".join(str(v.type) if v is not None else "-" for v in inputs)
            raise RuleError(f"{self.name}: {e} (inputs: {given or 'none'})") from None

    def _infer(self, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int | None) -> list[Type | None]:
        if self.counts_outputs:
            attributes = {**attributes, "outputs": outputs}
        if self.is_composite:
            return self._infer_by_body(inputs, attributes)
        given = (None, *inputs) if self.takes_graph else inputs
        types = self.rule(*given, **attributes)  # pyright: ignore[reportCallIssue]
        return [types] if self._one else list(types)

    def _infer_by_body(self, inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type | None]:
        scratch = Graph("scratch")
        stand_ins = [v and scratch.input(f"i{i}", v.type) for i, v in enumerate(inputs)]
        made = self.rule(*(([scratch] if self.takes_graph else []) + stand_ins), **attributes)  # pyright: ignore[reportCallIssue]
        return [made.type] if self._one else [v and v.type for v in made]

    def _infer_by_trial(self, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int | None) -> list[Type | None]:
        """No rule sees an unknown rank: try ranks 0 to 5 in its place and keep what does not hang on it."""
        found: list[list[Type | None]] = []
        open_ = [i for i, v in enumerate(inputs) if v is not None and v.type.__class__ is TensorType and v.type.shape is None]
        apart = len(open_) <= 2  # of more than two, ranks are tried that are all the same
        for ranks in itertools.product(range(6), repeat=len(open_)) if apart else zip(*[range(6)] * len(open_)):
            stand_ins = list(inputs)
            for i, rank in zip(open_, ranks):
                stand_ins[i] = Value("", TensorType(stand_ins[i].dtype, [unknown() for _ in range(rank)]))  # pyright: ignore[reportOptionalMemberAccess]
            try:
                found.append(self._infer(stand_ins, attributes, outputs))
            except (RuleError, UnknownRank, IndexError):
                continue
        if not found:
            raise RuleError(f"{self.name}: no rank of the inputs of unknown rank suits it")
        return [_common(types) for types in zip(*found)]

    def _check_types(self, inputs: Sequence[Value | None]) -> None:
        count = len(inputs)
        for var, allowed, at, variadic in self._checks:
            first = None
            for i in (*at, *range(at[-1] + 1, count)) if variadic else at:
                if i >= count:
                    break
                v = inputs[i]
                if v is None or (t := v.type).__class__ is not TensorType:
                    continue
                dtype = t.dtype
                if dtype is first:
                    continue
                if first is None:
                    first = dtype
                    if dtype not in allowed:
                        name = self.inputs[min(i, len(self.inputs) - 1)].name
                        raise RuleError(f"{name} is {NAMES[dtype]}; expected one of {', '.join(sorted(NAMES[d] for d in allowed))}")
                elif dtype != first:
                    raise RuleError(f"its inputs of type {var} are {NAMES[first]} and {NAMES[dtype]}; expected one dtype")

    # ---- calling --------------------------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node where its inputs live, and return its outputs. What is odd (inputs by name, bodies, several graphs) is left to `_slowly`."""
        if not self._least <= len(args) <= self._most:
            return self._slowly(args, kwargs)
        graph, numbers = None, False
        for x in args:
            if x.__class__ is Value or x.__class__ is Weight:
                if graph is None:
                    graph = x.graph  # pyright: ignore[reportAttributeAccessIssue]
                elif x.graph is not graph:  # pyright: ignore[reportAttributeAccessIssue]
                    return self._slowly(args, kwargs)
            else:
                numbers = True
        if graph is None or graph.root._entered or graph.root.needs_upgrade:
            return self._slowly(args, kwargs)
        attributes: dict[str, Any] = {}
        for name, x in kwargs.items():
            spec = self.attributes.get(name)
            if spec is None:
                return self._slowly(args, kwargs)
            if x is not None:
                attributes[name] = x if x.__class__ is spec.exact else normalized(self, name, x)
        if self._required and not all(name in attributes for name in self._required):
            return self._slowly(args, kwargs)
        inputs = self._constants(graph, args) if numbers else args
        node = graph.append(self, inputs, attributes, self.infer(inputs, attributes))  # pyright: ignore[reportArgumentType]
        return node.outputs[0] if self._one else self._existing(node)  # pyright: ignore[reportReturnType]

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
        node = graph.append(self, values, attributes, self.infer(values, attributes, outputs))
        return node.outputs[0] if self._one else self._existing(node)  # pyright: ignore[reportReturnType]

    def _existing(self, node: Node) -> tuple[Value | None, ...]:
        """The outputs of a new node; None for those that do not exist in its mode."""
        made = tuple([v if v is not None and v.type is not None else None for v in node.outputs])
        node.outputs = list(made)
        while node.outputs and node.outputs[-1] is None:  # to readers of files, an output that is left out is one all the same
            node.outputs.pop()
        return made

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

    def _constants(self, graph: Graph, inputs: Sequence[Any]) -> tuple[Value | None, ...]:
        """The inputs, with a constant in place of each number, list and array; what is left out at the end is dropped."""
        found, last = list(inputs), len(self.inputs) - 1
        for i, x in enumerate(inputs):
            if x is not None and x.__class__ is not Value and x.__class__ is not Weight:
                found[i] = self._constant(graph, self.inputs[i if i < last else last], x, inputs)
        while found and found[-1] is None:
            found.pop()
        return tuple(found)

    def _constant(self, graph: Graph, spec: Input, x: Any, inputs: Sequence[Any]) -> Value:
        if isinstance(x, ARRAYS):
            return graph.root.weight(graph.fresh(spec.name), x)
        dtype = spec.number or self._neighbour(spec, inputs)
        if dtype is None:
            raise TypeError(f"{self.name}: {spec.name} is {x!r}, and no other input says of which dtype")
        try:
            return graph.number(x, dtype)
        except TypeError as e:
            raise TypeError(f"{self.name}: {spec.name} is {e}") from None

    def _neighbour(self, spec: Input, inputs: Sequence[Any]) -> np.dtype | None:
        """The dtype of the first value among the inputs of the same type variable; a plain input takes any."""
        last = len(self.inputs) - 1
        for i, v in enumerate(inputs):
            if v.__class__ is Value or v.__class__ is Weight:
                other = self.inputs[i if i < last else last]
                if other.number is None and (spec.var is None or other.var == spec.var):
                    return v.type.dtype
        return None

    def __repr__(self) -> str:
        return f"<op {self.name}-{self.since}>"


def normalized(op_: Op[..., Any], name: str, x: Any) -> Attribute:
    """An attribute as nodes hold it: tuples, float32-rounded floats, plain ints, dtypes by name. Raises TypeError for one of another kind."""
    kind = op_.attributes[name].kind
    try:
        return NORMALIZE[kind](x)
    except (TypeError, ValueError, KeyError):
        raise TypeError(f"{op_.name}: attribute {name} is {x!r}; expected {kind}") from None


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


def _common(types: Sequence[Type | None]) -> Type | None:
    """What the types agree on: the rank where they have one, and the dims that are one number in all of them."""
    first = types[0]
    if all(t == first for t in types) or not isinstance(first, TensorType):
        return first
    shapes = [t.shape for t in types if isinstance(t, TensorType) and t.shape is not None]
    if len(types) == 1 or len(shapes) < len(types) or len({len(s) for s in shapes}) > 1:
        return TensorType(first.dtype)
    return TensorType(first.dtype, [dims[0] if isinstance(dims[0], int) and len(set(dims)) == 1 else unknown() for dims in zip(*shapes)])

"""The types of an operator's outputs: its rule is asked, and what it says is remembered."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..dims import Expr, atoms, serial, unknown
from ..dtypes import NAMES
from ..ir import Graph, Operator, UnknownRank, Value
from ..types import RANK_LIMIT, ShapeError, TensorType, Type
from ._ranks import in_rank, not_one_number
from ._signature import OPERANDS, Input, Signature

PLAIN = frozenset(("int", "float", "str", "dtype", "ints", "floats", "strs"))  # kinds of attributes that are compared by value
MEMO = 256  # calls of one op whose types are remembered


LONGEST = 1000  # characters of what a rule says: attributes and shapes may be endless


def no_tensor(op: Operator, inputs: Sequence[Value | None]) -> str | None:
    """Which input is no tensor; None where all are."""
    other = next((v for v in inputs if v is not None and v.type.__class__ is not TensorType), None)
    return None if other is None else f"{op} cannot take {other.name}, which is {other.type or 'of unknown type'}; expected a tensor"


class RuleError(TypeError):
    """Raised by a type rule: the op cannot take these inputs or attributes. Says what was found and what was expected, the middle left out of a long text."""

    def __init__(self, text: str):
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}")


class Typed(Operator):
    """An operator with a type rule, of which the signature is the schema.

    rule: the type rule, or the decomposition where `is_composite`. inputs, attributes: the schema. types: type variable -> allowed dtypes.
    outputs: "one", "tuple" or "list"; most_outputs: how many there can be, None where the inputs tell. ranks: the places of inputs that must be a number or a
        vector, and the rank of that.
    """

    def __init__(self, name: str, domain: str, rule: Callable[..., Any], types: dict[str, frozenset[np.dtype]]):
        super().__init__(domain, name)
        self.rule = rule
        self.types = types
        signature = Signature.of(rule)
        self.inputs, self.attributes = signature.inputs, signature.attributes
        self.outputs, self.most_outputs, self.optional_outputs = signature.outputs, signature.most_outputs, signature.optional_outputs
        self.takes_graph, self.counts_outputs, self.is_composite = signature.takes_graph, signature.counts_outputs, signature.is_composite
        self.may_have_bodies = any(a.kind in ("graph", "graphs") for a in self.attributes.values())
        self._order = {name: i for i, name in enumerate(self.attributes)}
        self.ranks = tuple((i, x.rank) for i, x in enumerate(self.inputs) if x.rank is not None)
        self._checks = self._type_checks()
        self._one = self.outputs == "one"
        self._direct = not (self.counts_outputs or self.is_composite or self.takes_graph)
        self._memo: dict[
            tuple, tuple[list[Any], list[Type | None]]
        ] = {}  # the inputs' types, by whose identity they are found, and the outputs'
        self._remembers = self._direct and all(a.kind in PLAIN for a in self.attributes.values())

    def attribute_order(self, name: str) -> tuple[int, str]:
        """Where an attribute stands in the signature; others come after those, by name."""
        return self._order.get(name, len(self._order)), str(name)  # of a file, a name may be bytes

    def _type_checks(self) -> list[tuple[str, frozenset[np.dtype], list[int], bool]]:
        """What is to be checked of the inputs: a type variable or an input's name, the allowed dtypes, the places, whether the last one repeats."""
        places: dict[str, list[int]] = {}
        for i, x in enumerate(self.inputs):
            if x.var is not None and x.var in self.types:
                places.setdefault(x.var, []).append(i)
        checks = [(var, self.types[var], at, self.inputs[at[-1]].variadic) for var, at in places.items()]
        operands = [(x, i) for i, x in enumerate(self.inputs) if x.var not in self.types]
        return checks + [(x.name, OPERANDS[x.number], [i], False) for x, i in operands if x.number is not None]

    def _formal(self, place: int) -> Input:
        """What the signature says of the input at `place`; the last one may repeat."""
        return self.inputs[min(place, len(self.inputs) - 1)]

    def infer(self, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int | None = None) -> list[Type | None]:
        """The types of the outputs. Raises RuleError, naming the op and the types that it was given."""
        if not self._remembers:
            return self._types(inputs, attributes, outputs)
        key = tuple([0 if v is None else id(v.type) for v in inputs])
        if attributes:
            key = key, tuple(attributes.items())
        found = self._memo.get(key)
        if found is None:
            found = self._remember(key, inputs, attributes)
        return found[1]

    def _remember(self, key: tuple, inputs: Sequence[Value | None], attributes: dict[str, Any]) -> tuple[list[Any], list[Type | None]]:
        """Infer the types, and keep them for calls on the same types: repeated layers ask again. An unknown dim is new in each call, so no call is kept that made one."""
        before = serial()
        made = self._types(inputs, attributes, None)
        found = [None if v is None else v.type for v in inputs], [_interned(t) for t in made]
        if serial() == before + 1:
            if len(self._memo) >= MEMO:
                self._memo.clear()
            self._memo[key] = found
        return found

    def _types(self, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int | None) -> list[Type | None]:
        given = inputs
        if self.ranks:
            inputs = in_rank(inputs, self.ranks)
        try:
            if self.ranks and (wrong := not_one_number(given, self.ranks)) is not None:
                raise RuleError(f"{self.inputs[wrong[0]].name} has shape {list(wrong[1].shape)}; expected a scalar")
            self._check_types(inputs)
            if self._direct:
                types = self.rule(*inputs, **attributes)  # pyright: ignore[reportCallIssue]
                made = [types] if self._one else list(types)
            else:
                made = self._infer(inputs, attributes, outputs)
            if not made:  # as of bodies that yield nothing
                raise RuleError("nothing comes out; expected at least one output")
            return made
        except UnknownRank:
            return self._infer_by_trial(inputs, attributes, outputs)
        except (RuleError, ShapeError) as e:
            types = ", ".join(str(v.type) if v is not None else "-" for v in given)
            raise RuleError(f"{self.name}: {e} (inputs: {types or 'none'})") from None
        except AttributeError:  # what a rule asks of a tensor
            if why := no_tensor(self, given):
                raise RuleError(why) from None
            raise

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
        """No rule sees an unknown rank: try ranks 0 to 5 in its place, and more where those do not tell.

        What does not hang on the rank is kept.
        """
        open_ = [i for i, v in enumerate(inputs) if v is not None and v.type.__class__ is TensorType and v.type.shape is None]
        apart = len(open_) <= 2  # of more than two, ranks are tried that are all the same
        found: list[tuple[tuple[int, ...], list[Type | None]]] = []

        def try_each(trials: Iterable[tuple[int, ...]]) -> None:
            for tried in trials:
                stand_ins = list(inputs)
                for k, (i, rank) in enumerate(zip(open_, tried)):
                    stand_ins[i] = Value("", open_type(stand_ins[i].dtype, rank, k if apart else 0))  # pyright: ignore[reportOptionalMemberAccess]
                with contextlib.suppress(RuleError, ShapeError, UnknownRank, IndexError):
                    found.append((tried, self._infer(stand_ins, attributes, outputs)))

        few, more = range(6), range(6, RANK_LIMIT + 1)
        try_each(itertools.product(few, repeat=len(open_)) if apart else zip(*[few] * len(open_)))
        if all(few[-1] in tried for tried, _ in found):  # that, and more for all we know; or none yet
            try_each(zip(*[more] * len(open_)))
        if not found:
            raise RuleError(f"{self.name}: no rank of the inputs of unknown rank suits it")
        if len(found) == 1:  # once more, on dims that nothing else has
            stand_ins = list(inputs)
            for i, rank in zip(open_, found[0][0]):
                stand_ins[i] = Value("", TensorType(stand_ins[i].dtype, [unknown() for _ in range(rank)]))  # pyright: ignore[reportOptionalMemberAccess]
            return self._infer(stand_ins, attributes, outputs)
        return [_common(types) for types in zip(*(types for _, types in found))]

    def _check_types(self, inputs: Sequence[Value | None]) -> None:
        count = len(inputs)
        for var, allowed, at, variadic in self._checks:
            first = None
            for i in (*at, *range(at[-1] + 1, count)) if variadic else at:
                if i >= count:
                    break
                v = inputs[i]
                if v is None or (t := v.type) is None:
                    continue
                if t.__class__ is not TensorType:
                    raise RuleError(f"{self._formal(i).name} is {t}; expected a tensor")
                dtype = t.dtype
                if dtype is first:
                    continue
                if first is None:
                    first = dtype
                    if dtype not in allowed:
                        names = ", ".join(sorted(NAMES[d] for d in allowed))
                        raise RuleError(f"{self._formal(i).name} is {NAMES[dtype]}; expected one of {names}")
                elif dtype != first:
                    raise RuleError(f"its inputs of type {var} are {NAMES[first]} and {NAMES[dtype]}; expected one dtype")


_types: dict[tuple, TensorType] = {}


def _interned(type_: Type | None) -> Type | None:
    """The one object that stands for equal types of tensors without contents, so that a chain of layers meets the same objects again."""
    if not isinstance(type_, TensorType) or type_.known is not None:
        return type_
    if len(_types) >= 16 * MEMO:
        _types.clear()
    return _types.setdefault((type_.dtype, type_.shape), type_)


_trial_dims: dict[tuple[int, int], Expr] = {}
_trial_atoms: set[Any] = set()


@functools.cache
def open_type(dtype: np.dtype, rank: int, place: int) -> TensorType:
    """A type of this rank to try in place of an open one: the same object each time, so that ops remember what comes of it. Its dims must not be handed on."""
    for i in range(rank):
        if (place, i) not in _trial_dims:
            _trial_dims[place, i] = d = unknown()
            _trial_atoms.update(atoms(d))
    return TensorType(dtype, [_trial_dims[place, i] for i in range(rank)])


def _common(types: Sequence[Type | None]) -> Type | None:
    """What the types agree on: the rank where they have one, and the dims that are one number in all of them."""
    first = types[0]
    if not isinstance(first, TensorType):
        return first
    shapes = [t.shape for t in types if isinstance(t, TensorType) and t.shape is not None]
    if len(shapes) < len(types) or len({len(s) for s in shapes}) > 1:
        return TensorType(first.dtype)
    alike = all(isinstance(t, TensorType) and t.known == first.known for t in types)
    known = first.known if alike and not any(map(_is_tried, first.known or ())) else None
    return TensorType(first.dtype, [d[0] if len(set(d)) == 1 and not _is_tried(d[0]) else unknown() for d in zip(*shapes)], known)


def _is_tried(d: Any) -> bool:
    """Whether a dim is made of those of `open_type`."""
    return isinstance(d, Expr) and any(a in _trial_atoms for a in atoms(d))

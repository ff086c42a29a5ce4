"""A namespace that looks at the clock: at each call of a kernel, and within products that take long, which go in blocks."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphir.budget import Budget

BLOCK = 1 << 32  # multiplications in a row: some tenths of a second
PAIR = 1 << 29  # of two factors of an einsum, which may be a product of matrices, or not
SLOW = 1 << 26  # of numbers for which the library has no fast product


def timed(xp: Any, budget: Budget) -> Any:
    """The namespace for kernels of a program with this budget: itself where there is no limit on seconds."""
    return xp if budget.limits.seconds is None else Timed(xp, budget)


class Timed:
    """The functions of a namespace, each of which begins by looking at the clock. Types and modules are those of the namespace."""

    def __init__(self, xp: Any, budget: Budget):
        self.untimed = xp
        self.budget = budget
        self.host = self if xp.host is xp else xp.host

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.untimed, name)
        if callable(found) and not isinstance(found, type):
            found = _Function(found, self.budget.tick)
        setattr(self, name, found)
        return found

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """The product of matrices; rows, or matrices, are taken some at a time where there are many."""
        xp = self.untimed
        self.budget.tick()
        work = math.prod(a.shape) * (b.shape[-1] if b.ndim > 1 else 1) * _times(b.shape[:-2], a.shape[:-2])
        most = BLOCK if a.dtype.kind in "fc" and a.dtype.itemsize > 2 else SLOW
        if work <= most or a.ndim < 2 or b.ndim < 2:
            return xp.matmul(a, b, out=out)
        lead = xp.host.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if out is None:
            out = xp.empty((*lead, a.shape[-2], b.shape[-1]), xp.result_type(a, b))
        axis = -2 if not lead or max(lead) < out.shape[-2] else lead.index(max(lead)) - len(lead) - 2
        for part in _parts(out.shape[axis], work, most):
            self.budget.tick()
            xp.matmul(_taken(a, axis, part), b if axis == -2 else _taken(b, axis, part), out=_taken(out, axis, part))
        return out

    def einsum(self, equation: str, *inputs: Any, optimize: Sequence[Any] | None = None) -> Any:
        """A sum of products, two factors at a time as the path `optimize` says, each in blocks along an axis of the result. Without a path it is one call."""
        xp = self.untimed
        self.budget.tick()
        if "." in equation or optimize is None:
            return xp.einsum(equation, *inputs, optimize=optimize or False)
        terms, given, result = equation.partition("->")
        operands = list(zip(terms.split(","), inputs))
        letters = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1)) if not given else result
        sizes = {c: n for term, x in operands for c, n in zip(term, x.shape) if n != 1}
        for step in optimize[1:]:
            taken = [operands.pop(i) for i in sorted(step, reverse=True)]
            wanted = set(letters).union(*(term for term, _ in operands))
            inside = dict.fromkeys("".join(term for term, _ in taken))
            term = "".join(c for c in inside if c in wanted) if operands else letters
            operands.append((term, self._contracted(taken, term, {c: sizes.get(c, 1) for c in inside})))
        return operands[0][1]

    def _contracted(self, taken: list[tuple[str, Any]], result: str, sizes: dict[str, int]) -> Any:
        """One step of an einsum. sizes: of all axes in it."""
        xp, work = self.untimed, math.prod(sizes.values())
        self.budget.tick()
        dtype = taken[0][1].dtype
        self.budget.room(math.prod(sizes[c] for c in result) * dtype.itemsize)
        equation = f"{','.join(term for term, _ in taken)}->{result}"
        most = SLOW if len(taken) > 2 else PAIR
        if work <= most:
            return xp.einsum(equation, *(x for _, x in taken), optimize=True)
        along = max(result or sizes, key=lambda c: sizes[c])
        made = xp.zeros([sizes[c] for c in result], dtype)
        for part in _parts(sizes[along], work, most):
            self.budget.tick()
            factors = [x[tuple([part if c == along and x.shape[i] > 1 else slice(None) for i, c in enumerate(term)])] for term, x in taken]
            made[tuple([part if c == along else slice(None) for c in result])] += xp.einsum(equation, *factors, optimize=True)
        return made


class _Function:
    """A function that looks at the clock first; its attributes, as a ufunc's reduce, are its own."""

    def __init__(self, function: Callable[..., Any], tick: Callable[[], None]):
        self._function = function
        self._tick = tick

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._tick()
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _times(shape: Sequence[int], by: Sequence[int]) -> int:
    """How many more matrices there are than `by` has, by broadcasting."""
    return max(math.prod(shape) // max(math.prod(by), 1), 1)


def _parts(size: int, work: int, most: int) -> list[slice]:
    """An axis in parts, each of which takes no more work than that if it can."""
    step = max(1, size * most // work)
    return [slice(i, i + step) for i in range(0, size, step)]


def _taken(x: Any, axis: int, part: slice) -> Any:
    """A part along an axis counted from the end; all of x where it has no such axis, or one that is broadcast."""
    if x.ndim < -axis or x.shape[axis] == 1:
        return x
    return x[(..., part, *(slice(None),) * (-axis - 1))]

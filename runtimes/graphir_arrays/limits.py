"""Bounds on what a run may use, for models that are not trusted."""

import time

from graphir.nodes import Node
from graphir.plugins import LimitError, Limits

__all__ = ["LimitError", "Limits", "Meter", "NodeError"]


class NodeError(ValueError):
    """Raised where a node cannot run. Names it, and says why."""

    def __init__(self, node: Node, why: object):
        super().__init__(f"node {node.label!r} ({node.op}): {why}")


class Meter:
    """Counts trips and watches the clock during one run."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.restart()

    def restart(self) -> None:
        """Begin a run."""
        self.trips = 0
        self.deadline = None if self.limits.seconds is None else time.monotonic() + self.limits.seconds

    def trip(self) -> None:
        """Count one run of a body."""
        self.trips += 1
        if self.limits.trips is not None and self.trips > self.limits.trips:
            raise LimitError(f"bodies ran more than {self.limits.trips} times; raise the limit on trips if that is meant")
        self.tick()

    def tick(self) -> None:
        """Look at the clock."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LimitError(f"the run took more than {self.limits.seconds} s; raise the limit on seconds if that is meant")

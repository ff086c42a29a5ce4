"""Random numbers that can be had again: a function of the seed, of the node that draws, and of the number of the run."""

import zlib
from collections.abc import Callable
from typing import Any


class Draws:
    """Where the random nodes of a program take their numbers. run: the number of the run that goes on."""

    def __init__(self, xp: Any, seed: int, run: int = 0):
        self.xp = xp
        self.seed = seed
        self.run = run
        self._generators: dict[str, tuple[int, Any]] = {}

    def go_on(self, run: int) -> None:
        """The next run has this number. One that was before draws again what it drew then."""
        self.run = run
        self._generators.clear()

    def at(self, address: str, xp: Any = None) -> Callable[[], Any]:
        """What gives the generator of the node at an address: a new one in each run, which goes on where a body runs again. xp: of another namespace."""
        xp = xp or self.xp
        mark = zlib.crc32(address.encode("utf-8", "surrogatepass"))

        def generator() -> Any:
            run, found = self._generators.get(address, (-1, None))
            if run != self.run:
                found = xp.random_generator([self.seed, mark, self.run])
                self._generators[address] = self.run, found
            return found

        return generator

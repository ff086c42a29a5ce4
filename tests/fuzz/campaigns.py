"""The campaigns by name."""

from .case import Campaign
from .graphs import Graphs
from .hostile import Hostile

CAMPAIGNS: dict[str, Campaign] = {c.name: c for c in (Hostile(), Graphs())}

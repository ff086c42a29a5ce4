"""The campaigns by name."""

from .bombs import Bombs
from .case import Campaign
from .gradients import Gradients
from .graphs import Graphs
from .hostile import Hostile
from .kills import Kills

CAMPAIGNS: dict[str, Campaign] = {c.name: c for c in (Hostile(), Bombs(), Graphs(), Gradients(), Kills())}

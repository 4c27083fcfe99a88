"""How much of a run is printed."""

from enum import Enum


class Verbosity(Enum):
    """What of a run is printed."""

    VERDICT = "quiet"
    STAGES = "normal"
    LOG = "verbose"

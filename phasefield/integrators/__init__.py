"""Time integration: schemes as tables, one integrator, one place where steps are chosen, accepted and landed."""

from .control import Controller, recall, share
from .integrator import Integrator
from .schemes import OWN, SCHEMES, Scheme
from .state import Carry, Trial
from .steps import AdaptiveSteps, FixedSteps, NoWay, Steps, landing

__all__ = [
    "OWN", "SCHEMES", "AdaptiveSteps", "Carry", "Controller", "FixedSteps", "Integrator", "NoWay", "Scheme", "Steps", "Trial",
    "landing", "recall", "share",
]  # fmt: skip

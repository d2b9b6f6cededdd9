"""Time integration: schemes as tables, one integrator, one place where steps are chosen, accepted and landed."""

from .control import AdaptiveSteps, Controller, FixedSteps, NoWay, Steps, landing
from .integrator import Integrator
from .schemes import SCHEMES, Scheme
from .state import Carry, Trial

__all__ = [
    "SCHEMES", "AdaptiveSteps", "Carry", "Controller", "FixedSteps", "Integrator", "NoWay", "Scheme", "Steps", "Trial", "landing",
]  # fmt: skip

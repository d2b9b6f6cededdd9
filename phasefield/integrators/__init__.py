"""Time integration: schemes as tables, one integrator, one step-size controller."""

from .base import Carry, Integrator, Trial
from .control import Controller
from .schemes import SCHEMES, Scheme

__all__ = ["SCHEMES", "Carry", "Controller", "Integrator", "Scheme", "Trial"]

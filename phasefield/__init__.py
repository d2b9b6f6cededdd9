"""phasefield: spectral phase-field simulation from free-energy expressions, on CPU and GPU.

>>> import phasefield as pf
>>> run = pf.run("model=spinodal", "grid.shape=[128,128]", "time.end=500")   # doctest: +SKIP
>>> run.history.free_energy.plot(); run.fields.c.isel(time=-1).plot()        # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "run": "api",
    "resume": "api",
    "live": "api",
    "open_run": "api",
    "open_sweep": "sweeps",
    "open_dataset": "store",
    "Run": "api",
    "Sweep": "sweeps",
    "resolution": "api",
    "explain": "api",
    "Explanation": "explaining",
    "Simulation": "simulation",
    "EnergyModel": "models",
    "Grid": "grid",
    "OBSERVABLES": "observables",
    "SCHEMES": "integrators",
    "PhasefieldError": "errors",
    "ConfigError": "errors",
    "Diverged": "errors",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that the command line answers at once.
    if name in _WHERE:
        value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_WHERE)

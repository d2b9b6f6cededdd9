"""phasefield: spectral phase-field simulation from free-energy expressions, on CPU and GPU.

>>> import phasefield as pf
>>> run = pf.run("model=spinodal", "grid.shape=[128,128]", "time.end=500")   # doctest: +SKIP
>>> run.history.free_energy.plot(); run.fields.c.isel(time=-1).plot()        # doctest: +SKIP

What is public, and how long it stays: docs/api.md.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

# An installation has the configurations in `phasefield/configs`; a tree of sources, beside the package. Python takes the latter
# wherever it stands in the folder at hand first in its path (`python -m ...`, and what launchers start so).
if not (Path(__file__).parent / "configs").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

#: Public names and the modules that hold them.
_WHERE = {
    "run": "api",
    "live": "api",
    "resume": "api",
    "open_run": "runs",
    "open_sweep": "sweeps",
    "open_dataset": "store",
    "explain": "api",
    "resolution": "api",
    "Run": "runs",
    "Sweep": "sweeps",
    "Outcome": "driver",
    "Moment": "callbacks",
    "Explanation": "explaining",
    "Resolution": "models.resolution",
    "Simulation": "simulation",
    "EnergyModel": "models",
    "Grid": "grid",
    "OBSERVABLES": "observables",
    "SCHEMES": "integrators",
    "PhasefieldError": "errors",
    "ConfigError": "errors",
    "ExpressionError": "errors",
    "DeviceError": "errors",
    "OutputError": "errors",
    "CheckpointMismatch": "errors",
    "Diverged": "errors",
    "NotConverged": "errors",
}
#: Former names: what stands for them now, and the version in which they go.
_FORMER: dict[str, tuple[str, str]] = {}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that the command line answers at once.
    if name == "__version__":
        value = importlib.import_module(".provenance", __name__).version()
    elif name in _WHERE:
        value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    elif name in _FORMER:
        import warnings

        now, gone = _FORMER[name]
        told = f"phasefield.{name} is now phasefield.{now}; the former name goes in version {gone}"
        warnings.warn(told, DeprecationWarning, stacklevel=2)
        return __getattr__(now)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

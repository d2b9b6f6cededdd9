"""Surrogates: effective tensors of two-phase images in milliseconds, from a Gaussian process between exact bounds.

``fit`` trains one with the microstructures of a sweep, `Surrogate.load` reads it, ``predict`` asks it; docs/surrogate.md.
"""

from __future__ import annotations

from .checking import check
from .fitting import fit
from .model import Prediction, Surrogate
from .predicting import Answer, predict
from .settings import Settings

__all__ = ["Answer", "Prediction", "Settings", "Surrogate", "check", "fit", "predict"]

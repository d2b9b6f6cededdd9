"""The symbols by which kernels know a mode, as terms are handed them."""

from __future__ import annotations

import sympy as sp

from ..codegen import K2, K2_ALONG, K_ALONG, WEIGHT
from .terms import Waves

SCALE = sp.Symbol("scale", real=True)
WAVES = Waves(
    K2,
    K2_ALONG,
    sp.Piecewise((1 / K2, K2 > 0), (0, True)),
    K_ALONG,
    lambda mean, other: sp.Piecewise((other, K2 > 0), (mean, True)),
    WEIGHT,
    SCALE,
)

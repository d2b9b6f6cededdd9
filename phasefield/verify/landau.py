"""Landau's energy psi = A/2 phi^2 + B/4 phi^4 + gamma/2 |grad phi|^2: the closed forms that checks compare with."""

from __future__ import annotations

import math

#: Values that are not all 1.
A, B, GAMMA, M = -1.2, 0.8, 0.6, 1.5
#: The phases are -PHASE and PHASE; energy and width of the interface PHASE tanh(x/WIDTH) between them.
PHASE = math.sqrt(-A / B)
SIGMA = 2 * math.sqrt(2) / 3 * math.sqrt(GAMMA) * (-A) ** 1.5 / B
WIDTH = math.sqrt(-2 * GAMMA / A)
#: The same as keys of a run, with conserved kinetics of mobility M.
LANDAU = (
    "model=cahn_hilliard_landau",
    f"model.parameters={{A: {A}, B: {B}}}",
    f"model.fields.phi={{kappa: {GAMMA}, mobility: {M}}}",
)

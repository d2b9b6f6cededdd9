"""Dealloying: a melt takes one metal out of an alloy, and what it does not dissolve piles up in its way.

    ∂c_i/∂t = ∇·Σ_j M_ij ∇μ_j,   M_ij = 4 c_melt c_i (δ_ij - c_j),   f = 4 b² c_melt² + a²/4

Metal a mixes with the melt, metal b does not. The fluxes of a, b and the melt add up to none, and without melt nothing moves:
the alloy ahead of the front is frozen, as in dealloying by a liquid metal (Geslin, McCue, Gaskey, Erlebacher and Karma, Nat.
Commun. 6 (2015) 8887). A flat front goes on as the metal gets away through the melt, then the layer of b that it leaves behind
holds it up. No step changes the amount of any species, nor raises the energy.

Run time: 7 s on 2 cores. Picture: dealloying.png
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
CELLS, END = (96, 500) if QUICK else (160, 1000)
MODEL = """
name: dealloying
description: two metals and a melt, 1 - a - b, that fill space; nothing moves where there is no melt
energy: 4*b**2*(1 - a - b)**2 + a**2/4
fields:
  a: {kinetics: conserved, kappa: 0.1, mobility: {a: 4*(1 - a - b)*a*(1 - a), b: -4*(1 - a - b)*a*b}}
  b: {kinetics: conserved, kappa: 0.5, mobility: 4*(1 - a - b)*b*(1 - b)}
"""
Path("dealloying.yaml").write_text(MODEL)
solid = f"(1 - tanh((x - {CELLS / 2:g})/2))/2"
run = pf.run(
    "model=dealloying.yaml",
    f"grid.shape=[{CELLS}]",
    "grid.boundary=no-flux",
    f"initial.a=0.8*{solid}",
    f"initial.b=0.2*{solid}",
    f"time.end={END}",
    "output.every={per_decade: 8, start: 5}",
)
a, b, x = run.fields.a, run.fields.b, run.fields.x
dissolved = (a.isel(time=0) - a).where(x < CELLS / 2).sum("x")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for name, values in (("a, soluble", a), ("b, insoluble", b), ("melt", 1 - a - b)):
    (line,) = left.plot(x, values.isel(time=-1), label=name)
    left.plot(x, values.isel(time=0), "--", color=line.get_color(), lw=0.8)
left.set(xlabel="x", title="fractions at first (dashed) and at the end")
left.legend()
right.loglog(dissolved.time[1:], dissolved[1:], ".", label="in the run")
middle = len(dissolved) // 2
guide = dissolved[middle] * (dissolved.time[1:] / dissolved.time[middle]) ** 0.5
right.loglog(dissolved.time[1:], guide, "k--", lw=1, label="the root of time")
right.set(xlabel="time", title="metal a that has left the alloy")
right.legend()
figure.savefig("dealloying.png", dpi=150)

amounts = [field.mean("x").values for field in (a, b)]
off = max(float(np.ptp(amount) / amount[0]) for amount in amounts)
assert np.diff(run.history.free_energy).max() < 0
assert float(abs(a.isel(time=-1, x=slice(CELLS // 4)) - 0.8).max()) < 1e-3  # the alloy ahead is frozen
assert float(b.max()) > 2 * 0.2  # and b has piled up at its surface
print(f"amounts of the metals: off by {off:.1e}, expected 0 within 1e-12")
assert off < 1e-12

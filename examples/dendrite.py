"""Dendrite: a crystal grows into an undercooled melt faster along four directions, until its heat has used up the undercooling.

    F = ∫ f(φ) + 8λ/15 U² + κ(n)/2 |∇φ|² dV,   U = h + p(φ)/2,   ∂φ/∂t = -δF/δφ,   ∂h/∂t = D ∇²U,   γ = 1 + δ cos 4θ

The variational form of Karma and Rappel (Phys. Rev. E 57 (1998) 4323). A quarter of the crystal between mirrors. In the end
U = 0 but for what the curvature of the interface asks, and the solid is as much as the enthalpy says, 1/2 - mean(h).

Run time: 6 s on 2 cores. Picture: dendrite.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
SIZE, END = (32, 600) if QUICK else (96, 4000)
run = pf.run(
    "experiment=dendrite",
    f"grid.shape=[{SIZE},{SIZE}]",
    f"time.end={END}",
    f"output.every={{times: {[SIZE / 4 * i for i in range(1, 13)]}}}",
)
phi, h = run.fields.phi, run.fields.h
temperature = h + 15 / 16 * (phi - 2 * phi**3 / 3 + phi**5 / 5)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained", sharey=True)
for i, color in enumerate(plt.colormaps["viridis"](np.linspace(0, 0.9, 13))):
    left.contour(phi.x, phi.y, phi.isel(time=i).transpose("y", "x"), [0.0], colors=[color])
left.set(title=f"the interface every {SIZE // 4}", xlabel="x", ylabel="y", aspect="equal")
temperature.isel(time=10).plot.imshow(ax=right, x="x", y="y", cmap="inferno", cbar_kwargs={"label": "U"})
right.set(title="temperature", xlabel="x", ylabel="", aspect="equal")
figure.savefig("dendrite.png", dpi=150)

heat = float(abs(h.isel(time=-1).mean() - h.isel(time=0).mean()))
assert heat < 1e-12
assert np.diff(run.history.free_energy).max() <= 1e-12 * abs(float(run.history.free_energy[0]))
solid = float((1 + phi.isel(time=-1)).mean() / 2)
expected = 0.5 - float(h.isel(time=-1).mean())
print(f"solid in the end: {solid:.4f}, expected {expected:.4f} within 2 %")
assert abs(solid / expected - 1) < 0.02

"""Capillary waves: at a temperature a flat interface trembles, and its long waves tell its energy.

    dη/dt = -(f'(η) - κ ∇²η) + √(2kT) ξ,   ⟨|h_k|²⟩ = kT/(σ k² L),   σ = ∫ √(2κf) dη = 2√2/3

Every wave holds kT/2. What is measured is the profile integrated across the interface, in which the phases fluctuate as well,
by kT/4 of their depth over f'' + κ k².

Run time: 20 s on 2 cores. Picture: capillary_waves.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
KT, LENGTH, DEPTH, END = 0.01, 64, 40, 3000 if QUICK else 30000
SIGMA = 2 * np.sqrt(2) / 3

run = pf.run(
    "model=allen_cahn",
    f"model.fields.eta.noise={KT}",
    f"initial.eta=tanh((x - {DEPTH // 2})/sqrt(2))",
    f"grid.shape=[{DEPTH},{LENGTH}]",
    "grid.boundary=[no-flux,periodic]",
    "time.adaptive=false",
    "time.dt=0.25",
    f"time.end={END}",
    "output.every=15",
)
late = run.fields.eta.isel(time=run.fields.time > 100)
heights = 0.5 * late.sum("x")
number = np.arange(1, 7)
k = 2 * np.pi * number / LENGTH
power = (np.abs(np.fft.rfft(heights.values, axis=1)[:, number] / LENGTH) ** 2).mean(axis=0)
power -= DEPTH * KT / (4 * LENGTH * (2 + k**2))
# Long waves are slow, so that few of their heights are independent.
weight = k[:4] ** 2 / (k[:4] ** 2).sum()
sigma = float(1 / (weight @ (power[:4] * k[:4] ** 2 * LENGTH / KT)))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
late.isel(time=-1).plot.imshow(x="y", ax=left, cmap="RdBu_r", add_colorbar=False)
left.contour(late.y, late.x, late.isel(time=-1), levels=[0], colors="black")
left.set(title=f"kT = {KT:g}", xlabel="y", ylabel="x")
right.loglog(k, power, "o", label="measured")
right.loglog(k, KT / (SIGMA * k**2 * LENGTH), "k--", label="kT/(σ k² L)")
right.xaxis.set_minor_formatter("")
right.set(
    xticks=[0.1, 0.2, 0.4],
    xticklabels=["0.1", "0.2", "0.4"],
    xlabel="k",
    ylabel="⟨|h_k|²⟩",
    title="waves of the interface",
)
right.legend()
figure.savefig("capillary_waves.png", dpi=150)

share = 20 if QUICK else 8
print(f"interface energy from its waves: {sigma:.3f}, expected {SIGMA:.3f} within {share} %")
assert abs(sigma / SIGMA - 1) < share / 100

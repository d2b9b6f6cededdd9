"""Transformation: nuclei appear at a constant rate and grow until they meet.

    Y = 1 - exp(-X),   X = J ∫ π R(t - s)² ds,   dR/dt = v - κ/R,   v = √κ (1 - 2a) with f' = 2 η (η - 1)(η - a)

Johnson, Mehl, Avrami and Kolmogorov: X counts the area that nuclei would have if none were in the way of another, those that
appear in what has transformed included. If they were points whose fronts move at once at v, Y would be 1 - exp(-π J v² t³/3).

Run time: 10 s on 2 cores. Picture: transformation.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
RATE, RADIUS, EVERY, SIZE = 3e-5, 4.0, 0.5, 192 if QUICK else 448
A, END = 0.1, 60.0

run = pf.run(
    "model=allen_cahn",
    f"model.energy=eta**4/2 - 2*(1 + {A})/3*eta**3 + {A}*eta**2",
    f"model.fields.eta.nucleation={{rate: {RATE}, radius: {RADIUS}, width: {np.sqrt(2)}, every: {EVERY}}}",
    "initial.eta=0.0",
    f"grid.shape=[{SIZE},{SIZE}]",
    f"time.end={END}",
    "output.every={times: [12, 24, 36]}",
    "output.history=0.5",
    "output.observables=[statistics]",
)
time, fraction = run.history.time.values, run.history.mean_eta.values

ages, step = np.linspace(0, END, 6001, retstep=True)
radius = np.full_like(ages, RADIUS)
for i in range(1, len(ages)):
    radius[i] = radius[i - 1] + step * (1 - 2 * A - 1 / radius[i - 1])
moments = np.arange(EVERY, END, EVERY)
covered = [RATE * EVERY * np.interp(t - moments[moments <= t], ages, np.pi * radius**2).sum() for t in time]
theory = 1 - np.exp(-np.array(covered))


def exponent(y: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        height = np.log(-np.log(1 - np.clip(y, 0, 1 - 1e-12)))
    rising = (height > -2) & (height < 0)
    return float(np.polyfit(np.log(time[rising]), height[rising], 1)[0])


figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
run.fields.eta.sel(time=24, method="nearest").plot.imshow(
    x="x", ax=left, cmap="viridis", vmin=0, vmax=1, add_colorbar=False
)
left.set(title="t = 24", aspect="equal")
right.plot(time, fraction, label="phase field")
right.plot(time, theory, "k--", label="Johnson, Mehl, Avrami, Kolmogorov")
right.set(xlabel="time", ylabel="transformed fraction")
right.legend(fontsize="small")
figure.savefig("transformation.png", dpi=150)

share = 0.5 if QUICK else 0.2
print(f"exponent of Avrami: {exponent(fraction):.2f}, expected {exponent(theory):.2f} within {share}")
assert abs(exponent(fraction) - exponent(theory)) < share

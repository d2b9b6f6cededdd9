"""An observable and a callback of your own: the history holds a radius, and the run stops when it has halved.

    R(t) = √(R₀² - 2 L κ t),   R = R₀/2 at t = 3 R₀²/(8 L κ)

An observable is sums over cells and what to make of them; it is compiled into the step's kernels and written to history.nc. A
callback is a function that is called between the steps, here at every unit of time.

Run time: 3 s on 2 cores. Picture: own_observable.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf
from phasefield.codegen import Reduction, array_symbol
from phasefield.observables import Observable

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, R = (64, 24) if QUICK else (128, 48)


def radius(model, grid):
    """Radius of the circle that has the area of the phase η = 1."""
    inside = Reduction("sum", (array_symbol("u", 0) + 1) / 2)
    about = {"radius": {"long_name": "radius", "units": grid.units}}
    area = grid.volume / grid.cells
    return Observable(lambda v: {"radius": float(np.sqrt(v["inside"] * area / np.pi))}, {"inside": inside}, attrs=about)


halved = []


def stop_at_half(moment):
    if moment.values["radius"] < R / 2:
        halved.append(moment.time)
        moment.stop()


pf.OBSERVABLES["radius"] = radius
run = pf.run(
    "model=allen_cahn",
    f"grid.shape=[{N},{N}]",
    f"initial.eta={{kind: circles, centers: [[{N / 2}, {N / 2}]], radii: {R}, inside: 1, outside: -1, width: 1.4}}",
    "output.observables=[free_energy, radius]",
    "time.tolerance=0.02",
    callbacks=[(1.0, stop_at_half)],
)
history, expected = run.history, 3 * R**2 / 8

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
eta = run.fields.eta.isel(time=-1)
image = left.imshow(eta.T, origin="lower", cmap="coolwarm", vmin=-1, vmax=1, extent=(0, N, 0, N))
figure.colorbar(image, ax=left, label="order η")
left.set(xlabel="x", ylabel="y", title=f"the last snapshot, t = {float(eta.time):.0f}")
right.plot(history.time, history.radius, lw=3, label="observable")
right.plot(history.time, np.sqrt(R**2 - 2 * history.time), "k--", lw=1, label="√(R₀² - 2 L κ t)")
right.plot(halved, R / 2, "o", color="C3", label="stopped by the callback")
right.set(xlabel="time t", ylabel="radius R", title="history.nc")
right.legend()
figure.savefig("own_observable.png", dpi=150)

print(f"time until the radius has halved: {halved[0]:.0f}, expected {expected:.0f} within 1 %")
assert run.outcome.reason == "stopped"
assert abs(halved[0] / expected - 1) < 0.01

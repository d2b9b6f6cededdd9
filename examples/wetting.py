"""Wetting: half a circle on three walls, which it wets, does not care for, and shuns.

    dc/dt = M ∇²(f'(c) - κ ∇²c),   κ ∂c/∂n = -γ'(c) and ∂μ/∂n = 0 at the wall,   cos θ = (γ(0) - γ(1))/σ

The wall's energy γ(c) = -σ cos θ c² (3 - 2c) makes Young's angle θ. It is read from the circle through the outline of the drop
beyond an interface's width from the wall.

Run time: 16 s on 2 cores. Picture: wetting.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
RADIUS, ANGLES, END = (16, (60,), 2e4) if QUICK else (32, (60, 90, 120), 1e6)
WIDTH = 4.0  # of the interface, from 5 to 95 %


def outline(c):
    """Where c is 1/2, in cells: x and y, of shape (n,)."""
    found = []
    for values, swapped in ((c, False), (c.T, True)):
        i, j = np.nonzero((values[:-1] - 0.5) * (values[1:] - 0.5) < 0)
        between = i + 0.5 + (values[i, j] - 0.5) / (values[i, j] - values[i + 1, j])
        found.append([j + 0.5, between] if swapped else [between, j + 0.5])
    return np.concatenate(found, axis=1)


def measured(c):
    """The angle of a drop about x = 0: a circle through its outline, its centre on x = 0."""
    x, y = outline(c)
    x, y = x[y > WIDTH], y[y > WIDTH]
    (twice, rest), *_ = np.linalg.lstsq(np.stack([y, np.ones_like(y)], axis=1), x**2 + y**2)
    return np.degrees(np.arccos(-twice / 2 / np.sqrt(rest + twice**2 / 4)))


figure, axes = plt.subplots(1, len(ANGLES), figsize=(8, 1.9), layout="constrained", sharey=True, squeeze=False)
errors = []
for ax, angle in zip(axes[0], ANGLES, strict=True):
    run = pf.run(
        "model=cahn_hilliard",
        "model.fields.c.kappa=0.92",
        f"model.fields.c.walls.bottom.angle={angle}",
        f"grid.shape=[{2 * RADIUS},{3 * RADIUS // 2}]",
        "grid.boundary=no-flux",
        f"initial.c=(1 - tanh((sqrt(x**2 + y**2) - {RADIUS})/2.7))/2",
        f"time.end={END}",
    )
    start, *_, last = run.fields.c
    found = measured(last.values)
    errors.append(abs(found - angle))
    both = np.concatenate([last.values[::-1], last.values])  # x = 0 is a plane of symmetry
    ax.imshow(
        both.T, origin="lower", cmap="Blues", vmin=0, vmax=1, extent=(-2 * RADIUS, 2 * RADIUS, 0, 3 * RADIUS // 2)
    )
    circle = np.linspace(0, np.pi, 100)
    ax.plot(RADIUS * np.cos(circle), RADIUS * np.sin(circle), "r--", lw=0.8)
    ax.set(title=f"θ = {angle}°: {found:.2f}°", xlabel="x (dashed: the start)")
axes[0, 0].set_ylabel("y")
figure.savefig("wetting.png", dpi=150)

print(f"largest error of a contact angle: {max(errors):.2f} degrees, expected 0 within 1")
assert max(errors) < 1

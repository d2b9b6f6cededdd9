"""Sessile drop: on a wall that favours neither phase a film draws itself together to half a circle.

    dc/dt = M ∇²(f'(c) - κ ∇²c),   ∂c/∂n = 0 and ∂μ/∂n = 0 on the walls,   cos θ = (γ_outside - γ_inside)/σ = 0

With ∂c/∂n = 0 the wall has no energy of its own: Young's angle is 90 degrees. It is taken from height and width of the drop at
rest, θ = 2 arctan(2 h/b).

Run time: 4 s on 2 cores. Picture: sessile_drop.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
NX, NY, END = (64, 24, 1e4) if QUICK else (160, 56, 3e5)
x, y = np.arange(NX)[:, None] + 0.5, np.arange(NY) + 0.5
film = np.clip(0.5 + (0.3 * NX - abs(x - NX / 2)) / 4, 0, 1) * np.clip(0.5 + (0.25 * NY - y) / 4, 0, 1)

run = pf.run(
    "model=cahn_hilliard",
    f"time.end={END}",
    "time.steady=1e-8",
    f"output.every={{times: {[END / 1000, END / 100]}}}",
    initial={"c": film},
    grid={"shape": [NX, NY], "boundary": ["periodic", "no-flux"]},
)
c = run.fields.c


def crossing(values):
    """Where values that fall reach 1/2, in cells from the first one's lower edge."""
    i = int(np.argmax(values < 0.5))
    return i - 0.5 + (values[i - 1] - 0.5) / (values[i - 1] - values[i])


last = c.isel(time=-1).values
bottom = (9 * last[:, 0] - last[:, 1]) / 8  # at the wall itself, half a cell below: even about it
height = crossing((last[NX // 2 - 1] + last[NX // 2]) / 2)
width = crossing(bottom[NX // 2 :]) + crossing(bottom[NX // 2 - 1 :: -1])
angle = np.degrees(2 * np.arctan(2 * height / width))

figure, axes = plt.subplots(2, 2, figsize=(8, 3.6), layout="constrained", sharex=True, sharey=True)
for ax, shown in zip(axes.flat, c, strict=True):
    image = ax.imshow(shown.T, origin="lower", cmap="Blues", vmin=0, vmax=1, extent=(0, NX, 0, NY))
    ax.set(title=f"t = {float(shown.time):.0f}")
circle = np.linspace(0, np.pi, 100)
axes[1, 1].plot(NX / 2 + width / 2 * np.cos(circle), width / 2 * np.sin(circle), "r--", lw=1)
for ax in axes.flat:
    ax.label_outer()
axes[1, 1].set_xlabel("x (dashed: half a circle)")
axes[1, 0].set(xlabel="x", ylabel="y")
figure.colorbar(image, ax=axes, label="concentration c")
figure.savefig("sessile_drop.png", dpi=150)

print(f"contact angle: {angle:.2f} degrees, expected 90 within 1")
assert abs(angle - 90) < 1

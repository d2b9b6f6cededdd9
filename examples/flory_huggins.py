"""Polymer blend: phases that have come apart have the compositions of the common tangent.

    f = φ ln φ/N_A + (1 - φ) ln(1 - φ)/N_B + χ φ (1 - φ),   f'(φ₁) = f'(φ₂) = (f(φ₂) - f(φ₁))/(φ₂ - φ₁)

For N_A = N_B = 1 the energy is symmetric and the tangent flat: ln(φ/(1 - φ)) = χ (2φ - 1), solved here by itself. Blends of
several χ are brought to rest in one dimension, and the ends of their profiles are compared (Flory 1942, Huggins 1942).

Run time: 7 s on 2 cores. Picture: flory_huggins.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
CHI = [2.4, 3.0] if QUICK else [2.2, 2.3, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4]
N, END = (48, 20) if QUICK else (192, 400)


def binodal(chi):
    """The dilute composition, by iteration of the condition above."""
    phi = 1e-3
    for _ in range(500):
        phi = 1 / (1 + np.exp(chi * (1 - 2 * phi)))
    return phi


blend = ("model=flory_huggins", "output.picture=false")
errors, found = [], []
for chi in CHI:
    flat = pf.run(
        *blend,
        f"model.parameters.chi={chi}",
        "grid.shape=[128]",
        "grid.length=64",
        "grid.boundary=no-flux",
        "initial.phi={kind: slab, axis: x, position: 32, inside: 0.9, outside: 0.1, width: 2}",
        "time.end=5000",
    )
    low, high = float(flat.history.min_phi[-1]), float(flat.history.max_phi[-1])
    found.append((low, high))
    errors.append(max(abs(low - binodal(chi)), abs(high - 1 + binodal(chi))))
pattern = pf.run(*blend, f"grid.shape=[{N},{N}]", "initial.phi.mean=0.4", f"time.end={END}").fields.phi.isel(time=-1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
image = left.imshow(pattern.T, origin="lower", cmap="magma", vmin=0, vmax=1, extent=(0, N, 0, N))
figure.colorbar(image, ax=left, label="volume fraction φ")
left.set(title=f"χ = 2.5, mean φ = 0.4, t = {END}", xlabel="x", ylabel="y")
chi = np.linspace(2, 3.5, 200)
dilute, spinodal = np.array([binodal(x) for x in chi]), np.sqrt(1 - 2 / chi) / 2
for sign in (-1, 1):
    right.plot(0.5 + sign * (0.5 - dilute), chi, color="C0", label="binodal" if sign > 0 else None)
    right.plot(0.5 + sign * spinodal, chi, "--", color="0.6", label="spinodal" if sign > 0 else None)
right.plot(np.array(found).T.ravel(), CHI * 2, "o", color="C3", label="simulation")
right.set(xlabel="volume fraction φ", ylabel="interaction χ", title="phase diagram")
right.legend(loc="upper center")
figure.savefig("flory_huggins.png", dpi=150)

print(f"largest distance from the binodal: {max(errors):.1e}, expected 0 within 1e-4")
assert max(errors) < 1e-4

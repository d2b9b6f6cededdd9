"""A study over temperature: near the critical point order vanishes with the power 1/2, the energy of boundaries with 3/2.

    f = (T - 1) η²/2 + η⁴/4,   η₀ = (1 - T)^(1/2),   σ = √(8κ/9) (1 - T)^(3/2)

Landau's theory in reduced temperature T = θ/θ_c. A sweep over one parameter of the model is a loop; each member is a wall in one
dimension that comes to rest. The exponent is fitted, and with it the prefactor.

Run time: 5 s on 2 cores. Picture: temperature.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
TEMPERATURES = np.array([0.2, 0.6, 0.9]) if QUICK else np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95])
LENGTH = 60.0

profiles, sigma = [], []
for temperature in TEMPERATURES:
    order = np.sqrt(1 - temperature)
    run = pf.run(
        "model=allen_cahn",
        "model.energy=(T - 1)*eta**2/2 + eta**4/4 + (1 - T)**2/4",  # with the energy of the bulk as zero
        f"model.parameters={{T: {temperature}}}",
        "grid.shape=[240]",
        f"grid.length={LENGTH}",
        "grid.boundary=no-flux",
        f"initial.eta={{kind: slab, axis: x, position: 30, inside: {order}, outside: {-order}, width: 3}}",
        "time.end=400",
    )
    profiles.append(run.fields.eta.isel(time=-1))
    sigma.append(float(run.history.free_energy[-1]))
power, log = np.polyfit(np.log(1 - TEMPERATURES), np.log(sigma), 1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
for temperature, eta in zip(TEMPERATURES, profiles, strict=True):
    left.plot(eta.x, eta, color=plt.cm.plasma(0.9 * temperature), label=f"T = {temperature:g}")
left.set(xlabel="x", ylabel="order η", title="walls at rest")
left.legend(fontsize=7)
distance = np.geomspace(0.04, 1, 50)
right.loglog(distance, np.sqrt(8 / 9) * distance**1.5, color="0.4", label="theory, √(8κ/9) (1 - T)^(3/2)")
right.loglog(1 - TEMPERATURES, sigma, "o", color="C3", label="simulation")
right.set(xlabel="distance from the critical point 1 - T", ylabel="energy of the wall σ", title=f"exponent {power:.4f}")
right.legend()
figure.savefig("temperature.png", dpi=150)

print(f"prefactor of the wall's energy: {np.exp(log):.4f}, expected {np.sqrt(8 / 9):.4f} within 0.2 %")
print(f"exponent of the wall's energy: {power:.4f}, expected {1.5:.4f} within 0.2 %")
assert abs(power / 1.5 - 1) < 0.002
assert abs(np.exp(log) / np.sqrt(8 / 9) - 1) < 0.002

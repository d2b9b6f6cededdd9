"""Battery particle: lithium goes in through one face, the particle comes apart into two phases, and the voltage stays.

    dc/dt = M ∇² μ,   M ∂μ/∂n = j at x = 0,   μ = ln(c/(1 - c)) + Ω (1 - 2c) - κ ∇²c,   c̄(t) = c̄₀ + j̄ t,   V = V₀ - (kT/e) μ

A regular solution on the lattice of the electrode (Han et al., Electrochim. Acta 49 (2004) 4691). One wall lets lithium in, the
others nothing through, so the mean is what has flown in; slowly charged, the potential follows Maxwell's construction, a plateau
at μ = 0.

Run time: 7 s on 2 cores. Picture: battery_particle.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
NX, NY, END = (32, 16, 2000.0) if QUICK else (128, 64, 40000.0)
START, CHARGED = 0.02, 0.95
OMEGA, KAPPA = 3.0, 2.0
CURRENT = (CHARGED - START) / END * NX  # through a unit of area

run = pf.run(
    "model=flory_huggins",  # with N_A = N_B = 1 the same energy: phi is the filling of the lattice
    f"model.parameters.chi={OMEGA}",
    f"model.fields.phi.kappa={KAPPA}",
    f"model.fields.phi.walls.left.flux={CURRENT}",
    f"grid.shape=[{NX},{NY}]",
    "grid.boundary=no-flux",
    f"initial.phi={{kind: noise, mean: {START}, amplitude: 0.001}}",
    f"time.end={END}",
    f"output.every={END / 60}",
)
c = run.fields.phi
filling = c.mean(["x", "y"])
potential = (np.log(c / (1 - c)) + OMEGA * (1 - 2 * c)).mean(["x", "y"])  # the mean of ∇²c is 0 between the walls
error = float(abs(filling - (START + CURRENT / NX * c.time)).max())

figure, axes = plt.subplot_mosaic("av;bv;cv", figsize=(8, 4.2), layout="constrained", width_ratios=[1, 1.2])
for name, share in zip("abc", (0.2, 0.5, 0.8), strict=True):
    shown = c.sel(time=share * END, method="nearest")
    image = axes[name].imshow(shown.T, origin="lower", cmap="cividis", vmin=0, vmax=1, extent=(0, NX, 0, NY))
    axes[name].set(ylabel="y", title=f"filling {float(shown.mean()):.2f}")
axes["c"].set_xlabel("x (lithium comes in at x = 0)")
figure.colorbar(image, ax=[axes[n] for n in "abc"], label="lithium c")
axes["v"].plot(filling, -potential, "o-", ms=3, label="simulation")
one = np.linspace(START, CHARGED, 200)
axes["v"].plot(one, -np.log(one / (1 - one)) - OMEGA * (1 - 2 * one), ":", color="0.5", label="if it stayed mixed")
axes["v"].axhline(0, color="k", lw=0.8, ls="--", label="Maxwell's construction")
axes["v"].set(xlabel="mean filling", ylabel="voltage e (V - V₀)/kT", title="the plateau of two phases")
axes["v"].legend()
figure.savefig("battery_particle.png", dpi=150)

print(f"lithium in the particle against the charge: off by {error:.1e}, expected 0 within 1e-9")
assert error < 1e-9

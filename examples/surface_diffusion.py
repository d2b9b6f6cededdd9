"""Surface diffusion: a scratch on a surface fades as atoms move along it, by the fourth power of its wavenumber.

    ∂c/∂t = ∇·M(c)∇(f' - κ ∇²c),   M = 16 c² (1 - c)²,   amplitude ~ exp(-B k⁴ t),   B = 4/9 κ

The mobility vanishes in both phases, so that nothing moves but the interface (Mullins, J. Appl. Phys. 28 (1957) 333). What a
width that is not zero adds falls with the square of the wavelength, and is taken off by two of them.

Run time: 5 s on 2 cores. Picture: surface_diffusion.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
WAVELENGTHS = (48, 64)
B = 4 / 9
rates, figure = [], plt.figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.1})
for wavelength in WAVELENGTHS[QUICK:]:
    k = 2 * np.pi / wavelength
    life = 1 / (B * k**4)
    run = pf.run(
        "model=surface_diffusion",
        f"grid.shape=[{wavelength // 2},32]",  # half a wave between mirrors
        "grid.boundary=no-flux",
        "time.scheme=etdms2",
        f"initial.c=1/2 - tanh((y - 16 - 0.3*cos({k}*x))/2)/2",
        f"time.end={(0.3 if QUICK else 0.6) * life}",
        "time.tolerance=0.02",
        f"output.every={0.05 * life}",
    )
    heights = run.fields.c.sum("y")  # how far up the solid reaches
    amplitude = 2 * (heights * np.cos(k * run.fields.x)).mean("x")
    late = amplitude.time >= 0.1 * life
    rates.append(-float(np.polyfit(amplitude.time[late], np.log(amplitude[late]), 1)[0]) / (B * k**4))
    left.plot(run.fields.x, heights.isel(time=0), "--", color="grey")
    left.plot(run.fields.x, heights.isel(time=-1), label=f"λ = {wavelength}")
    right.semilogy(amplitude.time / life, amplitude / float(amplitude[0]), ".", label=f"λ = {wavelength}")
now = np.array([0, 0.3 if QUICK else 0.6])
right.semilogy(now, np.exp(-now), "k--", lw=1, label="Mullins")
left.set(xlabel="x", ylabel="height of the surface", title="at first (dashed) and at the end")
right.set(xlabel="time, in 1/(B k⁴)", ylabel="amplitude over the first", title="the decay of a wave")
left.legend()
right.legend()
figure.savefig("surface_diffusion.png", dpi=150)

longer = (WAVELENGTHS[1] / WAVELENGTHS[0]) ** 2
rate = rates[0] if QUICK else rates[1] + (rates[1] - rates[0]) / (longer - 1)
print(f"decay rate over B k^4: {rate:.4f}, expected 1 within {2 + QUICK} %")
assert abs(rate - 1) < 0.02 + 0.01 * QUICK

"""A slow quench: fluctuations die while a mixture is stable and grow once it is not, at the rate of every moment.

    dφ/dt = ∇²(-a(t) φ + φ³ - κ ∇²φ),   ln φ_k(t) = ln φ_k(0) + ∫ k² (a(t) - κ k²) dt,   a(t) = -0.5 + 0.02 t

The parameter a depends on time; how far a wave has grown is an integral along its path.

Run time: 10 s on 2 cores. Picture: quench.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
KAPPA, LENGTH, END = 0.5, 10.0, 60.0
K2 = (2 * np.pi / LENGTH) ** 2

run = pf.run(
    "model=cahn_hilliard_landau",
    "model.energy=-a*phi**2/2 + phi**4/4",
    "model.parameters={A: 0, B: 0, a: -0.5+0.02*t}",
    f"model.fields.phi.kappa={KAPPA}",
    f"grid.shape=[{16 if QUICK else 32}]",
    f"grid.length={LENGTH}",
    f"initial.phi=1e-5*cos(2*pi*x/{LENGTH})",
    f"time.end={END}",
    "output.every=2",
    "output.picture=false",
)
phi = run.fields.phi
amplitude = 2 * np.abs(np.fft.rfft(phi.values, axis=1)[:, 1]) / phi.shape[1]
t = phi.time.values
theory = 1e-5 * np.exp(K2 * ((-0.5 - KAPPA * K2) * t + 0.01 * t**2))

figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
axes.semilogy(t, theory, color="0.4", label="theory, exp(∫ rate dt)")
axes.semilogy(t, amplitude, "o", color="C3", label="simulation")
axes.set(xlabel="t", ylabel="amplitude of the wave", title="through the critical point")
axes.legend()
figure.savefig("quench.png", dpi=150)

error = float(np.abs(amplitude / theory - 1).max())
print(f"amplitude against the integral of the rate: off by {error:.2%}, expected 0 within 0.5 %")
assert error < 0.005

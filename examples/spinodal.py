"""Spinodal decomposition: every wave grows or decays at the rate of linear theory.

    dc/dt = M ∇²(f'(c) - κ ∇²c),   σ(k) = -M k² (f''(c₀) + κ k²),   σ_max = M f''(c₀)²/(4κ)

A mixture inside the spinodal has f'' < 0: long waves grow, the fastest sets the length of the pattern (Cahn, Acta Metall. 9
(1961) 795). The rate of every wavenumber is taken from the power spectra of two snapshots.

Run time: 4 s on 2 cores. Picture: spinodal.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, END = (96, 20) if QUICK else (256, 150)
FROM, TO = 6.0, 14.0

run = pf.run(
    "model=cahn_hilliard",  # f = W c² (1 - c)², so that f''(1/2) = -W
    f"grid.shape=[{N},{N}]",
    "initial.c={kind: noise, mean: 0.5, amplitude: 1e-4}",
    "time.tolerance=0.01",
    f"time.end={END}",
    f"output.every={{times: [{FROM}, {TO}]}}",
)

wave = 2 * np.pi * np.fft.fftfreq(N)
k = np.hypot(wave[:, None], wave)
shell = np.digitize(k, np.arange(0.05, 1.3, 0.1))


def power(time):
    """Power spectrum of a snapshot, summed over rings of wavenumbers."""
    amplitude = np.abs(np.fft.fft2(run.fields.c.sel(time=time).values - 0.5)) ** 2
    return np.bincount(shell.ravel(), amplitude.ravel())[1:13]


middle = np.arange(1, 13) * 0.1
rate = np.log(power(TO) / power(FROM)) / (2 * (TO - FROM))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
image = left.imshow(run.fields.c.isel(time=-1).T, origin="lower", cmap="RdBu_r", vmin=0, vmax=1, extent=(0, N, 0, N))
figure.colorbar(image, ax=left, label="concentration c")
left.set(title=f"t = {END}", xlabel="x", ylabel="y")
fine = np.linspace(0, 1.15, 200)
right.plot(fine, fine**2 - fine**4, color="0.4", label="theory, k² - k⁴")
right.plot(middle[rate > -0.3], rate[rate > -0.3], "o", color="C3", label="measured")
right.axhline(0, color="0.8", lw=0.8, zorder=0)
right.set(xlabel="wavenumber k", ylabel="growth rate σ", title="every wave at its own rate")
right.legend()
figure.savefig("spinodal.png", dpi=150)

print(f"growth rate of the fastest wave: {rate.max():.4f}, expected {0.25:.4f} within 3 %")
assert abs(rate.max() / 0.25 - 1) < 0.03

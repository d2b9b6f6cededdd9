"""Square array of disks: conductivity against the series of Rayleigh and Perrins.

    k*/k_m = 1 + 2f / (1/T - f - 0.305827 f⁴ T/(1 - 1.402958 f⁸ T²) - 0.013362 f⁸ T),   T = (k_d - k_m)/(k_d + k_m)

Disks of conductivity k_d fill the share f of a matrix k_m (Lord Rayleigh, Phil. Mag. 34 (1892) 481; Perrins, McKenzie and
McPhedran, Proc. R. Soc. A 369 (1979) 207). Voxels that an interface cuts become laminates, so that coarse grids are good enough.

Run time: 2 s on 2 cores. Picture: disk_array.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from phasefield.homogenize import Settings, build, from_array, homogenize

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, CONTRAST = (32, 10.0) if QUICK else (96, 10.0)
FRACTIONS = [0.2, 0.5] if QUICK else [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65]
T = (CONTRAST - 1) / (CONTRAST + 1)


def series(f):
    return 1 + 2 * f / (1 / T - f - 0.305827 * f**4 * T / (1 - 1.402958 * f**8 * T**2) - 0.013362 * f**8 * T)


material = build({"phases": {"matrix": {"conductivity": 1.0}, "disk": {"conductivity": CONTRAST}}})
settings = Settings(properties=("conductivity",), two_grid=False, mixing=False, fields=True)
x = (np.arange(N) + 0.5) / N - 0.5
distance = np.hypot(x[:, None], x)
found = []
for f in FRACTIONS:
    disk = 0.5 * (1 + np.tanh((np.sqrt(f / np.pi) - distance) * N / 2))
    (result,) = homogenize(from_array(disk, levels=[0, 1]), material, settings)
    found.append(result.tensor[0, 0])
    if f == 0.5:
        flux = result.fields["heat_flux"][0].reshape(-1, N, N)
error = max(abs(k / series(f) - 1) for k, f in zip(found, FRACTIONS, strict=True))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
image = left.imshow(np.hypot(flux[0], flux[1]).T, origin="lower", cmap="inferno", extent=(-0.5, 0.5, -0.5, 0.5))
left.streamplot(x, x, flux[0].T, flux[1].T, color="w", density=0.7, linewidth=0.6, arrowsize=0.6)
figure.colorbar(image, ax=left, label="flux / (k_m x mean gradient)")
left.set(xlabel="x", ylabel="y", title="gradient along x, f = 0.5", xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
fine = np.linspace(0, 0.7, 200)
right.plot(fine, series(fine), color="0.4", label="series")
right.plot(FRACTIONS, found, "o", color="C3", label="voxels")
right.set(xlabel="share of the disks f", ylabel="conductivity k*/k_m", title=f"contrast {CONTRAST:g}")
right.legend()
figure.savefig("disk_array.png", dpi=150)

print(f"largest error of the conductivity: {100 * error:.2f} %, expected 0 within 0.5 %")
assert error < 0.005

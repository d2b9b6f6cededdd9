"""Laminate: the stiffness of layers, solved on voxels, is that of the exact formula to the last digits.

    C_nn* = <C_nn⁻¹>⁻¹,   C_nt* = C_nn* <C_nn⁻¹ C_nt>,   C_tt* = <C_tt - C_tn C_nn⁻¹ C_nt> + C_tn* (C_nn*)⁻¹ C_nt*

Across layers the stress on them (n) is the same everywhere, along them the strain (t) is (Backus, J. Geophys. Res. 67 (1962)
4427). Layers of random thickness of three materials; tensors are 6 x 6 in Mandel form, the layers' normal is x.

Run time: 2 s on 2 cores. Picture: laminate.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from phasefield.homogenize import Settings, build, from_array, homogenize
from phasefield.mechanics.tensors import isotropic_stiffness

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N = 32 if QUICK else 128
MODULI = {"epoxy": (3.7, 1.24), "glass": (44.0, 33.0), "steel": (160.0, 80.0)}  # K and G in GPa

layers = np.random.default_rng(3).integers(0, 3, N // 4).repeat(4).astype(np.uint8)
image = from_array(np.broadcast_to(layers[:, None], (N, 8)))
material = build({"phases": {name: {"stiffness": {"K": k, "G": g}} for name, (k, g) in MODULI.items()}})
(result,) = homogenize(image, material, Settings(two_grid=False, mixing=False))

n, t = [0, 4, 5], [1, 2, 3]  # xx, xz, xy: what acts on the layers; yy, zz, yz: what lies in them
C = np.stack([isotropic_stiffness(k, g) for k, g in MODULI.values()])[layers]
nn, nt, tt = C[:, n][:, :, n], C[:, n][:, :, t], C[:, t][:, :, t]
inverse = np.linalg.inv(nn)
exact = np.empty((6, 6))
exact[np.ix_(n, n)] = np.linalg.inv(inverse.mean(axis=0))
exact[np.ix_(n, t)] = exact[np.ix_(n, n)] @ (inverse @ nt).mean(axis=0)
exact[np.ix_(t, n)] = exact[np.ix_(n, t)].T
inner = (tt - nt.transpose(0, 2, 1) @ inverse @ nt).mean(axis=0)
exact[np.ix_(t, t)] = inner + exact[np.ix_(t, n)] @ inverse.mean(axis=0) @ exact[np.ix_(n, t)]
error = np.abs(result.tensor - exact).max() / np.abs(exact).max()


def young(stiffness, angle):
    """Young's modulus in the direction of angle from x in the plane."""
    d = np.array([np.cos(angle) ** 2, np.sin(angle) ** 2, 0, 0, 0, np.sqrt(2) * np.sin(angle) * np.cos(angle)])
    return 1 / (d @ np.linalg.inv(stiffness) @ d)


figure = plt.figure(figsize=(8, 3.6), layout="constrained")
left, right = figure.add_subplot(121), figure.add_subplot(122, projection="polar")
left.imshow(layers[None, :], cmap="cividis", aspect="auto", extent=(0, 1, 0, 1))
for i, name in enumerate(MODULI):
    left.plot([], [], "s", color=plt.cm.cividis(i / 2), ms=10, label=name)
left.set(xlabel="x / L", yticks=[], title="layers across x")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
angle = np.linspace(0, 2 * np.pi, 361)
right.plot(angle, [young(exact, a) for a in angle], color="0.5", lw=3, label="exact")
right.plot(angle[::15], [young(result.tensor, a) for a in angle[::15]], "o", ms=4, color="C3", label="voxels")
right.set_title("Young's modulus by direction, GPa")
right.legend(loc="lower left", bbox_to_anchor=(0.85, -0.12), fontsize=8)
figure.savefig("laminate.png", dpi=150)

print(f"largest error of the stiffness: {error:.1e} of its largest component, expected 0 within 1e-5")
assert error < 1e-5

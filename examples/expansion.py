"""Thermal expansion of a composite: of two phases it follows from the stiffness, exactly.

    α* = <α> + (S* - <S>) (S₁ - S₂)⁻¹ (α₁ - α₂)

S are compliances, <> means by volume (Levin, Mekhanika Tverdogo Tela 2 (1967) 88; Rosen and Hashin, Int. J. Engng Sci. 8 (1970)
157). Expansion is solved on its own here, with stresses between the phases, and compared with what the stiffness foretells.

Run time: 3 s on 2 cores. Picture: expansion.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from phasefield.homogenize import Settings, from_array, homogenize, read_material
from phasefield.mechanics.tensors import isotropic_stiffness

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, FRACTIONS = (24, [0.4]) if QUICK else (64, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
material = read_material("epoxy_glass")  # fibres of glass in epoxy, a preset
YOUNG, POISSON, ALPHA = np.array([3.35e9, 80e9]), np.array([0.35, 0.2]), np.array([58e-6, 4.9e-6])
soft, stiff = (
    np.linalg.inv(isotropic_stiffness(e / 3 / (1 - 2 * nu), e / 2 / (1 + nu)))
    for e, nu in zip(YOUNG, POISSON, strict=True)
)
unit = np.array([1, 1, 1, 0, 0, 0.0])  # an isotropic expansion, Mandel form

x = (np.arange(N) + 0.5) / N - 0.5
settings = Settings(properties=("stiffness", "expansion"), voxel="sharp", two_grid=False, mixing=False)
found, foretold = [], []
for f in FRACTIONS:
    fibre = (np.hypot(x[:, None], x) < np.sqrt(f / np.pi)).astype(np.uint8)
    share = fibre.mean()
    stiffness, expansion = homogenize(from_array(fibre), material, settings)
    found.append(np.diag(expansion.tensor))
    mean = (1 - share) * soft + share * stiff
    gap = np.linalg.solve(soft - stiff, (ALPHA[0] - ALPHA[1]) * unit)
    foretold.append((ALPHA @ [1 - share, share] * unit + (np.linalg.inv(stiffness.tensor) - mean) @ gap)[:3])
found, foretold = 1e6 * np.array(found), 1e6 * np.array(foretold)
error = np.abs(found / foretold - 1).max()

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
left.imshow(fibre.T, origin="lower", cmap="cividis", extent=(-0.5, 0.5, -0.5, 0.5))
left.set(xlabel="x", ylabel="y", title=f"fibres of glass along z in epoxy, f = {f}")
for i, name in ((0, "across the fibres"), (2, "along them")):
    right.plot(FRACTIONS, foretold[:, i], color=f"C{i}", label=f"Levin, {name}")
    right.plot(FRACTIONS, found[:, i], "o", color=f"C{i}", label=f"solved, {name}")
right.set(xlabel="share of the fibres f", ylabel="thermal expansion α, 10⁻⁶/K", title="expansion", ylim=(0, 90))
right.legend()
figure.savefig("expansion.png", dpi=150)

print(
    f"expansion across the fibres: {found[-1, 0]:.4f}e-6/K, expected {foretold[-1, 0]:.4f}e-6/K (Levin) within 0.01 %"
)
assert error < 1e-4

"""FE2: a notched strip whose every quadrature point holds a cell of voxels, with a matrix that stiffens as it is strained.

    ∫ <σ>(ε) : δε dV = 0,   w = K tr²/2 + G d² + b d⁴,   |r_(n+1)| ~ |r_n|²,   <σ : ε> = <σ> : <ε>

Effective properties do not exist beforehand: they depend on the strain of the point. What proves both scales: Newton's
iteration is of second order only with the right tangents, and the work of both is the same (Hill 1963, Mandel 1972).

Run time: 5 s on 2 cores. Picture: fe2.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import skfem

from phasefield.mechanics import Options
from phasefield.mechanics.nonlinear import NonlinearCell
from phasefield.mechanics.potentials import Expression, Quadratic
from phasefield.mechanics.tensors import isotropic_stiffness
from phasefield.upscale.macro import CellMicro, Homogenized, MacroModel, Scales, tangent_error

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, ELEMENTS = (8, (4, 1)) if QUICK else (12, (6, 2))
LENGTH, HEIGHT, PULL = 2.0, 1.0, 0.08

# An inclined fibre in a matrix: Hooke's law, and a term that counts at strains of some per cent.
matrix = Expression("K*tr**2/2 + G*d2 + b*d2**2", elastic=True, parameters={"K": 1.0, "G": 0.5, "b": 40.0})
x = (np.arange(N) + 0.5) / N - 0.5
x, y = np.meshgrid(x, x, indexing="ij")
fibre = (((x + y) / 0.75) ** 2 + ((y - x) / 0.4) ** 2 < 1).astype(np.int32)
options = Options(scheme="rotated", tolerance=1e-10, threads=1, device="cpu")
micro = CellMicro(NonlinearCell(fibre, [matrix, Quadratic(isotropic_stiffness(10.0, 6.0))], options=options))

# A strip that gets narrower in the middle, held on the left and pulled on the right.
mesh = skfem.MeshQuad.init_tensor(
    *(np.linspace(0, end, n + 1) for end, n in zip((LENGTH, HEIGHT), ELEMENTS, strict=True))
)
points = mesh.p.copy()
points[1] = HEIGHT / 2 + (points[1] - HEIGHT / 2) * (1 - 0.4 * np.exp(-(((points[0] - LENGTH / 2) / 0.4) ** 2)))
basis = skfem.Basis(skfem.MeshQuad(points, mesh.t), skfem.ElementVector(skfem.ElementQuad1()), intorder=2)
left, right = (basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9) for at in (0.0, LENGTH))
pulled, values = right.all("u^1"), np.zeros(basis.N)
values[pulled] = PULL
fixed = np.concatenate([left.all(), right.all()])

model = MacroModel(basis, micro, scales=Scales(micro_length=0.01, macro_length=0.6))
found = model.solve(values, fixed)
force = found.forces[pulled].sum()
linear = MacroModel(basis, Homogenized(micro.solve(np.zeros(3)).tangent)).solve(values, fixed).forces[pulled].sum()
residuals, hill, error = found.residuals, np.nanmax(found.hill), tangent_error(micro, np.array([0.05, -0.02, 0.03]))
order = np.log(residuals[-1] / residuals[-2]) / np.log(residuals[-2] / residuals[-3])

figure, axes = plt.subplots(1, 3, figsize=(9, 3), width_ratios=[2, 1, 1], layout="constrained")
moved = basis.mesh.p + found.values[basis.nodal_dofs]
axes[0].plot(*moved[:, basis.mesh.facets], color="0.7", lw=0.8, zorder=0)
strain = found.strain[:, 0]
at = model.elements.places + np.moveaxis(np.asarray(basis.interpolate(found.values)), 0, -1).reshape(-1, 2)
figure.colorbar(axes[0].scatter(*at.T, c=strain, s=28), ax=axes[0], label="mean strain xx", location="bottom")
axes[0].set(aspect="equal", xlabel="x", ylabel="y", title="strip, a cell in every point")
fields = []
for point in (strain.argmin(), strain.argmax()):
    state, mean = model.points.states[point], np.zeros(6)
    mean[list(micro.components)] = state.gradient
    fields.append(micro.cell.strain(state.fluctuation, mean)[:, 0].reshape(N, N).T)
for ax, field, word in zip(axes[1:], fields, ("least", "most"), strict=True):
    image = ax.imshow(field, origin="lower", vmin=np.min(fields), vmax=np.max(fields))
    ax.set(title=f"cell, {word} strained", xticks=[], yticks=[])
figure.colorbar(image, ax=axes[1:], label="local strain xx", location="bottom")
figure.savefig("fe2.png", dpi=150)

print(f"Newton's residuals: {', '.join(f'{r:.1e}' for r in residuals)}")
print(f"tangent of a cell against differences: {error:.1e}; largest Hill-Mandel residual: {hill:.1e}")
print(f"force {force:.6f}; homogenized once, at no strain: {linear:.6f} ({100 * (linear / force - 1):+.1f} %)")
print(f"order of Newton's iteration: {order:.2f}, expected 2 within 0.2")
assert abs(order - 2) < 0.2
assert max(error, hill) < 1e-8

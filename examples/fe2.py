"""FE2: a notched strip whose every quadrature point holds a cell of voxels, with a matrix that stiffens as it is strained.

The matrix has the energy K tr^2/2 + G d2 + b d2^2: Hooke's law, and a term that counts at strains of some per cent. Effective
properties do not exist beforehand: they depend on the strain of the point. Homogenized once, at no strain, the strip would be
softer, and how much so is what two-way coupling is worth here.
"""

import argparse
import time

import numpy as np
import skfem

from phasefield.mechanics import Options
from phasefield.mechanics.nonlinear import NonlinearCell
from phasefield.mechanics.potentials import Expression, Quadratic
from phasefield.mechanics.tensors import isotropic_stiffness
from phasefield.upscale.macro import CellMicro, Homogenized, MacroModel, Scales, tangent_error

MATRIX = Expression("K*tr**2/2 + G*d2 + b*d2**2", elastic=True, parameters={"K": 1.0, "G": 0.5, "b": 40.0})
FIBRE = Quadratic(isotropic_stiffness(10.0, 6.0))
LENGTH, HEIGHT, PULL = 2.0, 1.0, 0.08


def cell(n=12):
    """An inclined fibre in a matrix."""
    x = (np.arange(n) + 0.5) / n - 0.5
    x, y = np.meshgrid(x, x, indexing="ij")
    inside = ((x + y) / 0.75) ** 2 + ((y - x) / 0.4) ** 2 < 1
    options = Options(scheme="rotated", tolerance=1e-10, threads=1, device="cpu")
    return NonlinearCell(inside.astype(np.int32), [MATRIX, FIBRE], options=options)


def strip(fine=1):
    """A strip that gets narrower in the middle."""
    x, y = np.linspace(0, LENGTH, 6 * fine + 1), np.linspace(0, HEIGHT, 2 * fine + 1)
    mesh = skfem.MeshQuad.init_tensor(x, y)
    points = mesh.p.copy()
    narrow = 1 - 0.4 * np.exp(-(((points[0] - LENGTH / 2) / 0.4) ** 2))
    points[1] = HEIGHT / 2 + (points[1] - HEIGHT / 2) * narrow
    return skfem.Basis(skfem.MeshQuad(points, mesh.t), skfem.ElementVector(skfem.ElementQuad1()), intorder=2)


def main(workers=1, kind="processes", picture=None, voxels=12):
    """Force on the strip, that of the strip of linear material, the tangent's error, the residuals, and Hill-Mandel's."""
    micro, basis = CellMicro(cell(voxels)), strip()
    error = tangent_error(micro, np.array([0.05, -0.02, 0.03]))
    print(f"tangent of a cell against differences: {error:.1e}")
    left, right = (basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9).all() for at in (0.0, LENGTH))
    pulled = basis.get_dofs(lambda x: np.abs(x[0] - LENGTH) < 1e-9).all("u^1")
    values = np.zeros(basis.N)
    values[pulled] = PULL
    fixed = np.concatenate([left, right])

    began = time.perf_counter()
    with MacroModel(basis, micro, workers, kind, scales=Scales(micro_length=0.01, macro_length=0.6)) as model:
        found = model.solve(values, fixed)
    seconds = time.perf_counter() - began
    force = found.forces[pulled].sum()
    linear = Homogenized(micro.solve(np.zeros(3)).tangent)
    without = MacroModel(basis, linear).solve(values, fixed).forces[pulled].sum()
    print(
        f"{model.points.count} cells, {seconds:.1f} s, Newton's residuals: {', '.join(f'{r:.1e}' for r in found.residuals)}"
    )
    print(f"Hill-Mandel residual, largest of all points: {np.nanmax(found.hill):.1e}")
    print(f"force {force:.6f}; homogenized once, at no strain: {without:.6f} ({100 * (without / force - 1):+.1f} %)")
    if picture:
        draw(picture, basis, model, found, micro)
    return force, without, error, found.residuals, float(np.nanmax(found.hill))


def draw(path, basis, model, found, micro):
    """The strip with the strain along x, and the cells at its least and most strained points with their local strains."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), width_ratios=[2, 1, 1], layout="constrained")
    place, strain = model.elements.places, found.strain[:, 0]
    x, y = basis.mesh.p + found.values[basis.nodal_dofs]
    for a, b in basis.mesh.facets.T:
        axes[0].plot(x[[a, b]], y[[a, b]], color="0.7", lw=0.8, zorder=0)
    moved = place + np.moveaxis(np.asarray(basis.interpolate(found.values)), 0, -1).reshape(-1, 2)
    points = axes[0].scatter(*moved.T, c=strain, s=28)
    figure.colorbar(points, label="mean strain xx")
    ends = (int(strain.argmin()), int(strain.argmax()))
    fields = []
    for point in ends:
        state = model.points.states[point]
        mean = np.zeros(6)
        mean[list(micro.components)] = state.gradient
        local = micro.cell.strain(state.fluctuation, mean)[:, 0]
        fields.append(local.reshape(micro.cell.index.shape).T)
    limits = {"vmin": min(map(np.min, fields)), "vmax": max(map(np.max, fields))}
    for ax, point, field, word in zip(axes[1:], ends, fields, ("least", "most"), strict=True):
        image = ax.imshow(field, origin="lower", **limits)
        ax.set(title=f"cell, {word} strained", xticks=[], yticks=[])
        axes[0].annotate(word, moved[point], textcoords="offset points", xytext=(0, 7), ha="center")
    figure.colorbar(image, ax=axes[1:], label="local strain xx")
    axes[0].set(aspect="equal", xlabel="x", ylabel="y", title="strip, a cell in every point")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workers", type=int, default=1, help="points solved at a time")
    options.add_argument("--kind", default="processes", choices=["processes", "threads"])
    options.add_argument("--picture", help="file of a picture")
    options.add_argument("--voxels", type=int, default=12, help="along the edge of a cell")
    given = options.parse_args()
    main(given.workers, given.kind, given.picture, given.voxels)

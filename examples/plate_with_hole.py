"""A plate with a hole, of a composite with inclined fibres: the homogenized tensor in scikit-fem and, as a card, in CalculiX.

The same mesh and elements, so that both programs must give the same displacements and the same peak stress. The tensor has
no axis of symmetry along the plate's: a wrong order of components would show.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import skfem

from phasefield.homogenize.command import run as homogenize
from phasefield.upscale.export import Export, export
from phasefield.upscale.macro import Homogenized, MacroModel, Scales
from phasefield.upscale.macro.calculix import solve as calculix

MATERIAL = """
name: inclined fibres
phases:
  matrix: {stiffness: {E: 3 GPa, nu: 0.35}}
  fibre: {stiffness: {E: 70 GPa, nu: 0.22}}
"""
WIDTH, THICKNESS, RADIUS, PULL = 100.0, 4.0, 15.0, 10.0  # mm, MPa


def microstructure(n=64):
    """Elongated inclusions at 30 degrees, periodic; 0 is matrix."""
    x = (np.arange(n) + 0.5) / n - 0.5
    x, y = np.meshgrid(x, x, indexing="ij")
    inside = np.zeros((n, n), bool)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            u, v = x - i, y - j
            along, across = u * np.cos(np.pi / 6) + v * np.sin(np.pi / 6), v * np.cos(np.pi / 6) - u * np.sin(np.pi / 6)
            inside |= (along / 0.47) ** 2 + (across / 0.22) ** 2 < 1
    return inside.astype(np.uint8)


def plate(around=24, outwards=6):
    """Bricks around the hole, one over the thickness."""
    angle = 2 * np.pi * np.arange(around) / around
    direction = np.array([np.cos(angle), np.sin(angle)])
    hole, edge = RADIUS * direction, WIDTH / 2 * direction / np.abs(direction).max(axis=0)
    share = np.linspace(0, 1, outwards + 1) ** 1.5
    rings = hole[:, None] + share[:, None] * (edge - hole)[:, None]  # (2, rings, around)
    flat = rings.reshape(2, -1)
    points = np.concatenate([np.vstack([flat, np.full(flat.shape[1], z)]) for z in (0.0, THICKNESS)], axis=1)
    corners = []
    for a, b, c in [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]:
        r, t = np.meshgrid(np.arange(outwards) + a, (np.arange(around) + b) % around, indexing="ij")
        corners.append((r * around + t + c * flat.shape[1]).ravel())
    return skfem.MeshHex(points, np.array(corners))


def mises(stress):
    """Von Mises stress of Mandel vectors (..., 6)."""
    deviator = stress - stress[..., :3].mean(axis=-1, keepdims=True) * np.array([1, 1, 1, 0, 0, 0])
    return np.sqrt(1.5 * (deviator**2).sum(axis=-1))


def main(folder, around=24, outwards=6):
    """Displacement and peak stress of both programs, and their largest relative differences (None without CalculiX)."""
    folder = Path(folder)
    np.save(folder / "fibres.npy", microstructure())
    (folder / "material.yaml").write_text(MATERIAL)
    keys = [f"material={folder}/material.yaml", "spacing=1um", "descriptors=false", "mixing=false"]
    source, _, _ = homogenize(folder / "fibres.npy", keys)
    (card,), record, _ = export(source, Export(format="calculix", units="mm-t-s", name="fibres"))
    stiffness = record.properties["stiffness"].mandel / 1e6  # MPa

    basis = skfem.Basis(plate(around, outwards), skfem.ElementVector(skfem.ElementHexS2()), intorder=5)
    right = skfem.FacetBasis(
        basis.mesh, basis.elem, facets=basis.mesh.facets_satisfying(lambda x: x[0] > WIDTH / 2 - 1e-6)
    )
    load = skfem.LinearForm(lambda v, w: PULL * v[0]).assemble(right)
    x, y, z = basis.doflocs
    direction = np.empty(basis.N, int)
    direction[basis.element_dofs] = (np.arange(basis.Nbfun) % 3)[:, None]
    left = x < -WIDTH / 2 + 1e-6
    held = (left & (direction == 0)) | (left & (np.abs(y) < 1e-6) & (direction == 1)) | ((z < 1e-6) & (direction == 2))
    fixed, zero = np.flatnonzero(held), np.zeros(basis.N)

    scales = Scales(micro_length=0.064, macro_length=RADIUS)
    found = MacroModel(basis, Homogenized(stiffness), scales=scales).solve(zero, fixed, load)
    stretch, peak = np.abs(found.values).max(), mises(found.flux).max()
    print(f"scikit-fem: {basis.N} dofs, largest displacement {stretch:.6g} mm, peak stress {peak:.6g} MPa")
    if shutil.which("ccx") is None:
        print("CalculiX (ccx) is not installed")
        return stretch, peak, None, None
    other = calculix(basis, Path(card).read_text(), zero, fixed, load, folder)
    there = mises(other.stress).max()
    apart = np.abs(other.values - found.values).max() / stretch
    print(f"CalculiX:   largest displacement {np.abs(other.values).max():.6g} mm, peak stress {there:.6g} MPa")
    print(f"apart by {apart:.1e} (displacement), {abs(there / peak - 1):.1e} (peak stress)")
    return stretch, peak, apart, abs(there / peak - 1)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", nargs="?", help="where files are written and kept")
    where = options.parse_args().folder
    if where:
        Path(where).mkdir(parents=True, exist_ok=True)
        main(where)
    else:
        with tempfile.TemporaryDirectory() as made:
            main(made)

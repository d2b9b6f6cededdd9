"""A plate with a hole, of a composite with inclined fibres: the homogenized tensor in scikit-fem and, as a card, in CalculiX.

    ∇·σ = 0,   σ = C* : ε,   |u_CalculiX - u_scikit-fem| = 0

One mesh of 20-node bricks for both, so that they must give the same displacements and the same peak stress. The tensor has no
axis of symmetry along the plate's: a wrong order of components would show. Needs CalculiX: apt install calculix-ccx.

Run time: 4 s on 2 cores. Picture: plate_with_hole.png
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import skfem

from phasefield.homogenize.command import run as homogenize
from phasefield.upscale.export import Export, export
from phasefield.upscale.macro import Homogenized, MacroModel, Scales
from phasefield.upscale.macro.calculix import solve as calculix

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
AROUND, OUTWARDS = (12, 3) if QUICK else (24, 6)
WIDTH, THICKNESS, RADIUS, PULL = 100.0, 4.0, 15.0, 10.0  # mm, MPa
MATERIAL = """
phases:
  matrix: {stiffness: {E: 3 GPa, nu: 0.35}}
  fibre: {stiffness: {E: 70 GPa, nu: 0.22}}
"""

# The microstructure: fibres of elliptic section at 30 degrees, periodic.
x = (np.arange(64) + 0.5) / 64 - 0.5
x, y = (
    c[..., None, None] - np.arange(-1, 2)[s]
    for c, s in zip(np.meshgrid(x, x, indexing="ij"), ((..., None), (None, ...)), strict=True)
)
along, across = x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6), y * np.cos(np.pi / 6) - x * np.sin(np.pi / 6)
fibres = ((along / 0.47) ** 2 + (across / 0.22) ** 2 < 1).any(axis=(2, 3)).astype(np.uint8)

# The mesh: bricks around the hole, one over the thickness.
angle = 2 * np.pi * np.arange(AROUND) / AROUND
direction = np.array([np.cos(angle), np.sin(angle)])
hole, edge = RADIUS * direction, WIDTH / 2 * direction / np.abs(direction).max(axis=0)
rings = (hole[:, None] + (np.linspace(0, 1, OUTWARDS + 1) ** 1.5)[:, None] * (edge - hole)[:, None]).reshape(2, -1)
points = np.concatenate([np.vstack([rings, np.full(rings.shape[1], z)]) for z in (0.0, THICKNESS)], axis=1)
r, t = np.meshgrid(np.arange(OUTWARDS), np.arange(AROUND), indexing="ij")
corners = [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
bricks = [((r + a) * AROUND + (t + b) % AROUND + c * rings.shape[1]).ravel() for a, b, c in corners]
basis = skfem.Basis(skfem.MeshHex(points, np.array(bricks)), skfem.ElementVector(skfem.ElementHexS2()), intorder=5)

# Pulled on the right, held on the left; one point of it and the plate's back are kept from moving sideways.
facets = basis.mesh.facets_satisfying(lambda x: x[0] > WIDTH / 2 - 1e-6)
load = skfem.LinearForm(lambda v, w: PULL * v[0]).assemble(skfem.FacetBasis(basis.mesh, basis.elem, facets=facets))
x, y, z = basis.doflocs
component = np.empty(basis.N, int)
component[basis.element_dofs] = (np.arange(basis.Nbfun) % 3)[:, None]
left = x < -WIDTH / 2 + 1e-6
held = (left & (component == 0)) | (left & (np.abs(y) < 1e-6) & (component == 1)) | ((z < 1e-6) & (component == 2))
fixed, zero = np.flatnonzero(held), np.zeros(basis.N)


def mises(stress):
    """Von Mises stress of Mandel vectors (..., 6)."""
    deviator = stress - stress[..., :3].mean(axis=-1, keepdims=True) * np.array([1, 1, 1, 0, 0, 0])
    return np.sqrt(1.5 * (deviator**2).sum(axis=-1))


with tempfile.TemporaryDirectory() as folder:
    np.save(f"{folder}/fibres.npy", fibres)
    Path(folder, "material.yaml").write_text(MATERIAL)
    keys = [f"material={folder}/material.yaml", "spacing=1um", "descriptors=false", "mixing=false"]
    source, _, _ = homogenize(f"{folder}/fibres.npy", keys)
    (card,), record, _ = export(source, Export(format="calculix", units="mm-t-s", name="fibres"))
    stiffness = record.properties["stiffness"].mandel / 1e6  # MPa
    model = MacroModel(basis, Homogenized(stiffness), scales=Scales(micro_length=0.064, macro_length=RADIUS))
    ours = model.solve(zero, fixed, load)
    theirs = calculix(basis, Path(card).read_text(), zero, fixed, load, folder)
stretch, peak = np.abs(ours.values).max(), mises(ours.flux).max()
apart, peaks_apart = np.abs(theirs.values - ours.values).max() / stretch, abs(mises(theirs.stress).max() / peak - 1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained", gridspec_kw={"wspace": 0.08})
left.imshow(fibres.T, origin="lower", cmap="cividis", extent=(0, 64, 0, 64))
left.set(xlabel="x, µm", ylabel="y, µm", title="a cell of the composite")
places, stress = model.elements.places.reshape(-1, 3), mises(ours.flux).ravel()
grid = (r * AROUND + t).ravel()
quads = np.stack(
    [grid, (r * AROUND + (t + 1) % AROUND).ravel(), ((r + 1) * AROUND + (t + 1) % AROUND).ravel(), grid + AROUND]
)
moved = rings + 50 * ours.values[basis.nodal_dofs[:2, : rings.shape[1]]]
mean = stress.reshape(len(grid), -1).mean(axis=1)
image = right.tripcolor(*moved, np.hstack([quads[[0, 1, 2]], quads[[0, 2, 3]]]).T, np.tile(mean, 2), cmap="magma")
figure.colorbar(image, ax=right, label="von Mises stress, MPa")
right.set(aspect="equal", xlabel="x, mm", ylabel="y, mm", title="pulled along x, enlarged 50 times")
figure.savefig("plate_with_hole.png", dpi=150)

print(f"largest displacement {stretch:.6g} mm, peak stress {peak:.6g} MPa, apart by {peaks_apart:.1e}")
print(f"displacements of CalculiX against scikit-fem: apart by {apart:.1e}, expected 0 within 1e-5")
assert max(apart, peaks_apart) < 1e-5

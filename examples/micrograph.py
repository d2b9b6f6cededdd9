"""From a micrograph to a stiffness: the picture of a microscope, and finite elements of another program on the same pixels.

    ∇·σ = 0,   σ = C(x) : (ε̄ + ∇ˢũ),   <σ> = C* : ε̄,   ũ = 0 on the faces

An electron micrograph of nanoporous gold, its pores filled with epoxy (tests/data tells its source). Bilinear elements of
scikit-fem, one a pixel, with their direct solver must give the same C*, here under displacements that are linear on the faces.

Run time: 9 s on 2 cores. Picture: micrograph.png
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import skfem
from PIL import Image
from skfem.models.elasticity import linear_elasticity

from phasefield.homogenize import Settings, build, homogenize, read_file

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, THRESHOLD = 32 if QUICK else 192, 115.5
LAME = {"epoxy": (2.9, 1.24), "gold": (145.0, 27.8)}  # λ and μ in GPa

picture = (
    Image.open(Path(__file__).parents[1] / "tests" / "data" / "nanoporous_gold.png").convert("L").crop((0, 0, N, N))
)
with tempfile.TemporaryDirectory() as folder:
    picture.save(f"{folder}/gold.png")
    image = read_file(Path(f"{folder}/gold.png"), levels=[94, 137])  # grey values of epoxy and gold
material = build({"phases": {name: {"stiffness": {"lambda": a, "G": b}} for name, (a, b) in LAME.items()}})
settings = Settings(voxel="sharp", boundary="kinematic", two_grid=False, mixing=False, fields=True)
(result,) = homogenize(image, material, settings)
ours = result.tensor[0, 0]

# The same by scikit-fem; of a picture columns are x and rows y upwards.
grey = np.asarray(picture, float)[::-1].T
edges = np.arange(N + 1.0)
mesh = skfem.MeshQuad.init_tensor(edges, edges)
basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad1()), intorder=2)
column, row = mesh.p[:, mesh.t].mean(axis=1).astype(int)
gold = (grey > THRESHOLD)[column, row]
lam, mu = (np.where(gold, LAME["gold"][i], LAME["epoxy"][i])[:, None] * np.ones(basis.dx.shape[1]) for i in (0, 1))


@skfem.BilinearForm
def elasticity(u, v, w):
    return linear_elasticity(w["lam"], w["mu"]).form(u, v, w)


matrix = elasticity.assemble(basis, lam=lam, mu=mu)
stretch = basis.project(lambda x: np.array([x[0], 0 * x[1]]))  # mean strain xx = 1
theirs = stretch @ matrix @ (u := skfem.solve(*skfem.condense(matrix, x=stretch, D=basis.get_dofs()))) / N**2

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained", gridspec_kw={"wspace": 0.08})
axes[0].imshow(grey.T, origin="lower", cmap="gray", extent=(0, 1.09 * N, 0, 1.09 * N))
axes[0].contour(
    1.09 * (np.arange(N) + 0.5), 1.09 * (np.arange(N) + 0.5), grey.T, [THRESHOLD], colors="gold", linewidths=0.7
)
axes[0].set(xlabel="x, nm", ylabel="y, nm", title="nanoporous gold")
stress = result.fields["stress"][0].reshape(-1, N, N)[0]
shown = axes[1].imshow(
    stress.T, origin="lower", cmap="magma", vmin=0, vmax=np.percentile(stress, 99), extent=(0, 1.09 * N, 0, 1.09 * N)
)
figure.colorbar(shown, ax=axes[1], label="stress xx / mean strain xx, GPa")
axes[1].set(xlabel="x, nm", title="stretched along x")
figure.savefig("micrograph.png", dpi=150)

print(f"C11: {ours:.5f} GPa, expected {theirs:.5f} GPa (scikit-fem) within 0.01 %")
assert abs(ours / theirs - 1) < 1e-4

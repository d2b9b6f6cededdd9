"""Separation of scales: a panel of m x m resolved tiles against the panel of homogenized material.

    u_homogenized/u_resolved - 1 = O(l/L),   l/L = 1/m

The left edge is held, the right one sheared; at the free edges the tiles feel that they have no neighbours. The homogenized
tensor is that of the very elements the tiles are made of, so that nothing differs but the separation of scales.

Run time: 5 s on 2 cores. Picture: scales.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import skfem

from phasefield.mechanics import CellProblem, Options
from phasefield.mechanics.tensors import isotropic_stiffness
from phasefield.upscale.macro import Homogenized, Scales
from phasefield.upscale.macro.elements import Elements

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
COUNTS, TILE = [2, 4, 8] if QUICK else [2, 4, 8, 16], 12  # elements along the edge of a tile
PHASES = np.stack([isotropic_stiffness(1.0, 0.6), isotropic_stiffness(10.0, 6.0)])

tile = np.zeros((TILE, TILE), np.int32)  # a stiff square with a short arm on one side, in a soft matrix
tile[3:9, 3:9] = tile[5:7, 9:11] = 1
cell = CellProblem(tile, PHASES, (1.0, 1.0), Options(tolerance=1e-8, threads=1, device="cpu"))
tensor = Homogenized.of(np.stack([cell.solve(unit).mean for unit in np.eye(6)]), 2).tensor


def panel(n, element, order):
    edges = np.linspace(0, 1, n + 1)
    return Elements(skfem.Basis(skfem.MeshQuad.init_tensor(edges, edges), skfem.ElementVector(element), intorder=order))


def compliance(elements, tangent):
    """Work of a unit shear force on the right edge of a unit panel that is held on the left, and the displacements."""
    basis = elements.basis
    right = skfem.FacetBasis(basis.mesh, basis.elem, facets=basis.mesh.facets_satisfying(lambda x: x[0] > 1 - 1e-9))
    load = skfem.LinearForm(lambda v, w: -v[1]).assemble(right)
    held = basis.get_dofs(lambda x: x[0] < 1e-9)
    u = skfem.solve(*skfem.condense(elements.stiffness(tangent), load, D=held))
    return float(load @ u), u


whole = panel(48, skfem.ElementQuad2(), 4)
reference, _ = compliance(whole, np.broadcast_to(tensor, (whole.points, 3, 3)))
errors, shown = {}, None
for m in COUNTS:
    resolved = panel(m * TILE, skfem.ElementQuad1(), 2)
    mesh = resolved.basis.mesh
    column, row = np.floor(mesh.p[:, mesh.t].mean(axis=1) * m * TILE).astype(int) % TILE
    table = np.stack([Homogenized.of(each, 2).tensor for each in PHASES])
    work, u = compliance(resolved, np.repeat(table[tile[column, row]], resolved.points // mesh.nelements, axis=0))
    errors[m] = reference / work - 1
    warned = "; warns" if Scales(micro_length=1 / m, macro_length=1).warnings() else ""
    print(f"l/L = 1/{m:<2d}  homogenized against resolved {100 * errors[m]:+.2f} %{warned}")
    if m == 8:
        shown = mesh.p + 0.1 / np.abs(u).max() * u[resolved.basis.nodal_dofs], mesh.t, tile[column, row]
order = float(np.log2(errors[COUNTS[-2]] / errors[COUNTS[-1]]))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained", gridspec_kw={"wspace": 0.08})
points, corners, phase = shown
left.tripcolor(*points, np.hstack([corners[[0, 1, 2]], corners[[0, 2, 3]]]).T, np.tile(phase, 2), cmap="cividis")
left.set(aspect="equal", xlabel="x / L", ylabel="y / L", title="8 x 8 tiles, displacements enlarged")
m = np.array(COUNTS)
right.loglog(1 / m, [-100 * e for e in errors.values()], "o", color="C3", label="compliance too small by")
right.loglog(1 / m, -100 * errors[COUNTS[-1]] * COUNTS[-1] / m, "k--", lw=1, label="O(l/L)")
right.set(xlabel="l/L", ylabel="error of homogenization, %", xticks=1 / m, xticklabels=[f"1/{n}" for n in m])
right.minorticks_off()
right.legend()
figure.savefig("scales.png", dpi=150)

print(f"order of the error in l/L: {order:.2f}, expected 1 within 0.25")
assert abs(order - 1) < 0.25

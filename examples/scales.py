"""How far apart must scales be? A panel of m x m resolved tiles against the panel of homogenized material.

The left edge is held, the right edge pulled downwards; the other edges are free, and there the tiles feel that they have no
neighbours. The homogenized tensor is that of the very elements the tiles are made of, so that what differs is the separation
of scales alone: the error of the compliance is of the order l/L.
"""

import numpy as np
import skfem

from phasefield.mechanics import CellProblem, Options
from phasefield.mechanics.tensors import isotropic_stiffness
from phasefield.upscale.macro import Homogenized, Scales
from phasefield.upscale.macro.elements import Elements

TILE = 12  # elements along the edge of a tile
SOFT, STIFF = isotropic_stiffness(1.0, 0.6), isotropic_stiffness(10.0, 6.0)


def tile():
    """A stiff square with a short arm on one side, in a soft matrix; phases by element, along x and y."""
    phase = np.zeros((TILE, TILE), np.int32)
    phase[3:9, 3:9] = 1
    phase[5:7, 9:11] = 1
    return phase


def homogenized():
    """The plane-strain tensor (3, 3) of a tile, Mandel; ``q1`` is the bilinear element with full integration."""
    cell = CellProblem(tile(), np.stack([SOFT, STIFF]), (1.0, 1.0), Options(tolerance=1e-8, threads=1, device="cpu"))
    stiffness = np.stack([cell.solve(e).mean for e in np.eye(6)])
    return Homogenized.of((stiffness + stiffness.T) / 2, 2).tensor


def compliance(elements, tangent):
    """Work of a unit shear force on the right edge of a unit panel that is held on the left."""
    basis = elements.basis
    right = skfem.FacetBasis(basis.mesh, basis.elem, facets=basis.mesh.facets_satisfying(lambda x: x[0] > 1 - 1e-9))
    load = skfem.LinearForm(lambda v, w: -v[1]).assemble(right)
    held = basis.get_dofs(lambda x: x[0] < 1e-9)
    return float(load @ skfem.solve(*skfem.condense(elements.stiffness(tangent), load, D=held)))


def resolved(m):
    """The compliance of m x m tiles."""
    n = m * TILE
    edges = np.linspace(0, 1, n + 1)
    mesh = skfem.MeshQuad.init_tensor(edges, edges)
    elements = Elements(skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad1()), intorder=2))
    column, row = np.floor(mesh.p[:, mesh.t].mean(axis=1) * n).astype(int) % TILE
    table = np.stack([Homogenized.of(each, 2).tensor for each in (SOFT, STIFF)])
    return compliance(elements, np.repeat(table[tile()[column, row]], elements.points // mesh.nelements, axis=0))


def main(counts=(2, 4, 8, 16)):
    """Relative errors of the homogenized compliance, by l/L = 1/m."""
    edges = np.linspace(0, 1, 49)
    elements = Elements(
        skfem.Basis(skfem.MeshQuad.init_tensor(edges, edges), skfem.ElementVector(skfem.ElementQuad2()), intorder=4)
    )
    tensor = homogenized()
    reference = compliance(elements, np.broadcast_to(tensor, (elements.points, 3, 3)))
    errors = {}
    for m in counts:
        errors[m] = reference / resolved(m) - 1
        print(f"l/L = 1/{m:<2d}  homogenized against resolved {100 * errors[m]:+.2f} %", flush=True)
        for text in Scales(micro_length=1 / m, macro_length=1).warnings():
            print("  warning:", text.split(":")[0])
    order = -np.polyfit(np.log(counts), np.log(np.abs(list(errors.values()))), 1)[0]
    print(f"the error falls as (l/L)^{order:.2f}")
    return errors, order


if __name__ == "__main__":
    main()

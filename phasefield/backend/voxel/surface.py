"""The nodes on the soft side of an interface of laminate voxels, and an approximate solve on them alone.

A laminate voxel between two phases of high contrast is stiff along the interface and soft across it. Its nodes that touch no
pure voxel of the stiff phase therefore form a thin stiff shell that hangs on soft springs: a band of eigenvalues between
those of the phases, which the Green operator of a homogeneous medium cannot gather. The stiffness restricted to these nodes,
scaled by their own blocks, has a condition number that does not grow with the grid (at contrast 1000 about 70 for scalars
and 250 for displacements, measured), so that a few Chebyshev steps invert it well enough. Added to the Green operator
this is a two-space additive Schwarz preconditioner (Toselli and Widlund, Domain Decomposition Methods, Springer 2005, ch. 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .tensor_field import positions

if TYPE_CHECKING:
    from .cpu import CpuVoxelOperators, RowTensorField

#: Chebyshev steps, and upper over lower end of the interval they treat: twice the steps save hardly an iteration.
_DEGREE, _RATIO = 6, 60.0
#: Steps of the power iteration for the largest eigenvalue, and what its result is raised by.
POWER, MARGIN = 30, 1.1
_NEIGHBOURS = 27
#: Rows assembled at once.
_ROWS = 1 << 13
#: Mean squares of the polynomials 1, x, y, z, yz, xz, xy over a voxel.
_NORMS = np.array([1, 1 / 3, 1 / 3, 1 / 3, 1 / 9, 1 / 9, 1 / 9])
#: Per number of components, ``[i, k, j, l]``: where a packed tensor holds C_ikjl (of scalars K_kl).
_POSITION = {
    1: positions(3)[None, :, None, :],
    3: positions(6)[positions(3)[:, :, None, None], positions(3)],
}


def chebyshev(upper: float) -> list[tuple[float, float]]:
    """Coefficients ``c1, c2`` of every step ``step = c1 step + c2 (right - A y)``, the first one from y = 0.

    Args:
        upper: the largest eigenvalue of A.
    """
    lower = upper / _RATIO
    centre, half = (upper + lower) / 2, (upper - lower) / 2
    rho = half / centre
    out = [(0.0, 1 / centre)]
    for _ in range(_DEGREE - 1):
        after = 1 / (2 * centre / half - rho)
        out.append((after * rho, 2 * after / half))
        rho = after
    return out


class SurfaceSolver:
    """An approximate inverse of the stiffness between the nodes on the soft side of cut voxels.

    A fixed symmetric positive definite polynomial in the stiffness, as conjugate gradients need. The rows are kept as blocks
    in single precision (of a preconditioner that is enough): about 90 bytes a marked node in two dimensions and 170 in three
    for scalars, 350 and 740 for displacements; marked are about half of the nodes of cut voxels.

    Args:
        operators: of the grid, periodic.
        tensors: with cut voxels. stiff: size of every entry's tensor, (entries,).
    """

    def __init__(self, operators: CpuVoxelOperators, tensors: RowTensorField, stiff: np.ndarray) -> None:
        self._operators, self._loops = operators, operators.loops("surface_loops.py")
        nz = operators.shape[2]
        components = operators.components
        mark = np.empty(operators.shape, bool)
        entries = (len(tensors.tensor),)
        marking = (mark, tensors.index, np.asarray(stiff, float), tensors.whole)
        operators.call(self._loops.soft_side, marking, entries).run()
        nodes = np.flatnonzero(mark)
        self.nodes = len(nodes)
        number = np.full(mark.shape, -1, np.int32)
        number.reshape(-1)[nodes] = np.arange(self.nodes, dtype=np.int32)
        row = 2 * (nz // 2 + 1)  # of the padded fields
        self._at = nodes // nz * row + nodes % nz
        self._inverse = np.empty((self.nodes, components, components))
        starts, neighbours, blocks = [np.zeros(1, np.int64)], [], []
        for low in range(0, self.nodes, _ROWS):
            some = nodes[low : low + _ROWS]
            neighbour = np.full((len(some), _NEIGHBOURS), -1, np.int32)
            block = np.zeros((len(some), _NEIGHBOURS, components, components))
            shared = (number, tensors.index, tensors.tensor, tensors.whole, _POSITION[components])
            arrays = (some, *shared, operators.g.astype(float), _NORMS, neighbour, block)
            operators.call(self._loops.blocks, arrays, (len(some), *entries, operators.full), n=len(some)).run()
            own = neighbour == np.arange(low, low + len(some))[:, None]
            diagonal = block[own]
            free = diagonal[:, range(components), range(components)] == 0  # the third displacement of a sheet
            diagonal[:, range(components), range(components)] += free
            inverse = np.linalg.inv(diagonal)
            self._inverse[low : low + len(some)] = inverse
            used = neighbour >= 0
            starts.append(used.sum(axis=1))
            neighbours.append(neighbour[used])
            blocks.append((inverse[:, None] @ block)[used].astype(np.float32))
        self._start = np.cumsum(np.concatenate(starts))
        self._neighbour = np.concatenate(neighbours) if neighbours else np.zeros(0, np.int32)
        self._block = np.concatenate(blocks) if blocks else np.zeros((0, components, components), np.float32)
        self._dtype = operators.dtype
        self._work = self._buffers(1)
        self._steps = chebyshev(self._largest())

    def _buffers(self, loads: int) -> tuple[np.ndarray, ...]:
        """Residual, right-hand side, step, and two solutions of every load."""
        return tuple(np.zeros((5, loads, self.nodes, self._inverse.shape[1])))

    def _largest(self) -> float:
        """Largest eigenvalue of the scaled stiffness, from above."""
        zero, x, step, y, _ = self._work
        size = 1.0
        x[...] = np.random.default_rng(0).normal(size=x.shape)
        for _ in range(POWER if self.nodes else 0):
            step[...] = 0.0
            self._advance(zero, x, step, 0.0, -1.0, y)  # y = x + D^-1 A x
            y -= x
            size = float(np.linalg.norm(y) / np.linalg.norm(x))
            np.divide(y, np.linalg.norm(y), out=x)
        return MARGIN * size

    def _advance(self, right: Any, y: Any, step: Any, c1: float, c2: float, out: Any) -> None:
        arrays = (self._start, self._neighbour, self._block, right, y, step, out)
        integers = (self.nodes, len(self._block))
        call = self._operators.kept(self._loops.chebyshev, arrays, integers, len(y), scalars=2, n=self.nodes)
        call.scalars[:] = c1, c2
        call.run()

    def solve(self, w: np.ndarray) -> None:
        """Solves for the residual ``w`` (padded fields); the solution is kept for `add`."""
        if len(w) != len(self._work[0]):
            self._work = self._buffers(len(w))
        residual, right, step, solution, other = self._work
        residual[...] = w.reshape(*w.shape[:2], -1)[..., self._at].swapaxes(1, 2)
        np.einsum("ncd,lnd->lnc", self._inverse, residual, out=right)
        (_, first), *steps = self._steps
        np.multiply(right, first, out=step)
        solution[...] = step
        for c1, c2 in steps:
            self._advance(right, solution, step, c1, c2, other)
            solution, other = other, solution
        self._solution = solution

    def add(self, w: np.ndarray) -> np.ndarray:
        """Adds the solution to ``w``; returns its product with the residual, (loads,)."""
        w.reshape(*w.shape[:2], -1)[..., self._at] += self._solution.swapaxes(1, 2).astype(self._dtype)
        return np.einsum("lnc,lnc->l", self._work[0], self._solution)

    @property
    def nbytes(self) -> int:
        held = (self._at, self._inverse, self._start, self._neighbour, self._block)
        return sum(a.nbytes for a in (*held, *self._work))

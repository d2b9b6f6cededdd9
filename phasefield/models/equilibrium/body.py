"""The body of `phasefield.models.equilibrium` in numbers: its phases, its load, what it is made of on the mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from ...grid import Grid
from ...mechanics import tensors

Array = np.ndarray
Sums = Mapping[str, float]
#: The mean strains that are held (None where free), and the mean stresses given where they are, Mandel; and those at a time.
Held = tuple[Sequence[float | None], Sequence[float]]
Loading = Callable[[float], Held]

#: Beyond 0 and 1, the most that the interpolation of stiffness goes on.
_MARGIN = 0.1
#: Largest slope and curvature of h on 0 <= eta <= 1: 15/8 and 10/sqrt(3).
SLOPE, BEND = 1.875, 5.7735


@dataclass(frozen=True)
class Part:
    """One phi_p.

    Attributes:
        phi: in the model's symbols. strain: stress-free strain where it is 1, Mandel. stiffness: there, Mandel (6, 6).
    """

    phi: sp.Expr
    strain: Array
    stiffness: Array


class Body:
    """What a body is made of and how it is held.

    Args:
        matrix: C_0, Mandel (6, 6); in plane stress that of the sheet. parts: what it is made of. load: what holds it; ``moved``:
            the same with something in every component that moves. dim: of the grid. thin: plane stress.

    Attributes:
        components: Mandel components that count. free: those of them whose mean strain is free. odd: shears that a wall makes
            odd. along: axes that displacements have components along. varying: components of the strain that vary in space.
        tops: squared wavenumbers beyond which a mode along an axis has no derivative. periodic: whether there are no walls.
    """

    def __init__(self, matrix: Array, parts: Sequence[Part], load: Loading, moved: Held, dim: int, thin: bool) -> None:
        self.matrix, self.parts, self.load, self.dim = matrix, parts, load, dim
        held, stress = moved
        self.components = [0, 1, 5] if thin else list(range(6))
        self.free = [c for c in self.components if held[c] is None]
        self.tops, self.odd, self.periodic = [math.inf] * dim, set[int](), False
        apart = dim < 3 and not thin and not self._coupled(held, stress)
        self.along = list(range(dim)) if thin or apart else [0, 1, 2]
        self.varying = [c for c, pair in enumerate(tensors.PAIRS) if set(pair) <= set(self.along) and min(pair) < dim]

    def between(self, grid: Grid) -> None:
        """Takes note of the boundaries. About walls a shear is odd: its mean over the mirror images is 0, its stress's too."""
        walls = {axis for axis, boundary in enumerate(grid.boundary) if boundary != "periodic"}
        cycles = [(1 if axis in walls else 2) * math.pi / length for axis, length in enumerate(grid.lengths)]
        highest = [
            n if axis in walls else n // 2 if n % 2 == 0 and n > 1 else math.inf for axis, n in enumerate(grid.shape)
        ]
        self.periodic = not walls
        self.tops = [(cycle * (mode - 0.5)) ** 2 for cycle, mode in zip(cycles, highest, strict=True)]
        self.odd = {c for c, pair in enumerate(tensors.PAIRS) if c > 2 and walls & set(pair)}
        self.free = [c for c in self.free if c not in self.odd]

    def _coupled(self, held: Sequence[float | None], stress: Sequence[float]) -> bool:
        """Whether displacements across a plane (or a line) follow from strains in it."""
        plane = [0, 1, 2, 5] if self.dim == 2 else [0, 1, 2, 3]
        across = [c for c in range(6) if c not in plane]
        scale = np.abs(self.matrix).max()
        stiff = any(np.abs(c[np.ix_(plane, across)]).max() > 1e-9 * scale for c in self.stiffnesses)
        strains = any(np.abs(part.strain[across]).max() > 0 for part in self.parts)
        return stiff or strains or any(held[c] for c in across) or any(stress[c] for c in across)

    @property
    def stiffnesses(self) -> list[Array]:
        return [self.matrix, *(part.stiffness for part in self.parts)]

    def weight(self, part: Part, phi: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """g and its derivative: at most a margin of phi beyond 0 and 1, half of what a stiffness bears."""
        contrast = 1.0
        body = np.ix_(self.components, self.components)
        for one, other in ((self.matrix, part.stiffness), (part.stiffness, self.matrix)):
            root = np.linalg.inv(np.linalg.cholesky(one[body]))
            contrast = max(contrast, float(np.linalg.eigvalsh(root @ other[body] @ root.T)[-1]))
        margin = min(_MARGIN, 0.5 / (len(self.parts) * max(contrast - 1.0, 1e-9)))
        below, above = 1 / (1 - phi / margin), 1 / (1 + (phi - 1) / margin)
        value = sp.Piecewise((phi * below, phi < 0), (1 + (phi - 1) * above, phi > 1), (phi, True))
        slope = sp.Piecewise((below**2, phi < 0), (above**2, phi > 1), (1, True))
        return value, slope

    @property
    def constants(self) -> dict[str, float]:
        """Kernel arguments: stiffness of the matrix, what phases differ by, stress-free strains."""
        found: dict[str, float] = {}
        for name, tensor in (
            ("0", self.matrix),
            *((str(p + 1), part.stiffness - self.matrix) for p, part in enumerate(self.parts)),
        ):
            scale = max(np.abs(c).max() for c in self.stiffnesses)
            for a in self.components:
                for b in self.components:
                    if a <= b and abs(tensor[a, b]) > 1e-14 * scale:
                        found[f"elastic_c{name}_{a}{b}"] = float(tensor[a, b])
        for p, part in enumerate(self.parts):
            found |= {f"elastic_e{p}_{a}": float(part.strain[a]) for a in self.components if part.strain[a]}
        reference = self._reference()
        reference |= {f"top_{axis}": top for axis, top in enumerate(self.tops) if math.isfinite(top)}
        return found | {f"elastic_r_{name}": v for name, v in reference.items()}

    @cached_property
    def _reference_stiffness(self) -> Array:
        """The orthotropic part of the mean of the stiffnesses, that the Green operator is of, (6, 6)."""
        reference, places = np.zeros((6, 6)), [(i, j) for i in range(6) for j in range(6) if i == j or max(i, j) < 3]
        for place in places:
            reference[place] = np.mean(self.stiffnesses, axis=0)[place]
        return reference

    @cached_property
    def spectrum(self) -> tuple[float, float]:
        """Bounds of the spectrum with the Green operator: how soft and how stiff phases are beside its reference."""
        body = np.ix_(self.components, self.components)
        root = np.linalg.inv(np.linalg.cholesky(self._reference_stiffness[body]))
        values = [np.linalg.eigvalsh(root @ c[body] @ root.T) for c in self.stiffnesses]
        return float(min(v[0] for v in values)) / (1 + _MARGIN), float(max(v[-1] for v in values)) * (1 + _MARGIN)

    def _reference(self) -> dict[str, float]:
        """Orthotropic part of the mean of the stiffnesses, over its largest entry: what the Green operator is of."""
        mean = np.mean(self.stiffnesses, axis=0)
        full = tensors.to_voigt(mean)
        place = {pair: c for c, pair in enumerate(tensors.PAIRS)} | {
            (j, i): c for c, (i, j) in enumerate(tensors.PAIRS)
        }
        scale = float(np.abs(full).max())
        found = {"scale": scale}
        for i in self.along:
            for j in range(self.dim):
                c = place[i, j]
                found[f"{i}{j}"] = float(full[c, c]) / scale
            for j in self.along:
                if i < j < self.dim:
                    found[f"m{i}{j}"] = float(full[i, j] + full[place[i, j], place[i, j]]) / scale
        return found

    def slope(self, p: int, linear: Sequence[bool], held: Sequence[float | None], stress: Sequence[float]) -> float:
        """A bound of the slope of the force on the field of a part: at strains that stay as they are, which is no less than when
        they follow, and as large as the misfit and the load make them.

        Args:
            linear: of every part, whether phi_p is its field; else h of it. held, stress: of the load.
        """
        body = np.ix_(self.components, self.components)
        softest = min(np.linalg.eigvalsh(c[body])[0] for c in self.stiffnesses)
        loaded = max(np.linalg.norm([v or 0.0 for v in held]), float(np.linalg.norm(stress)) / softest)

        def size(vector: Array, tensor: Array) -> float:
            """Root of vector : tensor : vector."""
            return math.sqrt(max(float(vector @ tensor @ vector), 0.0))

        stiffest = max(self.stiffnesses, key=lambda c: float(np.trace(c)))
        top = float(np.linalg.eigvalsh(stiffest)[-1])
        sizes = [size(part.strain, stiffest) for part in self.parts]
        elastic = max(sizes) + loaded * math.sqrt(top)
        apart = []
        for part in self.parts:
            values = np.linalg.eigvalsh(part.stiffness - self.matrix)
            apart.append(float(np.abs(values).max()) / top * elastic)
        slopes = [1.0 if one else SLOPE for one in linear]
        pulls = [s * (size_ + a) for s, size_, a in zip(slopes, sizes, apart, strict=True)]
        bent = 0.0 if linear[p] else BEND * (elastic * (sizes[p] + apart[p] / 2))
        return pulls[p] * sum(pulls) + bent

    def means(self, found: Sums) -> tuple[Array, Array]:
        """Mean stiffness, and mean stress at no mean strain, of all components of the body, (6, 6) and (6,)."""
        n = found["cells"]
        mean = self.matrix.copy()
        for p, part in enumerate(self.parts):
            mean += found[f"share_{p}"] / n * (part.stiffness - self.matrix)
        stress = np.zeros(6)
        stress[self.components] = [found[f"stress_{a}"] / n for a in self.components]
        return mean, stress

    def relaxed(self, mean: Array, stress: Array, t: float) -> Array:
        """The mean strain that leaves the given stress where it is free, (6,)."""
        held, given = self.load(t)
        strain = np.array([0.0 if v is None else v for v in held])
        if free := self.free:
            rest = np.array(given, float)[free] - stress[free] - mean[free] @ strain
            strain[free] = np.linalg.solve(mean[np.ix_(free, free)], rest)
        return strain

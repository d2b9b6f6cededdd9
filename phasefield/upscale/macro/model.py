"""A macro-scale boundary value problem whose material is a microstructure in every quadrature point (FE2; Feyel and Chaboche,
Comput. Methods Appl. Mech. Eng. 183 (2000) 309).

    div flux(grad u) + b = 0,    u given on a part of the boundary

Newton's method with the consistent tangent of the microstructures; its steps are halved while the residual does not fall. With a
homogenized tensor it is a linear problem and takes one step.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConfigError, NotConverged
from ...mechanics.tensors import Array
from .elements import Elements, skfem
from .micro import Micro, check
from .points import Points
from .scales import Scales

log = logging.getLogger("phasefield")

_MOST_HALVINGS = 8


@dataclass(frozen=True)
class MacroSolution:
    """A macro-scale model in equilibrium.

    Attributes:
        values: nodal values (dofs,). strain, flux: at the quadrature points, (points, n), Mandel. forces: of the body on
            its nodes; where values are given, the reactions.
        residuals: norm of what is out of balance, relative to the forces, before every step and after the last.
        hill: Hill-Mandel residual of every point; NaN where microstructures have no local fields.
    """

    values: Array
    strain: Array
    flux: Array
    forces: Array
    residuals: tuple[float, ...]
    hill: Array


class MacroModel:
    """A mesh with a microstructure in every quadrature point.

    Args:
        basis: of scikit-fem, of scalar elements or `ElementVector`; its quadrature points are the points.
        micro: the microstructure, see `Micro`. workers, kind: see `Points`.
        scales: what the scales are, to be warned where they are not apart, see `Scales`.

    Raises:
        PhasefieldError: no scikit-fem. ConfigError: a microstructure with another number of components than the model.

    Use it in a ``with`` statement, or `close` it, where there are workers.
    """

    def __init__(
        self, basis: Any, micro: Micro, workers: int = 1, kind: str = "processes", scales: Scales | None = None
    ) -> None:
        self.elements = Elements(basis)
        check(micro, (self.elements.size,))
        if scales is not None:
            scales.warn()
        self.points = Points(micro, self.elements.points, workers, kind)

    def balance(self, values: Array) -> tuple[Array, Array, Array, Array]:
        """Strains, fluxes, tangents and nodal forces of nodal values."""
        strain = self.elements.strains(values)
        flux, tangent = self.points.solve(strain)
        return strain, flux, tangent, self.elements.force(flux)

    def solve(
        self,
        values: Array,
        fixed: Array,
        load: Array | None = None,
        start: Array | None = None,
        tolerance: float = 1e-8,
        hill_tolerance: float = 1e-6,
        max_steps: int = 25,
    ) -> MacroSolution:
        """Equilibrium; the points' states are accepted where it is found, and else as they were.

        Args:
            values: nodal values (dofs,), of which those of the dofs ``fixed`` count. load: nodal forces from outside.
            start: nodal values to start from; zero if None.
            tolerance: of the residual, relative to the forces. hill_tolerance: of the Hill-Mandel residual in each point.

        Raises:
            NotConverged: Newton's method, or a microstructure, which is named by its point; or a point misses Hill-Mandel.
            ConfigError: values of another shape, or whose first step leaves the domain of an energy.
        """
        values, dofs = np.asarray(values, float), self.elements.basis.N
        if values.shape != (dofs,):
            raise ConfigError("values", f"have the shape {values.shape}; ({dofs},) is expected")
        load = np.zeros(dofs) if load is None else np.asarray(load, float)
        try:
            solution = self._newton(values, np.unique(fixed), load, start, tolerance, max_steps)
            self._check_hill(solution, hill_tolerance)
        except BaseException:  # an interrupt too
            self.points.reject()
            raise
        self.points.accept()
        return solution

    def _newton(
        self, values: Array, fixed: Array, load: Array, start: Array | None, tolerance: float, most: int
    ) -> MacroSolution:
        fem = skfem()
        free = np.setdiff1d(np.arange(len(values)), fixed)
        u = np.zeros(len(values)) if start is None else np.array(start, float)
        given = np.zeros(len(values))
        given[fixed] = values[fixed] - u[fixed]
        residuals: list[float] = []
        strain, flux, tangent, forces = self.balance(u)
        while True:
            out = forces - load
            size = max(float(np.linalg.norm(out[fixed])), float(np.linalg.norm(load)), 1e-300)
            first = not residuals and given.any()
            residuals.append(1.0 if first else float(np.linalg.norm(out[free])) / size)
            log.debug("macro step %d: residual %.3g", len(residuals) - 1, residuals[-1])
            if residuals[-1] <= tolerance:
                return MacroSolution(u, strain, flux, forces, tuple(residuals), self.points.hill)
            if len(residuals) > most:
                raise NotConverged(f"the macro model stopped after {most} steps", "load in smaller steps", residuals)
            step = fem.solve(*fem.condense(self.elements.stiffness(tangent), -out, x=given, D=fixed))
            if first:  # what is given moves the boundary: nothing to compare a residual with
                u, given = u + step, np.zeros(len(values))
                strain, flux, tangent, forces = self.balance(u)
            else:
                u, (strain, flux, tangent, forces) = self._search(
                    u, step, load, free, float(np.linalg.norm(out[free])), residuals
                )

    def _search(
        self, u: Array, step: Array, load: Array, free: Array, before: float, residuals: list[float]
    ) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        """The step, halved until the residual falls."""
        share, reason = 1.0, "the residual falls no further"
        for _ in range(_MOST_HALVINGS):
            try:
                found = self.balance(u + share * step)
            except (NotConverged, ConfigError) as error:  # or outside the domain of an energy
                reason = str(error)
            else:
                if np.linalg.norm((found[3] - load)[free]) < before:
                    return u + share * step, found
            share /= 2
        raise NotConverged(f"the macro model: {reason}", "load in smaller steps", residuals)

    @staticmethod
    def _check_hill(solution: MacroSolution, tolerance: float) -> None:
        known = np.flatnonzero(~np.isnan(solution.hill))
        if len(known) and (most := float(solution.hill[known].max())) > tolerance:
            point = int(known[solution.hill[known].argmax()])
            raise NotConverged(
                f"point {point}: the Hill-Mandel residual is {most:.3g}, above {tolerance:g}",
                "lower the tolerance of the cell's solver",
            )

    def close(self) -> None:
        """Ends the workers."""
        self.points.close()

    def __enter__(self) -> MacroModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

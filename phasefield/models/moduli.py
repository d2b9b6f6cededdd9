"""B(n) in kernels: the energy of waves of stress-free strain in a body of one stiffness, by their direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..mechanics.coherent import CoherentBody, Polynomial
    from .terms.term import Waves


class Moduli:
    """B_pq of the modes of all phi_p and phi_q: a quotient of two polynomials in the direction, worked out in the kernel.

    Args:
        body: of which they are. axes: of the grid, along which alone there are waves. argument: makes kernel arguments.
        prefix: what the names of these begin with.
    """

    def __init__(self, body: CoherentBody, axes: int, argument: Callable[[str], Any], prefix: str = "elastic") -> None:
        self._body, self._axes, self._argument, self._prefix = body, axes, argument, prefix

    @cached_property
    def _polynomials(self) -> tuple[list[list[Polynomial]], Polynomial]:
        """Numerators and denominator of B; its largest coefficient is 1, for powers of a stiffness may be too large a number."""
        numerators, denominator = self._body.polynomials(self._axes)
        scale = max(map(abs, denominator.values()))

        def scaled(polynomial: Polynomial) -> Polynomial:
            return {monomial: c / scale for monomial, c in polynomial.items()}

        return [[scaled(numerator) for numerator in row] for row in numerators], scaled(denominator)

    @cached_property
    def largest(self) -> np.ndarray:
        """The largest B_pp, (parts,)."""
        return self._body.largest(self._axes)

    def _uniform(self, p: int, q: int) -> float | None:
        """B_pq where it is the same in all directions, as for dilatations of what is isotropic; else None."""
        numerators, denominator = self._polynomials
        numerator = numerators[p][q]
        most = max(denominator, key=lambda monomial: abs(denominator[monomial]))
        ratio = numerator.get(most, 0.0) / denominator[most]
        scale = 1e-11 * float(np.sqrt(self.largest[p] * self.largest[q]))
        same = all(abs(numerator.get(m, 0.0) - ratio * c) <= scale for m, c in denominator.items())
        return ratio if same and set(numerator) <= set(denominator) else None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        count = len(self._polynomials[0])
        return [(p, q) for p in range(count) for q in range(p, count)]

    @cached_property
    def constants(self) -> dict[str, float]:
        """Kernel arguments."""
        numerators, denominator = self._polynomials
        found = {self._coefficient("under", m): c for m, c in denominator.items()}
        for p, q in self.pairs:
            found[f"{self._prefix}_mean_{p}_{q}"] = float(self._body.mean_modulus[p, q])
            if (uniform := self._uniform(p, q)) is not None:
                found[f"{self._prefix}_wave_{p}_{q}"] = uniform
            else:
                found |= {self._coefficient(f"over_{p}_{q}", m): c for m, c in numerators[p][q].items()}
        return found

    def modulus(self, p: int, q: int, waves: Waves) -> Any:
        """B_pq of a mode, A_pq of the mean, p <= q."""
        mean = self._argument(f"{self._prefix}_mean_{p}_{q}")
        if self._uniform(p, q) is not None:
            return waves.uniform(mean, self._argument(f"{self._prefix}_wave_{p}_{q}"))
        from ..mechanics.coherent import value

        squares = [k2 * waves.inverse for k2 in waves.along]
        products = {
            (a, b): waves.signed[a] * waves.signed[b] * waves.inverse for a in range(3) for b in range(a + 1, 3)
        }

        def side(name: str, polynomial: Polynomial) -> Any:
            return value({m: self._argument(self._coefficient(name, m)) for m in polynomial}, squares, products)

        numerators, denominator = self._polynomials
        return waves.uniform(mean, side(f"over_{p}_{q}", numerators[p][q]) / side("under", denominator))

    def stresses(self, modes: Sequence[Any], waves: Waves) -> list[Any]:
        """B_pq phi_q of all p, by the modes of all phi_q."""
        from ..codegen import PerMode

        moduli = {pair: PerMode(self.modulus(*pair, waves)) for pair in self.pairs}
        members = range(len(modes))
        return [sum(moduli[min(p, q), max(p, q)] * modes[q] for q in members) for p in members]

    def _coefficient(self, side: str, monomial: tuple[int, int, int]) -> str:
        return f"{self._prefix}_{side}_{''.join(map(str, monomial))}"

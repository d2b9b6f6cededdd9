"""How a field follows its driving force: what multiplies dF/du, and whether the field's amount is kept.

With mu = dF/du the variational derivative, s a source and q(k) the mobility operator in modes,

    conserved:     u' = M lap(mu) + s      q = M k^2     (Cahn and Hilliard 1958; Cahn 1961)
    nonconserved:  u' = -M mu + s          q = M         (Allen and Cahn 1979)

Both are u' = -q mu + s in modes. They differ in where the mobility enters: a constant M may be multiplied in cells, before the
transform, and takes the source into the same channel then; k^2 may not, so that a source beside it needs a channel of its own.
A mobility that varies, u' = div(M grad mu) + s or -M mu + s, is a constant one in L and what `phasefield.models.transport` adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Kinetics(Protocol):
    """One kind of kinetics. Expressions are SymPy's, or numbers where only numbers come in.

    Attributes:
        name: as in a configuration.
        conserved: whether the mean of the field is changed by nothing but a source.
    """

    @property
    def name(self) -> str: ...

    @property
    def conserved(self) -> bool: ...

    def operator(self, mobility: Any, k2: Any) -> Any:
        """q, from the mobility and the squared wavenumber."""

    def law(self, mobility: Any, mu: Any, laplacian: Callable[[Any], Any]) -> Any:
        """The right-hand side without sources, in space."""

    def motion(self, mobilities: Sequence[Any], mu: Any, derivative: Callable[[Any, int], Any]) -> Any:
        """The same where the mobility varies, from one along every axis and the derivative along an axis."""

    def channels(self, mobility: Any, force: Any, source: Any | None) -> list[Any]:
        """What is evaluated in cells and transformed, so that `rate` makes N of it.

        Args:
            force: the part of mu that is not in L. source: None for none.
        """

    def rate(self, mobility: Any, k2: Any, channels: Sequence[Any]) -> Any:
        """N from the transformed channels."""


class _Conserved:
    """Diffusion down the gradient of mu."""

    name, conserved = "conserved", True

    def operator(self, mobility: Any, k2: Any) -> Any:
        return mobility * k2

    def law(self, mobility: Any, mu: Any, laplacian: Callable[[Any], Any]) -> Any:
        return mobility * laplacian(mu)

    def motion(self, mobilities: Sequence[Any], mu: Any, derivative: Callable[[Any, int], Any]) -> Any:
        return sum(derivative(m * derivative(mu, axis), axis) for axis, m in enumerate(mobilities))

    def channels(self, mobility: Any, force: Any, source: Any | None) -> list[Any]:
        return [force] if source is None else [force, source]

    def rate(self, mobility: Any, k2: Any, channels: Sequence[Any]) -> Any:
        force, *source = channels
        return -self.operator(mobility, k2) * force + sum(source)


class _Nonconserved:
    """Relaxation down mu."""

    name, conserved = "nonconserved", False

    def operator(self, mobility: Any, k2: Any) -> Any:
        return mobility

    def law(self, mobility: Any, mu: Any, laplacian: Callable[[Any], Any]) -> Any:
        return -mobility * mu

    def motion(self, mobilities: Sequence[Any], mu: Any, derivative: Callable[[Any, int], Any]) -> Any:
        return -mobilities[0] * mu

    def channels(self, mobility: Any, force: Any, source: Any | None) -> list[Any]:
        return [mobility * force - (0 if source is None else source)]

    def rate(self, mobility: Any, k2: Any, channels: Sequence[Any]) -> Any:
        (whole,) = channels
        return -whole


CONSERVED, NONCONSERVED = _Conserved(), _Nonconserved()

#: Kinetics by the name that ``model.fields.F.kinetics`` takes.
KINETICS: dict[str, Kinetics] = {k.name: k for k in (CONSERVED, NONCONSERVED)}

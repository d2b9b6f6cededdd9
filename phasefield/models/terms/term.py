"""What a term of a model is: its part of the energy with all that follows from it, its keys and their checks.

The configuration's schema takes the keys from here, and help must come at once: nothing in this package imports SymPy. Terms
compute with the symbols that they are handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from ...backend import Layout, Operation
    from ...grid import Grid
    from ..energy import EnergyModel
    from ..parameters import Course
    from ..reading import Reader


@dataclass(frozen=True)
class Waves:
    """What a term may know of a mode.

    Attributes:
        k2: squared wavenumber, 1/length^2. along: its parts along x, y and z. inverse: 1/k2, and 0 for the mean.
        signed: wavenumbers along x, y and z with their signs, 1/length, for products of two; where all axes are periodic. 0 at
            the highest mode of an even number of cells.
        uniform: ``uniform(a, b)`` is a for the mean and b for every other mode.
        weight: Parseval weight, such that the sum of weight |u|^2 is a mean over the cells.
        scale: the factor that an unnormalised forward transform lacks.
    """

    k2: Any
    along: Sequence[Any]
    inverse: Any
    signed: Sequence[Any]
    uniform: Callable[[Any, Any], Any]
    weight: Any
    scale: Any


class Term:
    """One term of a model; made for a model, once.

    What follows from a term is taken from five places, of which it fills those that it needs: ``density`` (energy that is local
    in cells; its derivative is the force), ``symbol`` (energy that is quadratic in modes), ``source`` (a rate that derives from
    no energy), and ``prepare`` with ``force``, or ``ahead`` with ``potential`` (energy that couples distant cells nonlinearly,
    evaluated by way of the cells of the state or of its modes).

    Attributes:
        name: of the term, an identifier; its energy is ``free_energy_NAME`` in history.nc.
        FieldKeys, ModelKeys: dataclasses of its keys under ``model.fields.F`` and under ``model``. In their fields' metadata
            ``expression`` marks text that is an expression of the model.
        followed: those of a field whose numbers the model gives as they are at the time at hand; others that depend on it are
            the term's own concern (``scalars``).
        title: the energy's name in words. energetic: whether it has one. signed: whether its symbol may be negative.
        temporaries: arrays that `prepare` uses, name -> components. memory: rings for warm starts that it
            fills, see `phasefield.integrators.memory`. Names should begin with that of the term.
        driven: whether it does work from outside, so that the free energy may rise. rates: expressions in t that steps follow.
        reduced: sums that kernels of `prepare` reduce, of ``cells_NAME`` and ``modes_NAME``.
        constants: kernel arguments of its own that never change, name -> value; `EnergyModel.argument` is their symbol.
        means: name -> what its observables need the mean of, in the model's symbols. variables: what they are in history.nc, name
            -> attributes.
        offers: fields that `derive` can make, for fields.nc: group -> name -> attributes. deriving: arrays that it uses besides
            the temporaries and the memory, name -> components.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    FieldKeys: ClassVar[type | None] = None
    ModelKeys: ClassVar[type | None] = None
    followed: ClassVar[Sequence[str]] = ()

    energetic: ClassVar[bool] = True
    signed: ClassVar[bool] = False
    temporaries: Mapping[str, int] = {}
    memory: Mapping[str, int] = {}
    driven: bool = False
    rates: Sequence[Any] = ()
    reduced: Sequence[str] = ()
    constants: Mapping[str, float] = {}
    means: Mapping[str, Any] = {}
    variables: Mapping[str, Mapping[str, str]] = {}
    offers: Mapping[str, Mapping[str, Mapping[str, str]]] = {}
    deriving: Mapping[str, int] = {}

    def __init__(self, model: EnergyModel) -> None:
        self.model = model

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        """The values of its keys for one field, checked; numbers >= 0 from expressions in the parameters, if not otherwise.

        Args:
            key: where the field stands, ``model.fields.F``. given: what stands there. reader: reads numbers and expressions.

        Raises:
            ConfigError, ExpressionError: with the key at fault.
        """
        return {name: reader.number(f"{key}.{name}", given.get(name, value)) for name, value in cls._defaults().items()}

    @classmethod
    def configure(cls, given: Mapping[str, Any], axes: int, reader: Reader) -> dict[str, Any]:
        """What the model keeps of its keys under ``model``, in `EnergyModel.settings`, checked.

        Args:
            given: what stands under ``model``. axes: of the grid. reader: reads numbers and expressions.

        Raises:
            ConfigError, ExpressionError: with the key at fault.
        """
        return {}

    @classmethod
    def courses(cls, settings: Mapping[str, Any]) -> Mapping[str, Course]:
        """What among its keys under ``model`` depends on time: parameters beside those that are configured, by names that begin
        with the term's. Steps follow them, and S covers their way: `EnergyModel.at` gives a model with their values.

        Args:
            settings: what `configure` has returned.
        """
        return {}

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuses what does not fit a grid.

        Args:
            given: field -> its keys as they are configured, to quote them.

        Raises:
            ConfigError, ExpressionError: with the key at fault.
        """

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        """Keys of its own that are set and that nothing heeds in a run to the time ``end``, given the others, and why.

        Args:
            given: as to `check`, which refuses what does not fit.
        """
        yield from ()

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {f.name: f.default for f in fields(cls.FieldKeys)} if cls.FieldKeys is not None else {}

    @property
    def active(self) -> bool:
        """Whether the model at hand has this term: whether some field has a key of it that is not as it is by default."""
        default = self._defaults()
        values = (f.values for f in self.model.order_parameters)
        return not default or any(found.get(name) != value for found in values for name, value in default.items())

    @property
    def density(self) -> Any | None:
        """Local energy density in the model's symbols."""
        return None

    def symbol(self, i: int, waves: Waves) -> Any | None:
        """A with the energy 1/2 sum A |u_i|^2 over the modes and the potential A u_i of component ``i``; goes to L.

        A >= 0, unless the term says that it is ``signed``.
        """
        return None

    def source(self, i: int) -> Any | None:
        """A rate added to the right-hand side of component ``i``, in the model's symbols and x, y, z, t."""
        return None

    def noise(self, i: int) -> Any | None:
        """kT of the thermal noise of component ``i``: an expression in the arguments of kernels, constant in space."""
        return None

    def tables(self, layout: Layout) -> Mapping[str, np.ndarray]:
        """Constants in every mode that `prepare` uses: name -> array of shape ``(components, *layout.modes)``."""
        return {}

    def scalars(self, t: float) -> Mapping[str, float]:
        """Kernel arguments of its own for what is evaluated at time ``t``, besides the model's; a symbol's must be constant."""
        return {}

    def curvature(self, i: int) -> float:
        """What S of component ``i`` has to cover besides the bulk's curvature: a bound of its force's slope, energy density."""
        return 0.0

    def measures(self, means: Mapping[str, float]) -> dict[str, float]:
        """The ``variables`` from the ``means``, and from what `look` told."""
        return {}

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        """Operations that fill the temporaries from the cells of the state in ``array``, which they leave alone.

        A reduction ``modes_NAME``, NAME the term's, in one of their kernels is its energy per volume; one ``cells_NAME`` is a sum
        of energy densities over the cells.
        """
        return []

    def ahead(self, array: str, waves: Waves) -> list[Operation]:
        """Operations that fill the temporaries from the modes of the state in ``array``, which they leave alone; reductions as of
        `prepare`.
        """
        return []

    def potential(self, i: int) -> Any | None:
        """What the term adds to dF/du_i in modes, not scaled as a forward transform leaves it, of the arrays of `ahead`."""
        return None

    def look(self, array: str, waves: Waves) -> list[Operation]:
        """Operations that tell what `measures` needs besides means: from the cells of a state in ``array`` and the memory that it
        was accepted with, both of which they leave alone. Temporaries are free to use.
        """
        return []

    def derive(self, names: Sequence[str], array: str, into: str, waves: Waves) -> list[Operation]:
        """Operations that fill the components of the array ``into`` by the fields of these names, of those that it offers, in
        cells; from the cells of a state and the memory that it was accepted with, as `look`.
        """
        return []

    def force(self, i: int) -> Any | None:
        """What the term adds to dF/du_i in cells, in the model's symbols and the arrays of `prepare`."""
        return None if self.density is None else self.density.diff(self.model.unknowns[i])


def keys_of(terms: Sequence[type[Term]], kind: str) -> tuple[type, ...]:
    """The dataclasses of keys of all terms, ``FieldKeys`` or ``ModelKeys``; as bases of a dataclass they follow one another."""
    return tuple(found for term in reversed(terms) if (found := getattr(term, kind)) is not None)

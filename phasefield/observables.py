"""Quantities of a state, reduced on the device.

An observable names reductions over cells and over modes and says how to combine them. All observables of a run share one pass
over the cells and one over the modes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from .backend import Apply, Backend, Compiled, Forward, Layout, cells_of
from .codegen import K2, WEIGHT, GradientNorm, Kernel, Reduction, array_symbol
from .errors import ConfigError
from .grid import Grid
from .models import EnergyModel
from .models.split import Energies, local, modal
from .models.terms import Term

Values = Mapping[str, float]

#: Fluctuations below so many roundings of the field are those of arithmetic: what is left of them has neither length nor area.
_ROUNDINGS = 100


@dataclass(frozen=True)
class Observable:
    """Reductions and what to make of them.

    Attributes:
        real, spectral: name -> reduction over cells or modes, with the state as `array_symbol` of ``u``.
        finish: reduced values -> variables; a value per component is an array. Among the values is ``rounding``, the relative
            error of a number of the state.
        attrs: variable -> attributes (``long_name``, ``units``); fields: variable -> field it has the components of.
        measure: what no reduction gives, from the cells on the host, shape ``(components, *grid.shape)``. It may take many times
            as long as a step; by default a run calls it for its snapshots only, and other rows of the history hold NaN.
        whole: whether the modes are those of the field itself where a state is what is left of it between walls that hold data.
        axes: variable -> its axes besides time; labels: such an axis -> its labels.
        later: whether histories of earlier versions may lack its variables.
    """

    finish: Callable[[Values], dict[str, Any]]
    real: Mapping[str, Reduction] = field(default_factory=dict)
    spectral: Mapping[str, Reduction] = field(default_factory=dict)
    attrs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    measure: Callable[[np.ndarray], dict[str, Any]] | None = None
    whole: bool = False
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    later: bool = False


Factory = Callable[[EnergyModel, Grid], Observable]


def _u(i: int) -> sp.Symbol:
    return array_symbol("u", i)


def free_energy(model: EnergyModel, grid: Grid) -> Observable:
    """Total free energy and the parts of it by the terms of the model."""
    parts, energies = [term for term in model.terms if term.energetic], Energies(model, grid)

    def finish(v: Values) -> dict[str, Any]:
        found = energies(v)
        for term in parts:
            if math.isnan(found.get(term.name, math.nan)):  # no reduction of the state alone gives it
                found[term.name] = v.get(f"known_{term.name}", math.nan)
        values = {f"free_energy_{term.name}": found[term.name] for term in parts}
        return {"free_energy": sum(values.values()), **values}

    unit = {"units": f"energy density x {grid.length_unit(grid.dim)}"}
    attrs = {"free_energy": {"long_name": "free energy", **unit}}
    for term in parts:
        attrs[f"free_energy_{term.name}"] = {"long_name": f"{term.title or term.name} of the free energy", **unit}
    names = model.on("u")
    return Observable(
        finish,
        {name: Reduction("sum", density.xreplace(names)) for name, density in local(model).items()},
        {name: Reduction("sum", e) for name, e in modal(model, [_u(i) for i in range(len(model.components))]).items()},
        attrs,
    )


def statistics(model: EnergyModel, grid: Grid) -> Observable:
    """Mean, minimum and maximum of every field."""
    ops: dict[str, tuple[Any, str]] = {"mean": ("sum", "mean"), "min": ("min", "minimum"), "max": ("max", "maximum")}
    real = {f"{name}{i}": Reduction(op, _u(i)) for name, (op, _) in ops.items() for i in range(len(model.components))}
    variables = {f"{name}_{f.name}": (name, f) for f in model.order_parameters for name in ops}

    def finish(v: Values) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for variable, (name, f) in variables.items():
            part = range(len(model.components))[model.slices()[f.name]]
            values = np.array([v[f"{name}{i}"] for i in part]) / (grid.cells if name == "mean" else 1)
            out[variable] = values[0] if f.components is None else values
        return out

    return Observable(
        finish,
        real,
        attrs={k: {"long_name": f"{ops[n][1]} of {f.name}", "units": f.units} for k, (n, f) in variables.items()},
        fields={k: f.name for k, (_, f) in variables.items() if f.components is not None},
    )


def interface_area(model: EnergyModel, grid: Grid) -> Observable:
    """Area (length in 2-D) of each field's interfaces: int |grad u| dV over the jump max(u) - min(u); 0 of a uniform field.

    Exact for a profile that rises monotonically through its interface, however diffuse. For a field with components every
    boundary parts two of them, so half of the sum is the boundary area.
    """
    real: dict[str, Reduction] = {}
    for i in range(len(model.components)):
        real |= {f"slope{i}": Reduction("sum", GradientNorm(_u(i)))}
        real |= {f"low{i}": Reduction("min", _u(i)), f"high{i}": Reduction("max", _u(i))}

    def finish(v: Values) -> dict[str, Any]:
        out = {}
        for f in model.order_parameters:
            part = range(len(model.components))[model.slices()[f.name]]
            jump = max(v[f"high{i}"] for i in part) - min(v[f"low{i}"] for i in part)
            size = max(abs(v[f"{end}{i}"]) for i in part for end in ("high", "low"))
            total = sum(v[f"slope{i}"] for i in part) * grid.cell_volume * (1.0 if f.components is None else 0.5)
            out[f"interface_area_{f.name}"] = total / jump if jump > _ROUNDINGS * v["rounding"] * size else 0.0
        return out

    return Observable(
        finish,
        real,
        attrs={
            f"interface_area_{f.name}": {
                "long_name": f"interface area of {f.name}",
                "units": grid.length_unit(grid.dim - 1),
            }
            for f in model.order_parameters
        },
    )


def characteristic_length(model: EnergyModel, grid: Grid) -> Observable:
    """Characteristic length 2 pi / <k> of each field, <k> the first moment of its structure factor; NaN of a uniform field.

    Between walls that hold values, which sines do not meet, the waves are cosines.
    """
    spectral: dict[str, Reduction] = {}
    for i in range(len(model.components)):
        whole = WEIGHT * _u(i) ** 2
        power = sp.Piecewise((whole, K2 > 0), (0, True))
        spectral |= {f"power{i}": Reduction("sum", power), f"moment{i}": Reduction("sum", power * sp.sqrt(K2))}
        spectral |= {f"whole{i}": Reduction("sum", whole)}

    def finish(v: Values) -> dict[str, Any]:
        out = {}
        for f in model.order_parameters:
            part = range(len(model.components))[model.slices()[f.name]]
            power, moment, whole = (sum(v[f"{name}{i}"] for i in part) for name in ("power", "moment", "whole"))
            varies = moment > 0 and power > (_ROUNDINGS * v["rounding"]) ** 2 * whole
            out[f"characteristic_length_{f.name}"] = 2 * math.pi * power / moment if varies else math.nan
        return out

    return Observable(
        finish,
        spectral=spectral,
        whole=True,
        attrs={
            f"characteristic_length_{f.name}": {
                "long_name": f"characteristic length of {f.name}",
                "units": grid.length_unit(),
            }
            for f in model.order_parameters
        },
    )


def continuation(model: EnergyModel, grid: Grid, arguments: Sequence[tuple[sp.Expr, float]]) -> Observable:
    """Number of cells where a logarithm or power of the energy is continued, below these bounds of its argument."""
    outside = [(1, a.xreplace(model.on("u")) < bound) for a, bound in arguments]
    where = " or ".join(f"{a} < {bound:.3g}" for a, bound in arguments)
    return Observable(
        lambda v: {"continued_cells": v["cells"]},
        {"cells": Reduction("sum", sp.Piecewise(*outside, (0, True)))},
        attrs={"continued_cells": {"long_name": f"cells where the energy is continued: {where}", "units": "1"}},
    )


def of_term(model: EnergyModel, grid: Grid, term: Term) -> Observable:
    """What a term of the model tells of itself, from means over the cells."""
    names = model.on("u")
    return Observable(
        lambda v: term.measures({**v, **{name: v[name] / grid.cells for name in term.means}}),
        {name: Reduction("sum", mean.xreplace(names)) for name, mean in term.means.items()},
        attrs=term.variables,
    )


OBSERVABLES: dict[str, Factory] = {
    f.__name__: f for f in (free_energy, statistics, interface_area, characteristic_length)
}


class Observer:
    """Evaluates several observables in one pass over the cells and one over the modes.

    Args:
        more: observables besides those of this module.

    Raises:
        ConfigError: an unknown observable.
    """

    def __init__(
        self,
        names: Iterable[str],
        model: EnergyModel,
        layout: Layout,
        backend: Backend,
        more: Mapping[str, Factory] | None = None,
    ) -> None:
        self.observables: dict[str, Observable] = {}
        known = OBSERVABLES | dict(more or {})
        for name in names:
            if name not in known:
                raise ConfigError(
                    "output.observables", f"unknown observable {name!r}", f"known are: {', '.join(known)}"
                )
            self.observables[name] = known[name](model, layout.grid)
        self._model, self._layout, self._backend = model, layout, backend
        lifting = model.lifting
        # Of a lifted field some are about modes that the state does not have: they take a transform, and a buffer of their own.
        self._lifted = lifting is not None and lifting.lifts and any(o.whole for o in self.observables.values())
        self._flips = tuple(d for d, b in enumerate(layout.grid.boundary) if self._lifted and b == "fixed")
        kernels = {space: self._kernel(space) for space in ("real", "spectral", "whole")}
        before = {"whole": [Forward("u", len(model.components), self._flips)]}
        flips = {"whole": self._flips}
        self._programs = {
            space: backend.program(layout, [*before.get(space, []), Apply(kernel, flips=flips.get(space, ()))])
            for space, kernel in kernels.items()
            if kernel.reductions
        }
        self._spare = backend.buffer(layout, len(model.components)) if "whole" in self._programs else None

    def _kernel(self, space: str) -> Kernel:
        asked, modes = ("spectral" if space == "whole" else space), space != "real"
        reductions = {
            f"{o}_{name}": r
            for o, observable in self.observables.items()
            for name, r in getattr(observable, asked).items()
            if not modes or (space == "whole") == (self._lifted and observable.whole)
        }
        arrays = {"u": len(self._model.components)}
        names = [*self._model.scalars, "t"]
        return Kernel(f"observe_{space}", "spectral" if modes else "real", arrays, reductions=reductions, scalars=names)

    @property
    def kernels(self) -> list[Compiled]:
        return [kernel for program in self._programs.values() for kernel in program.kernels]

    @property
    def attrs(self) -> dict[str, Mapping[str, str]]:
        return {k: v for o in self.observables.values() for k, v in o.attrs.items()}

    @property
    def later(self) -> set[str]:
        """Variables that histories of earlier versions may lack."""
        return {name for o in self.observables.values() if o.later for name in o.attrs}

    @property
    def fields(self) -> dict[str, str]:
        """Variables with components -> the field whose components they are."""
        return {k: v for o in self.observables.values() for k, v in o.fields.items()}

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """Variables with axes of their own -> these."""
        return {k: v for o in self.observables.values() for k, v in o.axes.items()}

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {k: v for o in self.observables.values() for k, v in o.labels.items()}

    @property
    def measured(self) -> dict[str, tuple[str, ...]]:
        """Observables that are measured on the host -> their variables."""
        return {name: tuple(o.attrs) for name, o in self.observables.items() if o.measure is not None}

    def __call__(
        self,
        cells: Any,
        modes: Any,
        measure: bool = True,
        known: Mapping[str, float] | None = None,
        t: float = 0.0,
        told: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Variables of a state given both as cells and as modes; those that are measured on the host are NaN unless asked for.

        Args:
            known: parts of its energy, for those that no reduction of the state gives. t: its time. told: what terms tell of it.
        """
        scalars = {**self._model.scalars, **self._model.moving(t), "t": t}
        for term in self._model.terms:
            scalars |= term.scalars(t)
        values: dict[str, float] = {}
        for space, program in self._programs.items():
            if space == "whole":
                self._backend.copy(cells, self._spare)
            values |= program({"u": {"real": cells, "spectral": modes, "whole": self._spare}[space]}, scalars)
        out: dict[str, Any] = {}
        given = {**(told or {}), **{f"known_{part}": e for part, e in (known or {}).items()}}
        given["t"] = t
        given["rounding"] = float(np.finfo(self._backend.dtype).eps)
        for o, observable in self.observables.items():
            own = {k.removeprefix(f"{o}_"): v for k, v in values.items() if k.startswith(f"{o}_")}
            out |= observable.finish(given | own)
        if measure:
            return out | self.measure(cells)
        axes, labels = self.axes, self.labels
        for name in (v for variables in self.measured.values() for v in variables if v not in out):
            out[name] = np.full([len(labels[axis]) for axis in axes.get(name, ())], math.nan)
        return out

    def measure(self, cells: Any) -> dict[str, Any]:
        """The variables that are measured on the host."""
        functions = [o.measure for o in self.observables.values() if o.measure is not None]
        if not functions:
            return {}
        host = np.array(cells_of(self._layout, self._backend.to_host(cells)))
        return {name: value for function in functions for name, value in function(host).items()}

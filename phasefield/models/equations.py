"""The equations of a model in words that can be read: what is integrated, as it follows from the energy."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .energy import COORDINATES, EnergyModel
from .terms import Driving, Elastic, Gradient, Operator, Walls
from .waves import WAVES

#: Operations of an expression up to which a shorter form of it is looked for: factoring takes long beyond.
_SHORT = 120


@dataclass(frozen=True)
class Equation:
    """The equation of motion of one component.

    Attributes:
        component: its name. field: the field it is of. kinetics: as in the configuration.
        rate: ``dc/dt = ...`` with the mobility M_c and the potential mu_c. potential: ``mu_c = ...``, the variational derivative,
            less the force. forced: whether there is a force.
        alike: names of further components of the field, whose equations are the same with the names exchanged.
    """

    component: str
    field: str
    kinetics: str
    rate: str
    potential: str
    alike: tuple[str, ...] = ()
    forced: bool = False


def equations(model: EnergyModel) -> list[Equation]:
    """The equations of all components; of those that are alike, the first's."""
    names = [s.name for s in model.unknowns]
    found = []
    for i, (kind, (f, s)) in enumerate(zip(model.kinds, model.components, strict=True)):
        if i != kind:
            continue
        alike = tuple(name for name, k in zip(names, model.kinds, strict=True) if k == i and name != s.name)
        forced = any(isinstance(term, Driving) and term.force(i) is not None for term in model.terms)
        found.append(Equation(s.name, f.name, f.kinetics.name, _rate(model, i), _potential(model, i), alike, forced))
    return found


def _rate(model: EnergyModel, i: int) -> str:
    f, s = model.components[i]
    mobility, mu = sp.Symbol(f"M_{f.name}"), sp.Symbol(f"mu_{s.name}")
    law = f"div(M_{f.name}*grad({mu}))" if f.law is not None and f.kinetics.conserved else ""
    cross = {} if f.law is None else f.law.cross
    law += "".join(f" + div(M_{f.name}_{other}*grad(mu_{other}))" for other in cross)
    law = law or _text(f.kinetics.law(mobility, mu, sp.Function("lap")))
    sources = (found for term in model.terms if (found := term.source(i)) is not None)
    return " + ".join([f"d{s.name}/dt = {law}", *map(_text, sources)])


def _potential(model: EnergyModel, i: int) -> str:
    f, s = model.components[i]
    local, parts = sp.Integer(0), []
    for term in model.terms:
        if isinstance(term, Gradient):
            if f.anisotropy is not None:
                parts.append(f"- div(d(kappa_{f.name}*|grad({s.name})|**2/2)/d(grad({s.name})))")
            else:
                parts += _gradient(f.name, s.name, len(f.kappas)) if any(f.kappas) else []
        elif term.density is not None and not isinstance(term, Elastic | Walls):
            local += model.potentials[i] if term.density == model.energy else term.density.diff(s)
        elif isinstance(term, Operator):
            if (symbol := f.values["operator"]) is not None:
                parts.append(f"+ G_{f.name}*{s.name}, G_{f.name} = {_text(_plain(symbol))} in modes")
        elif isinstance(term, Driving):
            if (minus := term.force(i)) is not None:
                parts.append(f"- ({_text(-minus)})")
        elif term.energetic and (term.symbol(i, WAVES) is not None or term.force(i)):
            parts.append(f"+ dF_{term.name}/d{s.name}")
    return " ".join([f"mu_{s.name} =", _text(_shortest(local)), *parts])


def _plain(symbol: sp.Expr) -> sp.Expr:
    """A symbol as configured, without what was said of k = 0."""
    return symbol.args[0][0] if isinstance(symbol, sp.Piecewise) else symbol


def _gradient(field: str, name: str, axes: int) -> list[str]:
    if axes == 1:
        return [f"- kappa_{field}*lap({name})"]
    return [f"- kappa_{field}_{x}*d2{name}/d{x}2" for x in COORDINATES[:axes]]


def _shortest(expr: sp.Expr) -> sp.Expr:
    """The expression as derived, or factored where that is shorter."""
    if sp.count_ops(expr) > _SHORT:
        return expr
    try:
        candidates = [expr, sp.factor(expr)]
    except sp.PolynomialError:  # of pieces
        return expr
    return min(candidates, key=lambda e: len(_text(e)))


def _text(expr: sp.Expr) -> str:
    return str(sp.sstr(expr, full_prec=False))

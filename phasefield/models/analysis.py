"""What follows from a free-energy expression on paper: stability, equilibrium, interfaces and manufactured solutions.

Everything is derived from an `EnergyModel`, so that a model given by its energy alone can be checked against its own theory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from ..codegen import K2, K2_ALONG, K_ALONG
from ..errors import ConfigError, NotConverged
from . import onsager
from .anisotropy import potential as bent
from .energy import COORDINATES, EnergyModel, OrderParameter
from .forces import minus_forces
from .normal import NORMAL
from .parameters import TIME
from .spectrum import Spectrum
from .terms import Gradient
from .waves import WAVES

Array = NDArray[np.float64]


def growth_rates(model: EnergyModel, state: Mapping[str, float], k: ArrayLike) -> Array:
    """Growth rates of plane waves on a homogeneous state: eigenvalues of ``-Q(k) (H + diag(A(k)))``.

    H holds the second derivatives of f, A = kappa k^2 and the symbols of other terms (`Spectrum`); Q = M k^2 (conserved) or M
    (Cahn, Acta Metall. 9 (1961) 795).

    Args:
        state: value of every component by name. k: wavenumbers, 1/length.

    Returns:
        Rates in 1/time, shape ``(*k.shape, components)``, ascending.

    Raises:
        ConfigError: a component without a value, or a state outside the energy's domain.
    """
    hessian = _hessian(model, state)
    wavenumbers = np.asarray(k, dtype=float)
    spectrum = Spectrum(model)
    rates = [np.linalg.eigvalsh(_growth_matrix(model, spectrum, hessian, q)[0]) for q in wavenumbers.ravel()]
    return np.reshape(rates, (*wavenumbers.shape, len(hessian)))


def fastest_growing_wavenumber(model: EnergyModel, state: Mapping[str, float]) -> float:
    """Wavenumber (1/length, to round-off) that grows fastest on a homogeneous state; 0 if none outgrows k = 0.

    Raises:
        ConfigError: as `growth_rates`, or growth without bound (a component without gradient energy).
    """
    return fastest_of(model, _hessian(model, state))


def fastest_of(model: EnergyModel, hessian: Array) -> float:
    """`fastest_growing_wavenumber` of a state with these second derivatives of f, shape ``(components, components)``."""
    spectrum = Spectrum(model)
    depth = -float(np.linalg.eigvalsh(hessian)[0])
    if depth <= 0 and not spectrum.signed:
        return 0.0
    reach = spectrum.reach(depth)
    if not math.isfinite(reach):
        raise ConfigError(
            "model.fields", "growth has no fastest wavenumber where a field has kappa = 0", "give every field kappa > 0"
        )

    def slope(q: float) -> float:
        matrix, derivative = _growth_matrix(model, spectrum, hessian, q)
        top = np.linalg.eigh(matrix)[1][:, -1]
        return float(top @ derivative @ top)

    # No wave grows beyond the cutoff; the highest sample there brackets the maximum between its neighbours.
    samples = np.linspace(0, reach, 512)
    rates = np.linalg.eigvalsh(np.array([_growth_matrix(model, spectrum, hessian, q)[0] for q in samples]))
    if not spectrum.plain and rates[:, -1].max() <= 0:
        return 0.0
    best = int(np.argmax(rates[:, -1]))
    if best == 0 and slope(samples[1]) <= 0:
        return 0.0
    low, high = samples[max(best - 1, 0)], samples[min(best + 1, len(samples) - 1)]
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(0.5 * (low + high))


def growth_rate(model: EnergyModel, hessian: Array, k: float) -> float:
    """The largest growth rate, 1/time, of waves of wavenumber k on a state with these second derivatives of f."""
    return float(np.linalg.eigvalsh(_growth_matrix(model, Spectrum(model), hessian, k)[0])[-1])


def shortest_unstable(model: EnergyModel, hessian: Array) -> float:
    """Wavenumber (1/length) above which every wave decays on a state with these second derivatives of f; 0 if all do.

    H + diag(A(k)) is positive beyond the largest k that makes it singular; all A must grow with k.
    """
    spectrum = Spectrum(model)
    if not spectrum.plain:

        def unstable(k: Array) -> NDArray[np.bool_]:
            symbols = spectrum.along(k)
            inner = hessian + symbols[:, :, None] * np.eye(len(hessian))
            finite = np.isfinite(inner).all(axis=(1, 2))
            inner[~finite] = np.eye(len(hessian))
            return np.asarray(np.linalg.eigvalsh(inner)[:, 0] < 0)

        return spectrum.last(unstable)
    root = np.sqrt([f.kappa for f, _ in model.components])
    largest = -float(np.linalg.eigvalsh(hessian / np.outer(root, root))[0])
    return math.sqrt(max(largest, 0.0))


class Density:
    """A model's energy density and its derivatives, compiled once for values of any scale."""

    def __init__(self, model: EnergyModel) -> None:
        self._first = model.function([model.energy, *model.potentials])
        scalar = len(model.components) == 1
        self._second = model.function([model.energy, *model.potentials, *model.curvatures]) if scalar else None

    def __call__(self, points: Array) -> Array:
        """f and df/du_i at points ``(components, n)``: shape ``(1 + components, n)``."""
        return self._first(points)

    def second(self, values: Array) -> Array:
        """f, f' and f'' of one component at values ``(n,)``: shape ``(3, n)``."""
        assert self._second is not None
        return self._second(values[None])

    def hessian(self, state: Array, scales: Array) -> Array:
        """Second derivatives at a state: of several components by central differences over 1e-4 of their ``scales``."""
        if self._second is not None:
            return self.second(state)[2].reshape(1, 1)
        steps = np.diag(1e-4 * scales)
        ahead, behind = (self(state[:, None] + sign * steps)[1:] for sign in (1, -1))
        hessian = (ahead - behind) / (2e-4 * scales)
        return 0.5 * (hessian + hessian.T)


def _hessian(model: EnergyModel, state: Mapping[str, float]) -> Array:
    names = [s.name for s in model.unknowns]
    if missing := [name for name in names if name not in state]:
        raise ConfigError("state", f"has no value for {missing[0]}", f"components of the model: {', '.join(names)}")
    point = np.array([[state[name]] for name in names], dtype=float)
    energy, *second = model.evaluate([model.energy, *model.hessian], point)[:, 0]
    values = np.reshape(second, (len(names), len(names)))
    if not np.isfinite([energy, *second]).all():
        raise ConfigError("state", f"is outside the domain of the energy {model.text}: {dict(state)}")
    return values


def _growth_matrix(model: EnergyModel, spectrum: Spectrum, hessian: Array, k: float) -> tuple[Array, Array]:
    """``-sqrt(Q) (H + diag(A(k))) sqrt(Q)``, symmetric, with the eigenvalues of ``-Q (H + diag(A(k)))``, and its slope in k."""
    conserved = np.array([f.kinetics.conserved for f, _ in model.components])
    root = onsager.root(model)
    q, dq = root * np.where(conserved, k, 1.0), root * np.where(conserved, 1.0, 0.0)
    inner = hessian + np.diag(spectrum.along(np.array([k]))[0])
    turned = q.T @ inner @ dq
    return -(q.T @ inner @ q), -(turned + turned.T + q.T @ np.diag(spectrum.slope(k)) @ q)


def _only_scalar(model: EnergyModel) -> OrderParameter:
    if len(model.components) != 1:
        raise ConfigError(
            "model.fields", f"phases are found for one scalar field; the model has {len(model.components)} components"
        )
    return model.order_parameters[0]


def equilibrium_phases(model: EnergyModel, guess_a: float, guess_b: float) -> tuple[float, float]:
    """The two phases of a scalar model that share a tangent of f, to round-off, by Newton's method.

    f'(a) = f'(b) = (f(b) - f(a))/(b - a), Gibbs' condition of equal chemical potential and grand potential.

    Raises:
        ConfigError: not one scalar field. NotConverged: no common tangent near the guesses.
    """
    _only_scalar(model)
    expressions = [model.energy, model.potentials[0], model.hessian[0]]

    def residual(p: Array) -> tuple[Array, Array]:
        f, mu, curvature = model.evaluate(expressions, p[None, :])
        gap = p[1] - p[0]
        values = np.array([mu[0] - mu[1], f[1] - f[0] - 0.5 * (mu[0] + mu[1]) * gap])
        half = 0.5 * curvature * gap
        tilt = 0.5 * (mu[1] - mu[0])
        return values, np.array([[curvature[0], -curvature[1]], [-half[0] - tilt, -half[1] + tilt]])

    point = np.array([guess_a, guess_b], dtype=float)
    values, jacobian = residual(point)
    # Potentials are measured by the curvature and the gap, energies by these and the gap again: no unit is a special one.
    size = abs(guess_b - guess_a) or 1.0
    stiff = float(np.abs(jacobian[0]).max()) or 1.0
    unit = stiff * np.array([[1.0], [size]])
    for _ in range(100):
        if not np.isfinite(values).all() or not np.isfinite(jacobian).all() or np.linalg.det(jacobian / unit) == 0:
            break
        step = np.linalg.solve(jacobian / unit, values / unit[:, 0])
        for _ in range(40):
            new_values, new_jacobian = residual(point - step)
            if np.isfinite(new_values).all() and np.hypot(*(new_values / unit[:, 0])) < np.hypot(
                *(values / unit[:, 0])
            ):
                break
            step = step / 2
        else:
            # Newton's residual cannot fall any further: this is round-off, or no solution is near.
            break
        point, values, jacobian = point - step, new_values, new_jacobian
        if not values.any():
            break
    scale = 1e-11 * (1 + np.abs(jacobian / unit).max()) * size
    if (
        not np.isfinite(values).all()
        or np.abs(values / unit[:, 0]).max() > scale
        or abs(point[1] - point[0]) < 1e-6 * max(size, np.abs(point).max())
    ):
        raise NotConverged(f"no common tangent of the energy {model.text} was found near {guess_a:g} and {guess_b:g}")
    return float(point[0]), float(point[1])


def binodal(model: EnergyModel, span: tuple[float, float] = (-4.0, 4.0)) -> tuple[float, float]:
    """The coexisting phases a < b of a scalar model: the widest gap in the convex hull of f, closed by `equilibrium_phases`.

    Args:
        span: where to look; values outside the energy's domain are skipped.

    Raises:
        ConfigError: not one scalar field. NotConverged: f is convex on ``span``.
    """
    _only_scalar(model)
    phi = np.linspace(*span, 16001)
    f = model.evaluate([model.energy], phi[None, :])[0]
    points = np.stack([phi, f], axis=1)[np.isfinite(f)]
    hull: list[Array] = []
    for p in points:
        while len(hull) > 1 and np.linalg.det([hull[-1] - hull[-2], p - hull[-2]]) <= 0:
            hull.pop()
        hull.append(p)
    where = np.array(hull)[:, 0]
    widest = int(np.argmax(np.diff(where))) if len(where) > 1 else 0
    if len(where) < 2 or where[widest + 1] - where[widest] < 3 * (phi[1] - phi[0]):
        raise NotConverged(
            f"the energy {model.text} is convex between {span[0]:g} and {span[1]:g}: no two phases coexist"
        )
    return equilibrium_phases(model, float(where[widest]), float(where[widest + 1]))


def interface_energy(model: EnergyModel, a: float, b: float) -> float:
    """Energy per area of the flat interface between phases ``a`` and ``b`` that share a tangent: to about 1e-12 relative.

    sigma = int_a^b sqrt(2 kappa (f - tangent)) dphi (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258, eq. 2.20).

    Raises:
        ConfigError: not one scalar field, or ``a`` and ``b`` do not coexist. NotConverged: the integrand is too rough.
    """
    kappa = _only_scalar(model).kappa
    ends = np.array([a, b], dtype=float)
    (f_a, f_b), mu = model.evaluate([model.energy, model.potentials[0]], ends[None, :])
    chord = (f_b - f_a) / (b - a)
    last = math.nan
    for count in (32, 64, 128, 256, 512, 1024):
        nodes, weights = np.polynomial.legendre.leggauss(count)
        # phi = a .. b by a cosine: dense at the ends, where energies with logarithms vary fast.
        angle = 0.5 * math.pi * (nodes + 1)
        phi = 0.5 * (a + b) - 0.5 * (b - a) * np.cos(angle)
        excess = model.evaluate([model.energy], phi[None, :])[0] - f_a - chord * (phi - a)
        height = float(np.max(excess))
        if not height > 0 or excess.min() < -1e-10 * height or np.abs(mu - chord).max() * abs(b - a) > 1e-6 * height:
            raise ConfigError(
                "a, b", f"{a:g} and {b:g} do not coexist: f has no common tangent there", "take them from binodal"
            )
        density = np.sqrt(2 * kappa * np.maximum(excess, 0)) * np.sin(angle)
        total = float(weights @ density) * 0.25 * math.pi * abs(b - a)
        if abs(total - last) <= 1e-12 * total:
            return total
        last = total
    raise NotConverged(f"the interface energy between {a:g} and {b:g} did not converge")


def manufactured_source(model: EnergyModel, solution: Mapping[str, sp.Expr]) -> dict[str, sp.Expr]:
    """The sources that make ``solution`` exact: du/dt minus the model's right-hand side, per component.

    Args:
        solution: component name -> expression in x, y, z, t (real symbols).

    Raises:
        ConfigError: a component without a solution, or a term that couples distant cells nonlinearly.
    """
    if missing := [s.name for s in model.unknowns if s.name not in solution]:
        raise ConfigError("solution", f"has no expression for {missing[0]}")
    if beyond := [term.name for term in model.terms if term.temporaries and not isinstance(term, Gradient)]:
        raise ConfigError("solution", f"is not known in closed form with the {beyond[0]} term")
    table = {s: sp.sympify(solution[s.name]) for s in model.unknowns}

    def laplacian(expr: sp.Expr) -> sp.Expr:
        return sum((sp.diff(expr, sp.Symbol(x, real=True), 2) for x in COORDINATES), sp.Integer(0))

    potentials, forces = {}, minus_forces(model)
    for (f, s), potential in zip(model.components, model.potentials, strict=True):
        u = table[s]
        mu = model.values(potential).xreplace(table) + model.values(_bent(f, u))
        i = model.unknowns.index(s)
        for term in model.terms:
            if not isinstance(term, Gradient) and (symbol := term.symbol(i, WAVES)) is not None:
                mu += _filtered(symbol.xreplace({model.argument(n): v for n, v in model.scalars.items()}), u)
        mu += model.values(forces[i]).xreplace(table)
        potentials[s.name] = mu
    sources = {}
    for f, s in model.components:
        mu = potentials[s.name]
        if f.law is None:
            rate = f.kinetics.law(sp.Float(f.mobility, 17), mu, laplacian)
        else:
            turned = _normal(table[s]) if f.law.normal else {}
            entries = [model.values(m).xreplace(table).xreplace(turned) for m in f.law.entries]
            rate = f.kinetics.motion(entries * (3 // len(entries) or 1), mu, _derivative)
            for other, entry in f.law.cross.items():
                rate += f.kinetics.motion([model.values(entry).xreplace(table)] * 3, potentials[other], _derivative)
        sources[s.name] = sp.diff(table[s], TIME) - rate
    return sources


def _normal(u: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """The normal of a field in closed form."""
    p = [_derivative(u, axis) for axis in range(len(NORMAL))]
    length = sp.sqrt(sum(q**2 for q in p))
    return {n: -q / length for n, q in zip(NORMAL, p, strict=True)}


def _bent(f: OrderParameter, u: sp.Expr) -> sp.Expr:
    """What the gradient term adds to the potential."""
    places = [sp.Symbol(x, real=True) for x in COORDINATES]
    if f.anisotropy is not None:
        return bent(f.anisotropy, u, places[: len(f.anisotropy.mirrored)])
    kappas = f.kappas * (3 if len(f.kappas) == 1 else 1)
    return -sum(sp.Float(kappa, 17) * sp.diff(u, x, 2) for kappa, x in zip(kappas, places, strict=False))


def _filtered(symbol: sp.Expr, u: sp.Expr) -> sp.Expr:
    """What a symbol makes of a trigonometric polynomial in x, y, z: each of its waves times the symbol at its wavenumber."""
    places = [sp.Symbol(x, real=True) for x in COORDINATES]
    waves = sp.expand(
        sp.expand(u.rewrite(sp.cos), trig=False).replace(
            lambda e: isinstance(e, sp.cos) and bool(e.free_symbols & set(places)), lambda e: e.rewrite(sp.exp)
        )
    )
    total = sp.Integer(0)
    for wave in sp.Add.make_args(waves):
        k = [float(sp.im(sp.simplify(sp.diff(wave, x) / wave))) for x in places]
        known = {K2: sp.Float(sum(q * q for q in k))}
        known |= {s: sp.Float(q * q) for s, q in zip(K2_ALONG, k, strict=True)}
        known |= {s: sp.Float(q) for s, q in zip(K_ALONG, k, strict=True)}
        total += symbol.subs(known) * wave
    return sp.re(sp.expand(total, complex=True)) if total.has(sp.I) else total


def _derivative(expr: sp.Expr, axis: int) -> sp.Expr:
    return sp.diff(expr, sp.Symbol(COORDINATES[axis], real=True))

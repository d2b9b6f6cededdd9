"""Manufactured solutions: sources derived by SymPy make a chosen solution exact, and the solver has to find it."""

from __future__ import annotations

import math

import pytest
import sympy as sp
from verify import PRESETS, T, X, Y, Z, model_of, ranges, solve, specify

from phasefield.errors import ConfigError, ExpressionError
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation, build_model

#: With this length, wavenumbers are whole halves and quarters and the sources short.
LENGTH = 4 * math.pi
#: Of a scheme of second order, with a step that leaves its error below the tolerance; space is resolved to round-off.
STEP, END, TOLERANCE = 5e-5, 0.01, 1e-8
#: Steps for an energy of eighth degree, far from its wells: the error is of second order in them.
FINER = {"grain_growth": 1.25e-5}


def wave(boundary: str, coordinate: sp.Symbol, mode: int, i: int) -> sp.Expr:
    """A smooth function of one axis that fits its boundary."""
    k = sp.Rational(mode, 4)
    if boundary == "periodic":
        return sp.cos(2 * k * coordinate + sp.Rational(3 * i, 10))
    return sp.sin(k * coordinate) if boundary == "fixed" else sp.cos(k * coordinate)


def pattern(boundary: tuple[str, ...], i: int) -> sp.Expr:
    """Component ``i``'s pattern, within [-1, 1], moving and breathing in time."""
    product = sp.Integer(1)
    for d, (b, coordinate) in enumerate(zip(boundary, (X, Y, Z), strict=False)):
        product *= wave(b, coordinate, 1 + (d + i) % 2, i)
    return product * (sp.Rational(3, 5) + sp.sin(3 * T + i) / 3)


def exact(value: float) -> sp.Rational:
    return sp.Rational(round(100 * value), 100)


def check(preset: str, boundary: tuple[str, ...], cells: int, offset: bool = True) -> None:
    spec = specify(
        f"model={preset}",
        f"grid.shape={[cells] * len(boundary)}".replace(" ", ""),
        f"grid.length={LENGTH}",
        f"grid.boundary=[{','.join(boundary)}]",
        "time.scheme=etdms2",
        "time.adaptive=false",
        f"time.dt={FINER.get(preset, STEP)}",
    )
    model = model_of(preset)
    solution = {
        s.name: (exact(middle) if offset else 0) + exact(0.8 * half) * pattern(boundary, i)
        for i, (s, (middle, half)) in enumerate(zip(model.unknowns, ranges(preset), strict=False))
    }
    _, error = solve(spec, solution, manufactured_source(model, solution), END)
    print(f"{preset} {'/'.join(boundary)}: relative error {error:.1e}")
    assert error < TOLERANCE


#: A kappa that depends on the normal has no value where the gradient vanishes, as it must in any such solution (test_normals.py).
SMOOTH = [p for p in PRESETS if all(f.anisotropy is None for f in model_of(p).order_parameters)]


@pytest.mark.parametrize("preset", SMOOTH)
def test_every_preset(preset: str) -> None:
    check(preset, ("periodic", "periodic"), 32)


@pytest.mark.parametrize(
    ("preset", "boundary", "cells"),
    [
        ("cahn_hilliard", ("no-flux", "no-flux"), 32),
        ("precipitate", ("periodic", "no-flux"), 32),
        ("allen_cahn", ("no-flux", "periodic"), 24),
        ("spinodal", ("periodic",), 48),
        ("flory_huggins", ("no-flux",), 48),
        ("cahn_hilliard", ("periodic", "periodic", "periodic"), 20),
        ("allen_cahn", ("periodic", "no-flux", "periodic"), 20),
    ],
)
def test_boundaries_and_dimensions(preset: str, boundary: tuple[str, ...], cells: int) -> None:
    check(preset, boundary, cells)


@pytest.mark.parametrize("preset", ["cahn_hilliard_landau", "allen_cahn"])
@pytest.mark.parametrize("boundary", [("fixed", "fixed"), ("periodic", "fixed"), ("fixed", "no-flux")])
def test_fixed_walls(preset: str, boundary: tuple[str, ...]) -> None:
    """The field vanishes on the walls; so does f' there, because both energies are even."""
    check(preset, boundary, 24, offset=False)


def test_number_of_sources_must_fit() -> None:
    spec = specify("model=grain_growth", components=2)
    spec.model.fields["eta"].source = ["1", "2", "3"]
    with pytest.raises(ConfigError, match="one per component"):
        build_model(spec)


@pytest.mark.parametrize("source", ["0.1*sin(y) + exp(z)", ["0", "0.1*sin(y) + exp(z)", "x"], ["0.1*sin(y) + exp(z)"]])
def test_a_source_in_a_coordinate_that_the_grid_has_not(source: str | list[str]) -> None:
    """The same error as that of an initial condition; the kernels would take it for 0."""
    spec = specify("model=grain_growth", "grid.shape=[8,8]", "initial.eta=0.1")
    spec.model.fields["eta"].source = source
    with pytest.raises(ExpressionError, match="coordinate z does not exist on a 2-D grid; it has x, y") as caught:
        Simulation(spec)
    assert (caught.value.key, caught.value.position) == ("model.fields.eta.source", 17)
    solid = specify("model=grain_growth", "grid.shape=[8,8,4]", "initial.eta=0.1")
    solid.model.fields["eta"].source = source
    Simulation(solid)

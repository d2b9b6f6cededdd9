"""Macro-scale models on scikit-fem: uniform strain, points in workers, what is refused, scales."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from phasefield.errors import ConfigError, NotConverged, PhasefieldError
from phasefield.homogenize import command as homogenize
from phasefield.mechanics import Options
from phasefield.mechanics.nonlinear import NonlinearCell
from phasefield.mechanics.potentials import Expression, Quadratic
from phasefield.mechanics.tensors import isotropic_stiffness
from phasefield.store import open_dataset
from phasefield.upscale.macro import (
    CellMicro,
    Function,
    Homogenized,
    MacroModel,
    Points,
    Response,
    Scales,
    diffusion_time,
    spacing_of_features,
    tangent_error,
)

skfem = pytest.importorskip("skfem")
MATRIX = Expression("K*tr**2/2 + G*d2 + b*d2**2", True, {"K": 1.0, "G": 0.5, "b": 40.0})
CONDUCTOR = Expression("k*g2/2 + b*g2**2/4", False, {"k": 1.0, "b": 3.0})
TIGHT = Options(scheme="rotated", tolerance=1e-10, threads=1, device="cpu")


def image(n: int = 8) -> np.ndarray:
    index = np.zeros((n, n), np.int32)
    index[1:4, 2:7] = 1
    return index


def elastic() -> CellMicro:
    return CellMicro(NonlinearCell(image(), [MATRIX, Quadratic(isotropic_stiffness(10.0, 6.0))], options=TIGHT))


def scalar() -> CellMicro:
    return CellMicro(NonlinearCell(image(), [CONDUCTOR, Quadratic(10 * np.eye(3))], options=TIGHT))


def panel(vector: bool, x: int = 3, y: int = 2) -> Any:
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 2, x + 1), np.linspace(0, 1, y + 1))
    element = skfem.ElementTriP1()
    return skfem.Basis(mesh, skfem.ElementVector(element) if vector else element, intorder=1)


def test_a_uniform_strain_is_the_answer_of_one_cell() -> None:
    """Displacements that are linear on the whole boundary: every point has that strain, and the reactions its stress."""
    basis, micro = panel(True), elastic()
    gradient = np.array([[0.04, 0.03], [-0.01, -0.02]])
    values = np.zeros(basis.N)
    values[basis.nodal_dofs] = gradient @ basis.mesh.p
    with MacroModel(basis, micro) as model:
        found = model.solve(values, basis.get_dofs().all(), tolerance=1e-10)
    strain = np.array([0.04, -0.02, (0.03 - 0.01) / 2**0.5])
    np.testing.assert_allclose(found.strain, np.tile(strain, (model.points.count, 1)), atol=1e-10)
    expected = micro.solve(strain).flux
    np.testing.assert_allclose(found.flux, np.tile(expected, (model.points.count, 1)), atol=1e-9)
    right = basis.get_dofs(lambda x: x[0] > 2 - 1e-9)
    np.testing.assert_allclose(found.forces[right.all("u^1")].sum(), expected[0] * 1.0, atol=1e-9)
    assert found.hill.max() < 1e-9
    assert found.residuals[-1] < 1e-10


def test_newton_is_quadratic_with_the_consistent_tangent_and_not_without() -> None:
    basis, micro = panel(False, 3, 1), scalar()
    source = skfem.LinearForm(lambda v, w: 1.0 * v).assemble(basis)
    left, right = (basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9).all() for at in (0.0, 2.0))
    values = np.zeros(basis.N)
    values[right] = 1.5
    fixed = np.concatenate([left, right])
    assert tangent_error(micro, np.array([0.7, -0.3])) < 1e-8
    residuals = MacroModel(basis, micro).solve(values, fixed, source, tolerance=1e-10).residuals
    last = [r for r in residuals[1:] if r < 0.1]
    assert len(last) >= 2
    assert all(b < max(10 * a**2, 1e-12) for a, b in itertools.pairwise(last))

    frozen = micro.solve(np.zeros(2)).tangent

    class Frozen:
        size = 2

        def solve(self, gradient: np.ndarray, state: Any = None) -> Response:
            return replace(micro.solve(gradient, state), tangent=frozen)

    with pytest.raises(NotConverged) as caught:
        MacroModel(basis, Frozen()).solve(values, fixed, source, tolerance=1e-10, max_steps=len(residuals) - 1)
    assert caught.value.history[-1] > 1e4 * residuals[-1]


def test_workers_give_what_one_gives() -> None:
    micro = scalar()
    gradients = np.random.default_rng(1).normal(size=(6, 2))
    alone = Points(micro, 6)
    first = alone.solve(gradients)
    alone.accept()
    second = alone.solve(1.1 * gradients)
    for kind in ("processes", "threads"):
        with Points(micro, 6, workers=2, kind=kind) as points:
            for expected, factor in ((first, 1.0), (second, 1.1)):
                flux, tangent = points.solve(factor * gradients)
                np.testing.assert_allclose(flux, expected[0], rtol=1e-12)
                np.testing.assert_allclose(tangent, expected[1], rtol=1e-9, atol=1e-9)
                points.accept()
            assert points.states[5].gradient == pytest.approx(1.1 * gradients[5])
            np.testing.assert_array_equal(points.iterations, alone.iterations)


def test_a_failed_point_is_named_and_states_stay() -> None:
    soft = Expression("g2/2 - g2**2/20", False)  # convex up to |g| = 1.29
    with Points(CellMicro(NonlinearCell(image(), [soft, soft])), 3) as points:
        points.solve(np.full((3, 2), 0.1))
        points.accept()
        kept = list(points.states)
        with pytest.raises(NotConverged, match=r"point 1 at \(3, 0\).*not convex"):
            points.solve(np.array([[0.2, 0.0], [3.0, 0.0], [0.2, 0.0]]))
        points.reject()
        assert all(a is b for a, b in zip(points.states, kept, strict=True))
    with (
        Points(CellMicro(NonlinearCell(image(), [soft, soft])), 3, workers=2, kind="threads") as points,
        pytest.raises(NotConverged, match=r"point 1 at \(3, 0\).*not convex"),
    ):
        points.solve(np.array([[0.2, 0.0], [3.0, 0.0], [0.2, 0.0]]))
    basis = panel(False)
    dofs = {at: basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9).all() for at in (0.0, 2.0)}
    values = np.zeros(basis.N)
    values[dofs[2.0]] = 5.0
    with pytest.raises(NotConverged, match="not convex"):
        MacroModel(basis, CellMicro(NonlinearCell(image(), [soft, soft]))).solve(
            values, np.concatenate(list(dofs.values()))
        )


def test_a_homogenized_tensor_takes_one_step() -> None:
    basis = panel(True)
    stiffness = isotropic_stiffness(2.0, 1.0) + np.diag([0, 1.0, 0, 0, 0, 0.5])
    left, right = (basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9) for at in (0.0, 2.0))
    values = np.zeros(basis.N)
    values[right.all("u^1")] = 0.1
    found = MacroModel(basis, Homogenized.of(stiffness, 2)).solve(values, np.append(left.all(), right.all()))
    assert len(found.residuals) == 2
    assert found.residuals[-1] < 1e-12
    assert np.isnan(found.hill).all()


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has 2 components; 3 are expected"):
        MacroModel(panel(True), scalar())
    with pytest.raises(ConfigError, match="cannot be sent to workers"):
        Points(Function(lambda g: (g, np.eye(2)), 2), 3, workers=2)
    with pytest.raises(ConfigError, match="workers"):
        Points(scalar(), 3, workers=0)
    with pytest.raises(ConfigError, match="kind"):
        Points(scalar(), 3, kind="ranks")
    with pytest.raises(ConfigError, match=r"gave \(2,\) and \(2,\)"):
        Function(lambda g: (g, g), 2).solve(np.zeros(2))
    with pytest.raises(ConfigError, match="image of 2 axes"):
        CellMicro(scalar().cell, dimension=1)
    loose = Options(scheme="rotated", tolerance=1e-2, threads=1, device="cpu")
    crude = CellMicro(NonlinearCell(image(), [MATRIX, Quadratic(isotropic_stiffness(10.0, 6.0))], options=loose))
    basis = panel(True)
    values = np.zeros(basis.N)
    values[basis.nodal_dofs] = 0.03 * basis.mesh.p
    with pytest.raises(NotConverged, match=r"point \d+: the Hill-Mandel residual is .* above 1e-15"):
        MacroModel(basis, crude).solve(values, basis.get_dofs().all(), hill_tolerance=1e-15)
    monkeypatch.setitem(sys.modules, "skfem", None)
    with pytest.raises(PhasefieldError, match=r"pip install 'phasefield\[upward\]'"):
        MacroModel(None, scalar())


def test_scales_that_are_not_apart_are_told(caplog: pytest.LogCaptureFixture) -> None:
    assert Scales(0.01, 1.0).warnings() == []
    near = Scales(0.2, 1.0, micro_time=diffusion_time(0.2, 1e-2), macro_time=2.0)
    assert near.lengths == pytest.approx(0.2)
    assert near.times == pytest.approx(0.04 / (np.pi**2 * 1e-2) / 2.0)
    assert [w.split(" =")[0] for w in near.warnings()] == ["l/L", "tau/T"]
    MacroModel(panel(False), scalar(), scales=near)
    assert "l/L = 0.2" in caplog.text
    assert "tau/T = 0.2" in caplog.text
    for wrong in ({"micro_length": 0.0}, {"macro_length": float("nan")}, {"macro_time": 1.0}):
        with pytest.raises(ConfigError):
            Scales(**({"micro_length": 1.0, "macro_length": 1.0} | wrong))


class Bounded:
    """A conductor without flux beyond a gradient of 1, which has states."""

    size, seen = 2, 0

    def solve(self, gradient: np.ndarray, state: Any = None) -> Response:
        if np.linalg.norm(gradient) > 1:
            raise ConfigError("energy", "is not finite there")
        self.seen += 1
        slope = 1 / (1 - 0.9 * gradient @ gradient)
        tangent = slope * np.eye(2) + 1.8 * slope**2 * np.outer(gradient, gradient)
        return Response(slope * gradient, tangent, self.seen)


def test_leaving_the_domain_of_an_energy_is_halved_and_changes_nothing() -> None:
    basis = panel(False)
    left, right = (basis.get_dofs(lambda x, at=at: np.abs(x[0] - at) < 1e-9).all() for at in (0.0, 2.0))
    values, load = np.zeros(basis.N), np.zeros(basis.N)
    load[right] = np.where(np.abs(basis.doflocs[1, right] - 0.5) < 0.1, 1.0, 0.5)  # a flux of 2; its linear answer is 2
    with MacroModel(basis, Bounded()) as model:
        found = model.solve(values, left, load=load)
        np.testing.assert_allclose(found.strain[:, 0], (np.sqrt(1 + 4 * 0.9 * 4) - 1) / 3.6, rtol=1e-6)
        states = list(model.points.states)
        values[right] = 3.0  # of what is given there is no half
        with pytest.raises(ConfigError, match=r"point \d+ at .*energy: is not finite there"):
            model.solve(values, np.append(left, right), start=found.values)
        assert model.points.states == model.points._trial == states


@pytest.mark.parametrize(("unit", "metres"), [("nm", 1e-9), ("um", 1e-6), ("1", None), ("pixel", None)])
def test_lengths_of_a_file_are_told_in_metres(unit: str, metres: float | None, tmp_path: Path) -> None:
    """Layers of 3 and 5 voxels of 2 units: chords along their normal, features 16 units apart."""
    stripes = np.repeat([0, 1, 0, 1], [3, 5, 3, 5])[:, None] * np.ones((1, 4), int)
    axes = {d: (d, 2.0 * np.arange(n), {"units": unit}) for d, n in zip("xy", stripes.shape, strict=True)}
    xarray.Dataset({"phase": (("x", "y"), stripes)}, axes).to_netcdf(tmp_path / "image.nc", engine="h5netcdf")
    keys = ["material=epoxy_glass", "properties=conductivity", "two_grid=false"]
    made = homogenize.run(tmp_path / "image.nc", keys)[0]
    with open_dataset(made) as data:
        chords = float(data.phase_mean_chord.sum())
        assert data.phase_mean_chord.attrs.get("units") == (unit if unit != "1" else None)
    if metres is None:
        with pytest.raises(ConfigError, match="without a unit" if unit == "1" else "unknown unit|'pixel'"):
            spacing_of_features(made)
    else:
        assert chords > 10
        assert spacing_of_features(made) == pytest.approx(chords * metres, rel=1e-12)


def test_calculix_and_scikit_fem_agree_only_on_the_right_order(tmp_path: Path) -> None:
    """One brick element and a rotated tensor: a card whose shear components stand in another order is seen."""
    import shutil

    from phasefield.mechanics.tensors import cubic_stiffness, rotate, rotation_from_euler, to_voigt
    from phasefield.upscale.macro.calculix import deck, solve

    stiffness = rotate(cubic_stiffness(223.0, 148.0, 125.0), rotation_from_euler(0.4, 0.9, 0.3))
    voigt = to_voigt(stiffness)

    def card(order: tuple[int, ...]) -> str:
        rows = [f"{voigt[order[i], order[j]]:.11e}" for j in range(6) for i in range(j + 1)]
        lines = [", ".join(rows[k : k + 8]) for k in range(0, 21, 8)]
        return "*MATERIAL, NAME=CUBIC\n*ELASTIC, TYPE=ANISO\n" + ",\n".join(lines)

    basis = skfem.Basis(skfem.MeshHex().refined(1), skfem.ElementVector(skfem.ElementHexS2()), intorder=5)
    bottom, top = (basis.get_dofs(lambda x, at=at: np.abs(x[2] - at) < 1e-9) for at in (0.0, 1.0))
    values = np.zeros(basis.N)
    fixed = np.append(bottom.all(), top.all())
    values[top.all(["u^1"])] = 0.01
    load = np.zeros(basis.N)
    with pytest.raises(ConfigError, match="has 0 materials"):
        deck(basis, "*ELASTIC", values, fixed, load)
    coarse = skfem.Basis(basis.mesh, basis.elem, intorder=2)
    with pytest.raises(ConfigError, match="integration points an element; CalculiX's C3D20 has 27"):
        deck(coarse, card((0, 1, 2, 5, 4, 3)), values, fixed, load)
    if shutil.which("ccx") is None:
        pytest.skip("CalculiX (ccx) is not installed")
    for name, element, order in (
        ("S2", skfem.ElementHexS2(), 5),
        ("P2", skfem.ElementTetP2(), 2),
        ("P1", skfem.ElementTetP1(), 1),
    ):
        mesh = basis.mesh if name == "S2" else basis.mesh.to_meshtet()
        own = skfem.Basis(mesh, skfem.ElementVector(element), intorder=order)
        bottom, top = (own.get_dofs(lambda x, at=at: np.abs(x[2] - at) < 1e-9) for at in (0.0, 1.0))
        fixed, values = np.append(bottom.all(), top.all()), np.zeros(own.N)
        values[np.intersect1d(top.all(), own.element_dofs[::3])] = 0.01  # along x
        load = np.zeros(own.N)
        there = MacroModel(own, Homogenized(stiffness)).solve(values, fixed)
        here = solve(own, card((0, 1, 2, 5, 4, 3)), values, fixed, load, tmp_path)
        np.testing.assert_allclose(here.values, there.values, atol=1e-8)
        scale = np.abs(there.flux).max()
        assert np.abs(here.stress).max() == pytest.approx(scale, rel=1e-5)
        np.testing.assert_allclose(
            np.sort(here.stress.reshape(-1, 6), axis=0), np.sort(there.flux, axis=0), atol=1e-5 * scale
        )
        wrong = solve(own, card((0, 1, 2, 3, 4, 5)), values, fixed, load, tmp_path)
        assert np.abs(np.abs(wrong.stress).max() / scale - 1) > 1e-2

"""Units, material files and their complaints."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.mechanics import materials, tensors
from phasefield.presets import names
from phasefield.units import parse_unit, quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("70 GPa", "Pa", 70e9),
        ("1e3 MPa", "Pa", 1e9),
        ("2 N/mm^2", "Pa", 2e6),
        ("2 kbar", "Pa", 2e8),
        ("1 Mpsi", "Pa", 6894757293.168),
        ("3 W/(m K)", "W/(m K)", 3.0),
        ("3 W m^-1 K^-1", "W/(m K)", 3.0),
        ("3 W/m/K", "W/(m K)", 3.0),
        ("2 W/(cm K)", "W/(m K)", 200.0),
        ("23.1 ppm/K", "1/K", 23.1e-6),
        ("1e-6 1/K", "1/K", 1e-6),
        ("5 um^2/s", "m^2/s", 5e-12),
        ("1 MS/m", "S/m", 1e6),
        ("2 %", "1", 0.02),
        (5, "Pa", 5.0),
    ],
)
def test_units(text: Any, unit: str, value: float) -> None:
    assert quantity(text, unit, "k")[0] == pytest.approx(value, rel=1e-14)


def test_units_against_pint() -> None:
    pint = pytest.importorskip("pint")
    registry = pint.UnitRegistry()
    for ours, theirs in (
        ("GPa", "GPa"),
        ("W/(m K)", "W/(m*K)"),
        ("S/cm", "S/cm"),
        ("psi", "psi"),
        ("cm^2/h", "cm**2/hour"),
        ("J/(kg K)", "J/kg/K"),
    ):
        assert parse_unit(ours, "k")[0] == pytest.approx(registry(theirs).to_base_units().magnitude, rel=1e-10)


@pytest.mark.parametrize("text", ["70 GPx", "70 W", "GPa", "nan", "1 GPa/(m", True, None, "1 2"])
def test_unit_mistakes(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"^here"):
        quantity(text, "Pa", "here")


def phase(**content: Any) -> materials.Phase:
    return materials.build({"phases": {"a": content}}).phases[0]


def test_presets_load() -> None:
    assert {"cu", "ni_ni3al", "fe", "w", "epoxy_glass"} <= set(names("material"))
    for name in names("material"):
        system = materials.read_material(name)
        assert system.source
        assert system.united
        for p in system.phases:
            assert np.linalg.eigvalsh(p.tensor("stiffness"))[0] > 0


def test_forms_of_stiffness() -> None:
    cubic = tensors.cubic_stiffness(100e9, 60e9, 30e9)
    for given in (
        {"C11": "100 GPa", "C12": "60 GPa", "C44": "30 GPa"},
        {
            "matrix": [
                [100e9, 60e9, 60e9, 0, 0, 0],
                [100e9, 60e9, 0, 0, 0],
                [100e9, 0, 0, 0],
                [30e9, 0, 0],
                [30e9, 0],
                [30e9],
            ]
        },
        {"symmetry": "cubic", "C11": 100e9, "C12": 60e9, "C44": 30e9},
    ):
        np.testing.assert_allclose(phase(stiffness=given).values["stiffness"], cubic, rtol=1e-12)
    iso = tensors.isotropic_stiffness(*tensors.bulk_and_shear({"E": 10.0, "nu": 0.3}))
    nine = {
        "E1": 10,
        "E2": 10,
        "E3": 10,
        "nu12": 0.3,
        "nu13": 0.3,
        "nu23": 0.3,
        "G12": 10 / 2.6,
        "G13": 10 / 2.6,
        "G23": 10 / 2.6,
    }
    np.testing.assert_allclose(phase(stiffness=nine).values["stiffness"], iso, atol=1e-12)


def test_orientations() -> None:
    c = {"C11": 100, "C22": 110, "C33": 120, "C12": 60, "C13": 50, "C23": 40, "C44": 30, "C55": 20, "C66": 10}
    a = phase(stiffness=c, orientation={"euler": [90, 0, 0]}).tensor("stiffness")
    b = phase(stiffness=c, orientation={"axis": [0, 0, 2], "angle": 90}).tensor("stiffness")
    q = phase(stiffness=c, orientation={"quaternion": [1, 0, 0, 1]}).tensor("stiffness")
    np.testing.assert_allclose(a, b, atol=1e-10)
    np.testing.assert_allclose(a, q, atol=1e-10)
    assert np.asarray(a)[0, 0] == pytest.approx(110)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stiffness": {"C11": "100 GPa", "C12": "120 GPa", "C44": "30 GPa"}}, "not positive definite"),
        ({"stiffness": {"C11": "100 GPa", "C12": "60 GPa"}}, "fit no symmetry"),
        ({"stiffness": {"symmetry": "cubic", "C11": 1, "C12": 0.5}}, "lacks C44"),
        ({"stiffness": {"E": "70 GPa", "nu": 0.3, "symmetry": "cubic"}}, "isotropic symmetry"),
        ({"stiffness": {"E": "70 W", "nu": 0.3}}, "cannot be converted to Pa"),
        ({"stiffness": {"C11": "100 GPa", "C12": 60, "C44": "30 GPa"}}, "units"),
        ({"stiffness": 5}, "mapping of constants"),
        ({"stiffness": {"matrix": [[1, 2], [3, 4]]}}, "6 rows"),
        ({"conductivity": -3}, "not positive definite"),
        ({"conductivity": [1, 2]}, "2 entries"),
        ({"conductivity": {"xx": 1, "yx": 2}}, "components"),
        ({"conductivity": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "symmetric"),
        ({"conductivty": 3}, "did you mean 'conductivity'"),
        ({"conductivity": 3, "orientation": {"euler": [1, 2]}}, "orientation"),
        ({"conductivity": "3 W/(m K)", "diffusivity": 3}, "units"),
        ({"conductivity": {"xx": 1, "xz": 0.2}}, "lacks yy, zz"),
        ({"conductivity": -1}, "lowest eigenvalue is -1$"),
        ({"stiffness": {"E": 1, "nu": "0.3 GPa"}}, "without a unit is expected, e.g. 0.3"),
        ({"conductivity": 3, "orientation": {"axis": [0, 0, 0], "angle": 1}}, "an axis of three numbers, not all zero"),
        ({"conductivity": 3, "orientation": {"euler": [math.nan, 0, 0]}}, "three finite angles"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_mistakes(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.compile(message, re.M)) as caught:
        phase(**content)
    assert "material.phases.a" in str(caught.value)
    assert len(str(caught.value).splitlines()[0]) < 250


def test_a_key_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("phases:\n  a: {conductivity: 1}\n  b: {conductivity: 2}\n  a: {conductivity: 3}\n")
    with pytest.raises(ConfigError, match=r"m\.yaml gives 'a' twice, the second time in line 4"):
        materials.read_material(str(path))
    path.write_text("phases:\n  a: {conductivity: 1}\n  b: {conductivity: 2}\n")
    assert len(materials.read_material(str(path)).phases) == 2


def test_unknown_preset_and_missing_property() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cu'"):
        materials.read_material("cuu")
    with pytest.raises(ConfigError, match="permittivity: is missing"):
        materials.read_material("cu").phases[0].tensor("permittivity")


def test_a_preset_and_its_changes_are_one() -> None:
    """Units are checked over both; what is not changed stays, level and orientation among it."""

    def changed(**phases: Any) -> materials.MaterialSystem:
        return materials.system_of({"preset": "epoxy_glass", "phases": phases})

    for change in ({"glass": {"stiffness": {"E": 5, "nu": 0.3}}}, {n: {"conductivity": 5} for n in ("glass", "epoxy")}):
        with pytest.raises(ConfigError, match="give units everywhere or nowhere"):
            changed(**change)
    system = changed(glass={"level": 255, "orientation": {"euler": [90, 0, 0]}})
    glass = system.phase("glass")
    assert glass.level == 255
    np.testing.assert_allclose(glass.rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)
    preset = materials.read_material("epoxy_glass")
    np.testing.assert_array_equal(glass.values["stiffness"], preset.phase("glass").values["stiffness"])
    assert system.source == preset.source
    void = changed(glass="void").phase("glass")
    assert (void.values["stiffness"], void.values["conductivity"]) == (0.0, 0.0)
    with pytest.raises(ConfigError, match="did you mean 'glass'"):
        changed(glas={"level": 1})
    with pytest.raises(ConfigError, match="did you mean 'phases'"):
        materials.system_of({"preset": "epoxy_glass", "phasses": {}})

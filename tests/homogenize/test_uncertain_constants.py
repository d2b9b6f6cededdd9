"""Numbers with uncertainties as they are written for materials."""

from __future__ import annotations

import math

import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize import build
from phasefield.mechanics.uncertain import Spread, read_number

GOOD = [
    ("70 GPa", "Pa", 70e9, None),
    ("70(2) GPa", "Pa", 70e9, Spread(2e9)),
    ("70.0(2) GPa", "Pa", 70e9, Spread(0.2e9)),
    ("70.05(12)GPa", "Pa", 70.05e9, Spread(0.12e9)),
    ("70.0(1.5) GPa", "Pa", 70e9, Spread(1.5e9)),
    ("0.330(7)", "1", 0.33, Spread(0.007)),
    ("58(2)e-6 1/K", "1/K", 58e-6, Spread(2e-6)),
    (".5(1) %", "1", 0.005, Spread(0.001)),
    ("70 +/- 2 GPa", "Pa", 70e9, Spread(2e9)),
    ("70 GPa ± 500 MPa", "Pa", 70e9, Spread(0.5e9)),
    ("58e-6 +- 2e-6 1/K", "1/K", 58e-6, Spread(2e-6)),
    ({"mean": "70 GPa", "std": "2 GPa"}, "Pa", 70e9, Spread(2e9)),
    ({"mean": 70, "std": 2, "kind": "epistemic"}, "Pa", 70, Spread(2, "epistemic")),
    ({"mean": 70, "std": 2, "distribution": "lognormal"}, "Pa", 70, Spread(2, distribution="lognormal")),
    ({"value": "70(2) GPa", "kind": "epistemic"}, "Pa", 70e9, Spread(2e9, "epistemic")),
    ({"value": "70 GPa", "std": 0}, "Pa", 70e9, None),
]


@pytest.mark.parametrize(("given", "unit", "value", "spread"), GOOD, ids=lambda v: str(v))
def test_notation(given, unit, value, spread):
    number, found, _ = read_number(given, unit, "E")
    assert number == pytest.approx(value, rel=1e-14)
    if spread is None:
        assert found is None
    else:
        assert found.std == pytest.approx(spread.std, rel=1e-12)
        assert (found.kind, found.distribution) == (spread.kind, spread.distribution)


def test_ranges_are_uniform_and_epistemic():
    number, spread, united = read_number({"low": "68 GPa", "high": "72 GPa"}, "Pa", "E")
    assert (number, spread.kind, spread.distribution, united) == (70e9, "epistemic", "uniform", True)
    assert spread.std == pytest.approx(4e9 / math.sqrt(12))
    assert spread.interval(number) == pytest.approx((68e9, 72e9))
    assert read_number({"low": 1, "high": 2, "kind": "aleatoric"}, "Pa", "E")[1].kind == "aleatoric"


BAD = [
    ({"mean": "70 GPa", "std": "-2 GPa"}, "Pa", "positive"),
    ("70(-2) GPa", "Pa", "without a sign"),
    ("70() GPa", "Pa", "digits are expected"),
    ("70 +/- -2 GPa", "Pa", "positive"),
    ({"mean": "70 GPa", "std": "3 %"}, "Pa", "share of"),
    ("70 +/- 3 %", "Pa", "share of"),
    ("0.3 +/- 5 %", "1", "share of"),
    ({"mean": "70 GPa", "std": 2}, "Pa", "give it to both"),
    ({"mean": 70, "std": "2 GPa"}, "Pa", "give it to both"),
    ({"mean": "70 GPa", "std": "2 K"}, "Pa", "cannot be converted"),
    ("70(2) K", "Pa", "cannot be converted"),
    ("70(2) GPas", "Pa", "no known unit"),
    ({"mean": "70 GPa"}, "Pa", None),
    ({"std": "2 GPa"}, "Pa", "a number with its uncertainty"),
    ({"low": "72 GPa", "high": "68 GPa"}, "Pa", "low must be below high"),
    ({"low": "68 GPa", "high": 72}, "Pa", "one end"),
    ({"low": 1, "high": 2, "distribution": "normal"}, "Pa", "uniform"),
    ({"mean": 70, "std": 2, "kind": "aleatory"}, "Pa", "aleatoric"),
    ({"mean": 70, "std": 2, "distribution": "gamma"}, "Pa", "gamma"),
    ({"mean": 70, "sdt": 2}, "Pa", "sdt"),
    ({"value": 70, "kind": "epistemic"}, "Pa", "no uncertainty"),
    ({"mean": 70, "std": math.nan}, "Pa", "finite"),
    ("70 (2) GPa", "Pa", "right behind"),
    ("70(2 GPa", "Pa", "right behind"),
    ("1(0) GPa", "Pa", "an uncertainty of 0"),
    ("70.0(0.0)e9", "1", "an uncertainty of 0"),
    ("5.8e-5(2) 1/K", "1/K", "58(2)e-6"),
    ("70(2)(3) GPa", "Pa", "one pair"),
]


@pytest.mark.parametrize(("given", "unit", "said"), BAD, ids=lambda v: str(v))
def test_bad_notation(given, unit, said):
    if said is None:
        assert read_number(given, unit, "E")[1] is None
        return
    with pytest.raises(ConfigError, match="E") as caught:
        read_number(given, unit, "E")
    assert said in str(caught.value)


def test_constants_of_every_form():
    phase = {
        "stiffness": {"C11": "108(2) GPa", "C12": "61 GPa", "C44": "28 GPa"},
        "conductivity": {"a": "2.0(1) W/(m K)", "c": "3 W/(m K)"},
        "expansion": ["1.0(2)e-6 1/K", "2e-6 1/K", "3e-6 1/K"],
        "permittivity": {"mean": 4, "std": 1},
    }
    system = build({"phases": {"a": phase}})
    known = system.constants
    assert list(known) == [
        "a.C11", "a.C12", "a.C44", "a.conductivity.a", "a.conductivity.c", "a.expansion.xx", "a.expansion.yy", "a.expansion.zz",
        "a.permittivity",
    ]  # fmt: skip
    assert {n: c.spread.std for n, c in known.items() if c.spread} == pytest.approx(
        {"a.C11": 2e9, "a.conductivity.a": 0.1, "a.expansion.xx": 2e-7, "a.permittivity": 1}
    )
    assert [known[n].unit for n in ("a.C11", "a.expansion.xx", "a.permittivity")] == ["Pa", "1/K", "1"]


def test_full_matrices():
    upper = [[9, 3, 3, 0, 0, 0], [9, 3, 0, 0, 0], [9, 0, 0, 0], ["3(1)", 0, 0], [3, 0], [3]]
    square = [[1, "0.1(1)", 0], ["0.1(1)", 2, 0], [0, 0, 3]]
    system = build({"phases": {"b": {"stiffness": upper, "conductivity": square}}})
    spreads = {n: c.spread.std for n, c in system.constants.items() if c.spread}
    assert spreads == pytest.approx({"b.C44": 1, "b.conductivity.xy": 0.1})
    changed = system.with_constants({"b.C44": 5.0, "b.conductivity.xy": 0.3}).phases[0]
    assert changed.values["stiffness"][3, 3] == pytest.approx(10)  # Mandel
    assert changed.values["conductivity"][0, 1] == changed.values["conductivity"][1, 0] == 0.3
    square[1][0] = 0.1
    with pytest.raises(ConfigError, match="another uncertainty"):
        build({"phases": {"b": {"conductivity": square}}})


def test_constants_that_are_not_there_or_not_stable():
    system = build({"phases": {"a": {"stiffness": {"E": 1, "nu": 0.3}}}})
    with pytest.raises(ConfigError, match=r"a\.G"):
        system.with_constants({"a.G": 1.0})
    with pytest.raises(ConfigError, match="must be positive"):
        system.with_constants({"a.nu": 0.6})

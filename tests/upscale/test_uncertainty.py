"""Uncertain constants carried to effective properties: first order, polynomial chaos and Monte Carlo against each other."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield import cli
from phasefield.errors import ConfigError
from phasefield.homogenize import Options, Settings, build, from_array
from phasefield.homogenize.problem import Problem
from phasefield.homogenize.properties import results_of
from phasefield.homogenize.sensitivity import parameters
from phasefield.store import open_dataset
from phasefield.upscale.uncertainty import propagate

F = 3 / 8
LAYERS = from_array(np.repeat([0, 1], [3, 5])[:, None, None] * np.ones((1, 2, 2), int))
MILD = {
    "a": {"conductivity": {"mean": 2.0, "std": 0.1}},
    "b": {"conductivity": {"mean": 7.0, "std": 0.4, "kind": "epistemic"}},
}


def found(phases, image=LAYERS, properties=("conductivity",), **more):
    """The problem, its results and what came of its uncertainties."""
    made = {"uncertainty": "first-order", "two_grid": False, "mixing": False, "solver": Options(tolerance=1e-9), **more}
    problem = Problem.of(image, build({"phases": phases}), Settings(properties=properties, **made))
    results = results_of(problem)
    if made["uncertainty"] == "first-order":
        return {r.name: r.propagation for r in results}
    return propagate(problem, results)


def test_first_order_in_closed_form():
    made = found(MILD)["conductivity"]
    k = 1 / (F / 2 + (1 - F) / 7)
    across = k**2 * np.array([F / 2**2 * 0.1, (1 - F) / 7**2 * 0.4])
    along = np.array([F * 0.1, (1 - F) * 0.4])
    np.testing.assert_allclose(np.diag(made.tensor.std), [np.hypot(*across), *[np.hypot(*along)] * 2], rtol=1e-7)
    np.testing.assert_allclose(made.tensor.parts["aleatoric"][0, 0], across[0], rtol=1e-7)
    np.testing.assert_allclose(made.tensor.parts["epistemic"][1, 1], along[1], rtol=1e-7)
    np.testing.assert_allclose(made.quantities["yy"].first, along**2 / np.sum(along**2), rtol=1e-7)


def test_three_ways_agree_on_a_mild_case():
    first, chaos, samples = (
        found(MILD, uncertainty=how, uncertainty_samples=n)["conductivity"]
        for how, n in (("first-order", None), ("pce", None), ("montecarlo", 640))
    )
    assert (chaos.solves, chaos.notes, samples.notes) == (13, [], [])
    assert samples.solves == 128 * 5
    for k in range(3):
        assert chaos.tensor.std[k, k] == pytest.approx(first.tensor.std[k, k], rel=5e-3)
        assert samples.tensor.std[k, k] == pytest.approx(chaos.tensor.std[k, k], rel=0.05)
        assert samples.tensor.mean[k, k] == pytest.approx(chaos.tensor.mean[k, k], rel=2e-3)
        for kind in ("aleatoric", "epistemic"):
            whole = chaos.tensor.std[k, k]
            assert chaos.tensor.parts[kind][k, k] == pytest.approx(first.tensor.parts[kind][k, k], abs=0.01 * whole)
            assert samples.tensor.parts[kind][k, k] == pytest.approx(chaos.tensor.parts[kind][k, k], abs=0.15 * whole)
        # Sobol indices with intervals: of a sum of independent parts they are its shares of the variance.
        for made, widest in ((chaos, 0.15), (samples, 0.4)):
            for index, interval in (
                (made.tensor.first, made.tensor.first_interval),
                (made.tensor.total, made.tensor.total_interval),
            ):
                off = np.abs(index[:, k, k] - first.tensor.first[:, k, k])
                assert np.all(off < 1.5 * interval[:, k, k] + 0.01)
                assert np.all(interval[:, k, k] < widest)


def test_parts_of_few_samples():
    """Parts are shares of the variance: how large the mean is beside it does not count."""
    phases = {
        "a": {"conductivity": {"mean": 20.0, "std": 0.2}},
        "b": {"conductivity": {"mean": 70.0, "std": 0.1, "kind": "epistemic"}},
    }
    made = found(phases, uncertainty="montecarlo", uncertainty_samples=320)["conductivity"]
    right = {"aleatoric": F * 0.2, "epistemic": (1 - F) * 0.1}
    for kind, part in right.items():
        assert made.quantities["yy"].parts[kind] == pytest.approx(part, rel=0.1)
    assert not [n for n in made.notes if "cut" in n]
    phases["a"]["conductivity"]["std"] = 1e-4  # next to nothing of the variance
    cut = [found(phases, uncertainty="montecarlo", uncertainty_samples=40, seed=k)["conductivity"] for k in range(4)]
    assert [n for made in cut for n in made.notes if "where it was cut" in n]


def test_first_order_fails_on_a_strong_case():
    """The mean resistance of a lognormal resistor is not that of its mean conductance."""
    phases = {"a": {"conductivity": {"mean": 1.0, "std": 1.0, "distribution": "lognormal"}}, "b": {"conductivity": 1.0}}
    for how, more in (
        ("pce", {"uncertainty_order": 5, "uncertainty_samples": 40}),
        ("montecarlo", {"uncertainty_samples": 384}),
    ):
        made = found(phases, uncertainty=how, **more)["conductivity"]
        assert any("first order fails for xx" in note for note in made.notes)
        assert not any("first order fails for yy" in note for note in made.notes)  # linear in the constant
        # An independent quadrature of the layers' closed form.
        x, w = np.polynomial.hermite_e.hermegauss(60)
        a = np.exp(np.sqrt(np.log(2)) * x - np.log(2) / 2)
        k = 1 / (F / a + (1 - F))
        mean = w @ k / w.sum()
        std = np.sqrt(w @ (k - mean) ** 2 / w.sum())
        rel = 0.01 if how == "pce" else 0.1
        assert made.tensor.mean[0, 0] == pytest.approx(mean, rel=rel)
        assert made.tensor.std[0, 0] == pytest.approx(std, rel=3 * rel)


def test_stiffness_and_expansion_with_ranges():
    phases = {
        "a": {"stiffness": {"E": "3.0(1)", "nu": {"low": 0.33, "high": 0.37}}, "expansion": "2.0(1)e-2"},
        "b": {"stiffness": {"E": 20.0, "nu": 0.2}, "expansion": 1e-2},
    }
    first, chaos = (
        found(phases, properties=("stiffness", "expansion"), uncertainty=how) for how in ("first-order", "pce")
    )
    for name in ("stiffness", "expansion"):
        for quantity, own in chaos[name].quantities.items():
            assert own.std == pytest.approx(first[name].quantities[quantity].std, rel=0.03), (name, quantity)
            assert own.total.sum() == pytest.approx(1, abs=0.1)
    assert set(chaos["stiffness"].quantities) == {"K", "G", "E", "nu"}


def test_seed_makes_the_samples():
    one, same, other = (
        found(MILD, uncertainty="montecarlo", uncertainty_samples=40, seed=s)["conductivity"] for s in (1, 1, 2)
    )
    assert np.array_equal(one.tensor.std, same.tensor.std)
    assert not np.array_equal(one.tensor.std, other.tensor.std)


def test_starts_from_the_nearest_sample_save_iterations(monkeypatch):
    from phasefield.upscale import uncertainty

    taken = []

    def counting(problem, start):
        out = results_of(problem, start)
        taken.append((bool(start), out[0].iterations))
        return out

    monkeypatch.setattr(uncertainty, "results_of", counting)
    x = np.indices((16, 16)).sum(0)
    found(MILD, image=from_array((np.sin(x) > 0).astype(int)), uncertainty="pce", uncertainty_samples=12)
    cold, warm = sum(taken[0][1]), np.mean([sum(n) for started, n in taken if started])
    assert len(taken) == 12
    assert not taken[0][0]
    assert warm < 0.9 * cold


@pytest.mark.parametrize(
    ("phases", "more", "said"),
    [
        ({"a": {"conductivity": 1.0}, "b": {"conductivity": 2.0}}, {}, "no constant"),
        (MILD, {"uncertainty_samples": 3}, "coefficients"),
        (MILD, {"uncertainty": "montecarlo", "uncertainty_samples": 15}, "at least"),
        ({"a": {"conductivity": {"mean": 1, "std": 2}}, "b": {"conductivity": 1.0}}, {}, "no stable material"),
    ],
)
def test_refused(phases, more, said):
    with pytest.raises(ConfigError, match="uncertainty") as caught:
        found(phases, **{"uncertainty": "pce", **more})
    assert said in str(caught.value)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    return end.value.code


def test_command_writes_what_was_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.indices((12, 12)).sum(0)
    np.save("image.npy", (np.sin(x / 2) > 0).astype(int))
    words = ["homogenize", "image.npy", "material=epoxy_glass", "properties=[stiffness,conductivity]", "two_grid=false"]
    changes = [
        "material.phases.glass.stiffness={E: 80(4) GPa, nu: 0.2}",
        "material.phases.epoxy.conductivity=0.20(2) W/(m K)",
    ]
    assert run(*words, *changes) == 0
    text = capsys.readouterr().out
    assert "uncertainty by the constants (first-order)" in text
    assert "glass.E 100 %" in text
    with open_dataset("image_properties.nc") as data:
        assert list(data.parameter.values) == [
            "epoxy.E", "epoxy.nu", "epoxy.conductivity", "glass.E", "glass.nu", "glass.conductivity"
        ]  # fmt: skip
        assert data.parameter_std.sel(parameter="glass.E") == 4e9
        assert np.isnan(data.parameter_std.sel(parameter="glass.nu"))
        assert str(data.parameter_unit.sel(parameter="epoxy.conductivity").values) == "W/(m K)"
        assert list(data.parameter_kind.values) == ["", "", "aleatoric", "aleatoric", "", ""]
        assert data.stiffness_sensitivity.dims == ("time", "parameter", "row", "column")
        assert data.conductivity_sensitivity.dims == ("time", "parameter", "i", "j")
        own = data.stiffness_sensitivity.sel(parameter="glass.E").values * 4e9
        np.testing.assert_allclose(data.stiffness_parameter_std.values, np.abs(own), rtol=1e-12)
        assert data.stiffness_parameter_std.attrs["method"] == "first-order"
        assert not data.conductivity_sensitivity.sel(parameter="glass.E").values.any()
    assert run(*words, *changes, "uncertainty=pce", "seed=3") == 0
    assert "(pce, 13 solves" in capsys.readouterr().out
    with open_dataset("image_properties.nc") as data:
        assert data.stiffness_parameter_std.attrs["seed"] == 3
        total = data.stiffness_E_sobol_total.isel(time=0)
        assert float(total.sel(parameter="glass.E")) == pytest.approx(1, abs=0.1)
        assert float(data.stiffness_E_parameter_mean[0]) == pytest.approx(float(data.stiffness_E[0]), rel=0.01)
    assert run(*words, "sensitivity=true") == 0
    text = capsys.readouterr().out
    assert "change in % per % of a constant" in text
    with open_dataset("image_properties.nc") as data:
        assert "stiffness_sensitivity" in data
        assert "stiffness_parameter_std" not in data
    assert run(*words) == 0
    with open_dataset("image_properties.nc") as data:
        assert "stiffness_sensitivity" not in data
    assert run(*words, "uncertainty=pce") == 2
    assert "no constant of the material has an uncertainty" in capsys.readouterr().err


def test_parameters_of_other_properties_stay_out():
    material = build({"phases": {k: {**v, "permittivity": 2.0} for k, v in MILD.items()}})
    problem = Problem.of(LAYERS, material, Settings(properties=("conductivity",)))
    assert list(parameters(problem)) == ["a.conductivity", "b.conductivity"]

"""From samples as they were measured to what is said of them, without a solve."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize import build
from phasefield.mechanics import tensors
from phasefield.store import write_dataset
from phasefield.upscale.measuring import Measured, Values
from phasefield.upscale.samples import ORIGINAL
from phasefield.upscale.sources import read_record
from phasefield.upscale.statistics_dataset import datasets
from phasefield.upscale.statistics_settings import Request
from phasefield.upscale.statistics_summary import scalars, summarize
from phasefield.upscale.statistics_table import table

REQUEST = Request(properties=("conductivity",), resamples=100, picture=False, error=0.01)


def _sample(number: int, tensor: Any, name: str = "conductivity", own: Any = None, **more: Any) -> Measured:
    """A sample of a tensor; ``own`` is what else its `Values` are given, ``more`` what it is itself."""
    values = Values("1", np.asarray(tensor, float), **(own or {}))
    facts = {"spacing": [1e-9, 1e-9], "unit": "m", "axes": 2, **more.pop("facts", {})}
    given = {"voxels": 8, "edge": 8e-9, "axes": [0, 1], "length": 1e-9, "boundary": "periodic", **more}
    return Measured(
        f"s{number}", str(number), phases=["a", "b"], fractions=[0.5, 0.5], values={name: values}, facts=facts, **given
    )


def _diagonals(*numbers: float) -> list[np.ndarray]:
    return [np.diag([k, k, k]).astype(float) for k in numbers]


def test_parts_are_those_of_a_record_of_one() -> None:
    others = {n: np.full((3, 3), np.nan) for n in ("static", "kinematic")}
    others["static"][:2, :2], others["kinematic"][:2, :2] = np.eye(2), 3 * np.eye(2)
    parts = {"discretisation": 0.02, "mixing_spread": 0.03}
    own = {"others": others, "parts": parts, "sharp": False, "tolerance": 1e-2}
    made = [_sample(k, t, own=own) for k, t in enumerate(_diagonals(2, 3, 4))]
    (prop,) = summarize(made, REQUEST).properties
    found = prop.sizes[0].parts
    assert found["numerical"].std[0, 0] == pytest.approx(3 * math.hypot(0.01, 1e-2 / math.sqrt(3)))
    model = [math.hypot(k * 0.03 / math.sqrt(3), 2 / math.sqrt(12)) for k in (2, 3, 4)]
    assert found["model"].std[0, 1] == pytest.approx(np.mean(model))  # a zero by symmetry is uncertain as well
    assert np.isnan(found["model"].std[2, 2])  # the faces bear no loads along z
    assert (found["model"].contains, found["model"].lacks) == (("mixing rule", "boundary condition"), ())
    # One whose voxels were mixed, and how far rules differ is not known.
    made[0] = replace(made[0], values={"conductivity": replace(made[0].values["conductivity"], parts={})})
    (prop,) = summarize(made, REQUEST).properties
    assert "numerical" not in prop.sizes[0].parts
    assert prop.sizes[0].parts["model"].lacks == ("mixing rule",)


def test_uncertain_constants_stand_beside_the_mean() -> None:
    spread = np.full((3, 3), 0.5)
    made = [
        _sample(k, t, own={"parameter_std": spread * k, "unknown": ["b.k"]}) for k, t in enumerate(_diagonals(2, 3, 4))
    ]
    summary = summarize(made, REQUEST)
    assert (summary.properties[0].sizes[0].parts["parameter"].std == 0.5).all()
    written = datasets(summary, REQUEST, "", {})[1]["conductivity"]["parameter_std"].attrs
    assert (written["contains"], written["lacks"]) == ("constants of the phases", "b.k")


def test_the_plane_of_samples_of_two_axes_is_theirs() -> None:
    rng = np.random.default_rng(0)
    c = (a := rng.random((6, 6))) @ a.T
    swap = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], float)  # y and z
    turned = tensors.rotate(c, swap)
    assert scalars(c, True, [0, 2]) == pytest.approx(scalars(turned, True, [0, 1]))
    assert scalars(c, True, [0, 2]) != pytest.approx(scalars(c, True, [0, 1]))
    made = [_sample(k, np.diag([k + 1, 50, k + 3]), axes=[0, 2]) for k in range(3)]
    (prop,) = summarize(made, REQUEST).properties
    assert prop.sizes[0].scalar.mean[0] == pytest.approx(3.0)


def test_the_integral_range_of_a_sheet_is_by_the_sheets_of_its_phases() -> None:
    system = build({"phases": {"a": {"stiffness": {"E": 1.0, "nu": 0.3}}, "b": {"stiffness": {"E": 10.0, "nu": 0.3}}}})
    request = replace(REQUEST, properties=("stiffness",), plane="stress")
    made = []
    for k, e in enumerate((4.0, 5.0, 6.0)):
        whole = tensors.isotropic_stiffness(e / 3 / (1 - 2 * 0.3), e / 2 / (1 + 0.3))
        made.append(_sample(k, tensors.embed_plane(tensors.plane_stress(whole)), "stiffness", edge=8.0))
    (prop,) = summarize(made, request, system).properties
    # K of a sheet is E/2/(1 - nu), so that Var(E) over f (1 - f) (E1 - E2)^2 is left.
    assert prop.ranges[0] == pytest.approx(1.0 * 64 / (0.25 * 81))


def test_windows_that_overlap_are_not_independent(tmp_path: Path) -> None:
    made = [_sample(k, t) for k, t in enumerate(_diagonals(2, 3, 4))]
    for step, overlap in ((4, True), (8, False)):
        summary = summarize(made, REQUEST, step=step)
        assert any("overlap" in note for note in summary.notes) == overlap
        root, groups = datasets(summary, REQUEST, "", {})
        write_dataset(root, tmp_path / "f.nc", groups)
        part = read_record(tmp_path / "f.nc").properties["conductivity"].uncertainty["statistical"]
        assert part is not None
        assert part.lacks == (("independence of the samples",) if overlap else ())


def test_what_is_not_known_is_no_number() -> None:
    made = [_sample(k, t) for k, t in enumerate(_diagonals(-1, 0, 1))]  # a mean of 0 has no relative error
    summary = summarize(made, REQUEST)
    group = datasets(summary, REQUEST, "", {})[1]["conductivity"]
    assert np.isnan(group["samples_needed"]).all()
    assert np.isnan(group["representative"]).all()
    row = next(line for line in table(summary).splitlines() if line.split()[:2] == ["8", "3"])
    assert row.split()[-1] == "-"
    assert "density" not in datasets(summary, REQUEST, "", {})[0]


def test_statistics_are_those_of_reconstructions_not_of_their_originals() -> None:
    originals = [
        replace(_sample(k, t, boundary="all"), name=f"{ORIGINAL}{k}") for k, t in enumerate(_diagonals(5, 6, 7), 10)
    ]
    made = [_sample(k, t, density=(1000.0 + k, 3.0)) for k, t in enumerate(_diagonals(2, 3, 4))]
    root, groups = datasets(summarize([*originals, *made], REQUEST), REQUEST, "", {})
    assert root.attrs["title"].endswith(", 3 samples")
    assert root.attrs["boundary"] == "periodic"
    assert root["density"].values == pytest.approx([1001.0])
    assert root["density_parameter_std"].values == pytest.approx([3.0])
    assert groups["conductivity"]["original_mean"].values[0, 0, 0] == pytest.approx(6)
    assert groups["conductivity"]["mean"].values[0, 0, 0] == pytest.approx(3)
    with pytest.raises(ConfigError, match="originals alone"):
        summarize(originals, REQUEST)


def test_facts_are_the_same_but_for_rounding_whatever_their_unit() -> None:
    def with_facts(**facts: Any) -> list[Measured]:
        made = [_sample(k, t, facts={"spacing": [1.0859e-9] * 2}) for k, t in enumerate(_diagonals(2, 3, 4))]
        made[2].facts.update(facts)
        return made

    small = {"diffusivity of a": np.diag([3e-14] * 3).tolist(), "density of b": math.nan}
    other = {"diffusivity of a": np.diag([3.1e-14] * 3).tolist(), "density of b": math.nan}
    summarize(with_facts(spacing=[1.0859e-9 * (1 + 1e-12)] * 2), REQUEST)
    for facts, says in (({"spacing": [1.086e-9] * 2}, "in its spacing"), ({"unit": "nm"}, "in its spacing")):
        with pytest.raises(ConfigError, match=says):
            summarize(with_facts(**facts), REQUEST)
    # 1.0859 nm and 1.0859e-9 m are the same length, and so are edges in them.
    lengths = with_facts()
    edges = [summarize(lengths, REQUEST).properties[0].sizes[0].edge]
    nm = {**lengths[1].facts, "spacing": [1.0859] * 2, "unit": "nm"}
    lengths[1] = replace(lengths[1], edge=1e9 * lengths[1].edge, length=1e9 * lengths[1].length, facts=nm)
    edges.append(summarize(lengths, REQUEST).properties[0].sizes[0].edge)
    assert edges[0] == pytest.approx(edges[1])
    made = [replace(m, facts={**m.facts, "constants": small}) for m in with_facts()]
    root, _ = datasets(summarize(made, REQUEST), REQUEST, "", {})
    np.testing.assert_array_equal(root.attrs["image_spacing"], [1.0859e-9] * 2)
    assert root["size"].attrs["units"] == "m"
    made[1].facts["constants"] = other
    with pytest.raises(ConfigError, match=r"differs from s0 in its constants: diffusivity of a"):
        summarize(made, REQUEST)

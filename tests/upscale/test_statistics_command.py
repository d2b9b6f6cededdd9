"""The command from samples to its file: what is in it against independent calculations, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from phasefield import cli
from phasefield.errors import ConfigError, PhasefieldError
from phasefield.homogenize import Options, Settings, build, from_array, homogenize
from phasefield.homogenize.bounds import loewner_margin
from phasefield.homogenize.command import run as homogenize_file
from phasefield.mechanics import tensors
from phasefield.report.statistics import statistics_picture
from phasefield.store import sha256
from phasefield.upscale.sources import read_record
from phasefield.upscale.statistics_command import Outcome, statistics
from phasefield.wall import WANTS_MORE

MATERIAL = {
    "phases": {
        "a": {"stiffness": {"E": "1 GPa", "nu": 0.3}, "conductivity": "1 W/(m K)"},
        "b": {"stiffness": {"E": "10 GPa", "nu": 0.2}, "conductivity": "10 W/(m K)"},
    }
}
#: Kernels of double precision are those of all other tests.
DOUBLE = {"precision": "double"}
CONDUCTIVITY = {
    "material": MATERIAL,
    "properties": "conductivity",
    "picture": False,
    "resamples": 200,
    "solver": DOUBLE,
}


def _cells(seed: int, size: int = 32, cell: int = 2) -> np.ndarray:
    random = np.random.default_rng(seed).random((size // cell, size // cell)) < 0.4
    return np.kron(random, np.ones((cell, cell), int)).astype(np.uint8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("big.npy", _cells(0, 48))
    for k in range(4):
        np.save(f"s{k}.npy", _cells(k + 1, 16))
    return tmp_path


def _group(made: Outcome, name: str) -> xr.Dataset:
    with xr.open_dataset(made.path, group=name) as data:
        return data.load()


def test_windows_of_one_image(here: Path) -> None:
    made = statistics(
        "big.npy",
        sizes=[12, 24],
        material=MATERIAL,
        properties=["stiffness", "conductivity"],
        resamples=200,
        solver=DOUBLE,
    )
    k, c = _group(made, "conductivity"), _group(made, "stiffness")
    assert k["samples"].values.tolist() == [16, 4]
    assert k["size"].values.tolist() == [12, 24]
    # A window by itself, by another way in; and moments by NumPy.
    image, values = np.load("big.npy"), []
    for x in range(0, 48, 24):
        for y in range(0, 48, 24):
            cut = from_array(image[x : x + 24, y : y + 24])
            (one,) = homogenize(
                cut, build(MATERIAL), Settings(properties=("conductivity",), solver=Options(tolerance=1e-8))
            )
            values.append(one.tensor)
    np.testing.assert_allclose(k["mean"].sel(size=24), np.mean(values, 0), atol=2e-4)
    np.testing.assert_allclose(k["std"].sel(size=24), np.std(values, 0, ddof=1), atol=2e-4)
    half = 3.1824 * np.std(values, 0, ddof=1) / 2  # Student's t of 3 degrees of freedom
    np.testing.assert_allclose(k["ci_high"].sel(size=24) - k["mean"].sel(size=24), half, atol=5e-4)
    # The order of boundary conditions for means as for every sample, in the Loewner sense, in Mandel form.
    block = np.ix_([0, 1, 5], [0, 1, 5])
    for size in (12, 24):
        at = c.sel(size=size)
        chain = [tensors.from_voigt(at[n].values)[block] for n in ("reuss", "static", "mean", "kinematic", "voigt")]
        assert all(loewner_margin(upper, lower) > 1e-4 for lower, upper in itertools.pairwise(chain))
    assert (c["sample_margin"] > -1e-5).all()
    assert np.isnan(
        c["static"].sel(row="zz", column="zz")
    ).all()  # of 2-D images the faces bear tractions in the plane alone
    # The share of independent cells: Var = f (1 - f) (2/L)^2.
    with xr.open_dataset(made.path) as root:
        assert root.attrs["boundary"] == "all"
        assert "do not repeat" in root.attrs["boundary_comment"]
        shares = root["sample_volume_fraction"].sel(phase="b")[root["sample_size"] == 12]
        assert float(shares.var(ddof=1)) == pytest.approx(0.4 * 0.6 / 36, rel=0.7)
        length = float(root["sample_correlation_length"][0])
        np.testing.assert_allclose(root["sample_scale_ratio"], length / root["sample_size"])
        # A voxel off, the covariance of cells of two is the mean of 1/2 (beside) and 1/4 (across the corner): 3/8, 1/e about.
        assert length == pytest.approx(1.0, abs=0.1)
    fit = made.summary.properties[1].fits[0]
    assert fit is not None
    assert "needed" in made.text
    assert f"a = {fit.exponent:.2f}" in made.text
    assert "holds for every sample" in made.text
    assert statistics_picture(made.path)[:4] == b"\x89PNG"


def test_what_is_done_is_not_done_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = statistics("s0.npy", "s1.npy", "s2.npy", output="F.nc", **CONDUCTIVITY)
    before = _group(first, "conductivity")
    again = statistics("s0.npy", "s1.npy", "s2.npy", "s3.npy", output="F.nc", **CONDUCTIVITY)
    assert (first.known, again.known, again.replaced) == (0, 3, True)
    lines = Path("F.samples.jsonl").read_text().splitlines()
    assert len(lines) == 5
    Path("F.samples.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])  # killed while it wrote
    third = statistics("s0.npy", "s1.npy", "s2.npy", output="F.nc", **CONDUCTIVITY)
    assert third.known == 2
    xr.testing.assert_identical(_group(third, "conductivity"), before)
    other = statistics("s0.npy", "s1.npy", "s2.npy", output="F.nc", **{**CONDUCTIVITY, "voxel": "sharp"})
    assert other.known == 0  # other settings are other samples
    np.save("s0.npy", _cells(77, 16))
    assert statistics("s0.npy", "s1.npy", "s2.npy", output="F.nc", **{**CONDUCTIVITY, "voxel": "sharp"}).known == 2


def test_side_by_side_gives_the_same_numbers(here: Path) -> None:
    one = statistics("big.npy", sizes=[16], output="1.nc", workers=1, **CONDUCTIVITY)
    two = statistics("big.npy", sizes=[16], output="2.nc", workers=2, **CONDUCTIVITY)
    xr.testing.assert_identical(_group(one, "conductivity"), _group(two, "conductivity"))


def test_files_of_effective_properties_are_samples(here: Path) -> None:
    keys = ["material.phases.a.conductivity=1", "material.phases.b.conductivity=10", "properties=conductivity"]
    paths = [homogenize_file(f"s{k}.npy", keys)[0] for k in range(4)]
    made = statistics(*paths, picture=False)
    tensor = [xr.open_dataset(p)["conductivity"].values[-1] for p in paths]
    found = _group(made, "conductivity")
    np.testing.assert_allclose(found["mean"][0], np.mean(tensor, 0))
    deltas = [float(xr.open_dataset(p)["conductivity_discretisation"][-1]) for p in paths]
    # Two standard uncertainties of the voxels, and the limit of the solver's, of every sample.
    numerical = [t[0, 0] * np.hypot(d / 2, 1e-6 / np.sqrt(3)) for t, d in zip(tensor, deltas, strict=True)]
    assert float(found["numerical_std"][0, 0, 0]) == pytest.approx(np.mean(numerical))
    assert found["numerical_std"].attrs["contains"] == "voxel size, solver tolerance"
    assert "model_std" not in found  # sharp voxels have no mixing rule, and one boundary was computed
    records = [read_record(p).properties["conductivity"].uncertainty["numerical"].std for p in paths]
    np.testing.assert_allclose(found["numerical_std"][0], np.mean(records, 0))  # a record of one says the same
    other, _, _ = homogenize_file("s3.npy", [*keys, "material.phases.b.conductivity=12", "output=other.nc"])
    with pytest.raises(ConfigError, match=r"other\.nc.*constants of the phases.*conductivity of b"):
        statistics(*paths[:3], other, picture=False)
    Path("half.nc").write_bytes(Path(paths[3]).read_bytes()[:3000])
    with pytest.raises(PhasefieldError, match=r"half\.nc.*(cannot be read|damaged)"):  # not taken for an image
        statistics(*paths[:3], "half.nc", picture=False)
    with pytest.raises(ConfigError, match=r"_properties\.nc.*images \(s0\.npy\)"):
        statistics(*paths[:3], "s0.npy", picture=False)


@pytest.mark.slow
def test_what_the_material_says_goes_into_the_file(here: Path) -> None:
    """Uncertain constants, density, temperature and hashes, the same from images as from files of their properties."""
    keys = ["material=m.yaml", "properties=conductivity", "spacing=1.0859nm", "two_grid=false", "descriptors=false"]
    Path("m.yaml").write_text(json.dumps({"temperature": "20 degC", "phases": {
        "a": {"density": "1 g/cm^3", "conductivity": "1.0(1) W/(m K)"},
        "b": {"density": "2.0(3) g/cm^3", "conductivity": "10 W/(m K)"},
    }}))  # fmt: skip
    files = [homogenize_file(f"s{k}.npy", keys)[0] for k in range(3)]
    solver = {"precision": "double", "tolerance": 1e-6, "criterion": "components"}  # as `homogenize` has it
    more = {**CONDUCTIVITY, "material": "m.yaml", "spacing": ["1.0859 nm"], "solver": solver}
    first = statistics("s0.npy", "s1.npy", "s2.npy", output="A.nc", **more)
    other = statistics(*files, output="B.nc", picture=False)
    a, b = _group(first, "conductivity")["parameter_std"], _group(other, "conductivity")["parameter_std"]
    each = [xr.open_dataset(f)["conductivity_parameter_std"].values[-1] for f in files]
    np.testing.assert_allclose(a[0], np.mean(each, 0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(b[0], np.mean(each, 0))
    assert a.attrs["lacks"] == b.attrs["lacks"] == "b.conductivity"
    share = np.mean([np.load(f"s{k}.npy").mean() for k in range(3)])
    for made, source in ((first, "s0.npy"), (other, files[0])):
        record = read_record(made.path)
        assert record.density is not None
        assert record.density.value == pytest.approx(1000 + 1000 * share)
        assert record.density.unit == "kg/m^3"
        assert record.density.uncertainty["parameter"].std == pytest.approx(300 * share)
        assert record.density.uncertainty["parameter"].lacks == ("a.density",)
        assert record.reference_temperature is not None
        assert record.reference_temperature.value == pytest.approx(293.15)
        assert {i.sha256 for i in record.provenance.inputs} >= {sha256(Path(source))}
        assert record.properties["conductivity"].between.size_unit == "m"
        assert record.properties["conductivity"].between.size == pytest.approx(16 * 1.0859e-9, rel=1e-12)
    changed = json.loads(Path("m.yaml").read_text())
    changed["phases"]["a"]["conductivity"] = "1.0(2) W/(m K)"
    again = statistics("s0.npy", "s1.npy", "s2.npy", output="A.nc", **{**more, "material": changed})
    assert again.known == 0  # what uncertainties make of a sample is another number
    np.testing.assert_allclose(_group(again, "conductivity")["parameter_std"], 2 * a, rtol=1e-6)


def test_no_picture_of_others_is_replaced(here: Path) -> None:
    from PIL import Image

    Image.fromarray(255 * _cells(0, 48)).save("scan.png")
    before = Path("scan.png").read_bytes()
    drawn = {**CONDUCTIVITY, "picture": True, "sizes": [24]}
    for sources in (["scan.png"], ["big.npy"]):
        with pytest.raises(ConfigError, match="none of ours"):
            statistics(*sources, output="scan.nc", **drawn)
    assert Path("scan.png").read_bytes() == before
    assert not Path("scan.nc").exists()
    assert not Path("scan.samples.jsonl").exists()
    for _ in range(2):  # one's own may be
        assert statistics("big.npy", output="own.nc", **drawn).picture == Path("own.png")


def test_a_lost_worker_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool

    from phasefield.upscale import measuring

    class Pool:
        def __init__(self, *_: object) -> None: ...

        def submit(self, *_: object) -> Future[object]:
            lost: Future[object] = Future()
            lost.set_exception(BrokenProcessPool("killed"))
            return lost

        def shutdown(self, **_: object) -> None: ...

    monkeypatch.setattr(measuring, "ProcessPoolExecutor", Pool)
    with pytest.raises(ConfigError, match="out of memory"):
        statistics("s0.npy", "s1.npy", "s2.npy", workers=2, **CONDUCTIVITY)


def test_reconstructions_beside_their_original(here: Path) -> None:
    np.save("image.npy", _cells(5, 48, 6))
    made = statistics("image.npy", reconstructions=3, output="R.nc", **CONDUCTIVITY)
    found = _group(made, "conductivity")
    (one,) = homogenize(from_array(np.load("image.npy")), build(MATERIAL), Settings(properties=("conductivity",)))
    np.testing.assert_allclose(found["original_mean"][0], one.tensor, atol=1e-3)
    assert found["samples"][0] == 3
    assert found["original_samples"][0] == 1
    with xr.open_dataset(made.path) as root:
        assert 0 < float(root["two_point_mismatch"][0]) < 0.05
        np.testing.assert_allclose(root["volume_fraction"][0, 1], np.load("image.npy").mean(), atol=1e-3)
    assert float(found["mean"][0, 0, 0]) == pytest.approx(one.tensor[0, 0], rel=0.15)


def _says(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(["statistics", *arguments])
    return int(stop.value.code or 0), capsys.readouterr().err


def test_bad_input_is_named_and_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.yaml").write_text(json.dumps({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 9}}}))
    keys = ["material=m.yaml", "properties=conductivity", "picture=false", "solver.precision=double"]
    bad = _cells(9, 16).astype(float)
    bad[3, 4] = np.nan
    np.save("nan.npy", bad)
    np.save("copy.npy", np.load("s0.npy"))
    Path("other.nc").write_text("mine")
    for arguments, says in (
        (["s0.npy", "s1.npy", *keys], "at least 3 are needed"),
        (["s0.npy", "s1.npy", "copy.npy", *keys], "holds the same as s0.npy"),
        (["s0.npy", "s1.npy", "s2.npy", "step=4", *keys], "without sizes"),
        (["s0.npy", "s1.npy", "s2.npy", "members=3", *keys], "members: is 3, but the samples are given"),
        (["s0.npy", "reconstructions=2", *keys], "at least 3 are needed"),
        (["model=spinodal", "members=2", "sizes=[8]", "output=T.nc", *keys], "at least 3 are needed"),
        (["s0.npy", "s1.npy", "s2.npy", "output=S.png", *keys], "statistics are a NetCDF file"),
        (["big.npy", "sizes=[32]", *keys], "there is one sample of 32 voxels"),
        (["big.npy", "sizes=[64]", *keys], "48x48 voxels"),
        (["s0.npy", "s1.npy", "nan.npy", "s2.npy", *keys], "nan.npy"),
        (["s0.npy", "s1.npy", "s2.npy", "output=other.nc", *keys], "only statistics are replaced"),
        (["s0.npy", "s1.npy", "s2.npy"], "material: is not given"),
        (["s0.npy", "model=spinodal", *keys], "is a key of run"),
        (["s0.npy", "confidnce=0.9", *keys], "did you mean"),
        (["model=spinodal", "grid.shape=[8,8]", "output=T.nc", *keys], "give sizes="),
        (["model=spinodal", *keys], "output: is not given"),
        (["nothing", *keys], "no such file"),
        (["big.npy", "sizes=[16]", "error=2", *keys], "a share between 0 and 1"),
    ):
        code, text = _says(arguments, capsys)
        assert (code, says in text) == (2, True), (arguments, text)
        assert "Traceback" not in text
    assert Path("other.nc").read_text() == "mine"
    code, text = _says(["s0.npy", "s1.npy", "nan.npy", "s2.npy", "skip=true", "output=ok.nc", *keys], capsys)
    assert code == 0
    with xr.open_dataset("ok.nc") as data:
        assert "nan.npy was left out" in data.attrs["notes"]
        assert data.sizes["sample"] == 3
    axes = [(d, np.arange(16) * 2.0) for d in "xy"]
    xr.DataArray(_cells(4, 16), axes, name="g").to_dataset().to_netcdf("w.nc")
    with pytest.raises(ConfigError, match="in its spacing"):
        statistics("s0.npy", "s1.npy", "w.nc", **CONDUCTIVITY)


def test_members_that_differ_in_more_than_their_seed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no samples of one population, and their scatter is not that of chance."""
    from phasefield import sweep
    from phasefield.upscale.batches import Batch, _members

    for means, varied in ((("0.5", "0.5"), []), (("0.45", "0.5"), ["initial.c.mean"])):
        members = [
            sweep.Member(str(k), k, [f"seed={k}", f"+initial.c.mean={mean}", "grid.shape=[8,8]"], code=1)
            for k, mean in enumerate(means)
        ]
        monkeypatch.setattr(sweep, "members", lambda where, members=members: members)
        batch = Batch([], "members")
        _members(Path("S"), None, batch)  # type: ignore[arg-type]
        assert (batch.varied, len(batch.failed)) == (varied, 2)


def test_what_stops_in_time_is_not_done(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasefield import api, sweep

    call = ["model=spinodal", "members=4", "sizes=[16]", "time.end=20", "time.wall=1h", "output=S.nc",
            "material.phases.a.conductivity=1", "material.phases.b.conductivity=9", "properties=conductivity"]  # fmt: skip
    asked = []

    def stopped(composed: object, line: str, folder: Path, **options: object) -> object:
        asked.append(Path(folder).name)
        return SimpleNamespace(outcome=SimpleNamespace(reason="wall", signal=None))

    monkeypatch.setattr(api, "run_config", stopped)
    for times in (1, 2):  # the second call goes on with it
        code, text = _says(call, capsys)
        assert code == WANTS_MORE
        assert "goes on" in text
        assert asked == ["0"] * times
        assert [m.code for m in sweep.members("S") if m.number == 0] == [WANTS_MORE]
    assert not Path("S.nc").exists()


def test_samples_are_simulated_and_go_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasefield import api

    Path("m.yaml").write_text(json.dumps({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 9}}}))
    call = ["model=spinodal", "members=4", "sizes=[16]", "time.end=20", "material=m.yaml", "properties=conductivity",
            "output=S.nc", "picture=false", "solver.precision=double", "levels=[0.3,0.7]"]  # fmt: skip
    run, asked = api.run_config, []

    def failing(composed: object, line: str, folder: Path, **options: object) -> object:
        asked.append(Path(folder).name)
        if Path(folder).name == "2":
            raise PhasefieldError("the power was off")
        return run(composed, line, folder, **options)

    monkeypatch.setattr(api, "run_config", failing)
    code, _ = _says(call, capsys)
    assert code == 1
    assert asked == ["0", "1", "2", "3"]
    with xr.open_dataset("S.nc") as data:
        assert "2 was left out: the power was off" in data.attrs["notes"]
        assert data.sizes["sample"] == 3
    monkeypatch.setattr(api, "run_config", lambda *a, **k: (asked.append(Path(a[2]).name), run(*a, **k))[1])
    asked.clear()
    assert _says(call, capsys)[0] == 0
    assert asked == ["2"]
    with xr.open_dataset("S.nc") as data:
        assert data.sizes["sample"] == 4
    other = [c.replace("time.end=20", "time.end=21") for c in call]
    assert "asked for other things" in _says(other, capsys)[1]
    # The folder is a sweep like any other, and a source of its own.
    shutil.rmtree("S/0")
    assert (
        statistics("S", skip=True, **{**CONDUCTIVITY, "levels": [0.3, 0.7]}, output="T.nc").summary.samples[0].voxels
        == 16
    )

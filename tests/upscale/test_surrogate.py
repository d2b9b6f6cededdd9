"""Surrogates: exact equivariance and bounds, honest parts, refusals, files without pickle."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_surrogate_estimates import field, phases

from phasefield import cli
from phasefield.errors import ConfigError, PhasefieldError
from phasefield.homogenize import Options, build, from_array
from phasefield.mechanics import tensors
from phasefield.store import open_dataset
from phasefield.upscale.sources import read_record
from phasefield.upscale.surrogate import Settings, Surrogate, fit, fitting, predict
from phasefield.upscale.surrogate.blocks import group
from phasefield.upscale.surrogate.checking import try_promises, turned
from phasefield.upscale.surrogate.features import Query
from phasefield.upscale.surrogate.images import Reading, collect, microstructure
from phasefield.upscale.surrogate.labels import Cache, labels
from phasefield.upscale.surrogate.model import Surrogate as Model
from phasefield.upscale.surrogate.moments import Moments
from phasefield.upscale.surrogate.process import learn
from phasefield.upscale.surrogate.training import parts, train

FAST = Options(tolerance=1e-4, threads=1, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two and of three axes, and a surrogate of each kind."""
    where = tmp_path_factory.mktemp("surrogate")
    for dim, shape, count in ((2, (24, 24), 24), (3, (9, 9, 9), 12)):
        (where / f"axes{dim}").mkdir()
        for seed in range(count):
            np.save(where / f"axes{dim}" / f"{seed:02d}.npy", field(shape, seed, length=2.5 if dim == 2 else 1.2))
    return where


@pytest.fixture(scope="module", params=[(2, "stiffness"), (3, "stiffness"), (3, "conductivity")])
def made(request: pytest.FixtureRequest, folder: Path) -> Surrogate:
    dim, prop = request.param
    out = folder / f"{prop}{dim}.nc"
    cache = str(folder / f"{prop}_labels.jsonl")
    settings = Settings(property=prop, samples=2, output=str(out), cache=cache, threads=1, device="cpu")
    return fit([str(folder / f"axes{dim}")], settings)[0]


@pytest.fixture(scope="module")
def stiffness(folder: Path) -> Path:
    out = folder / "plane.nc"
    settings = Settings(
        samples=3, output=str(out), cache=str(folder / "stiffness_labels.jsonl"), threads=1, device="cpu"
    )
    fit([str(folder / "axes2")], settings)
    return out


# -- what holds by construction ----------------------------------------------------------------------------------------


def test_the_tensor_turns_with_the_image(made: Surrogate) -> None:
    shape = (16, 16) if made.dim == 2 else (8, 8, 8)  # even: highest modes have no direction along two axes
    image, prop = field(shape, 77, 0.4, 1.5), made.prop
    first, second = (np.asarray(p.tensor(prop)) for p in build(phases(prop, 8.0)).phases)
    tensor = made.tensor(Query(first, second, Moments.of(image, (1.0,) * made.dim)))
    for turn in group(made.dim, 2):
        q = np.eye(3)
        q[: made.dim, : made.dim] = turn
        q = tensors.rotation_mandel(q) if len(tensor) == 6 else q
        again = made.tensor(Query(first, second, Moments.of(turned(image, turn), (1.0,) * made.dim)))
        np.testing.assert_allclose(again, q @ tensor @ q.T, atol=1e-10 * np.abs(tensor).max())
    swapped = made.tensor(Query(second, first, Moments.of(1 - image, (1.0,) * made.dim)))
    np.testing.assert_allclose(swapped, tensor, atol=1e-10 * np.abs(tensor).max())


def test_bounds_hold_for_any_query(made: Surrogate) -> None:
    promises = try_promises(made, 150, 4)
    assert promises.kept, promises
    wild = Surrogate(**{**vars(made), "learnt": {}})  # whatever was learnt
    for name, learnt in made.learnt.items():
        process = type(learnt.process)(**{**learnt.process.arrays, "amplitude": 1e4})
        wild.learnt[name] = type(learnt)(process, 50 * np.ones_like(learnt.coefficients))
    assert try_promises(wild, 20, 4).not_positive == 0
    assert try_promises(wild, 20, 4).beyond_voigt + try_promises(wild, 20, 4).below_reuss == 0


def test_errors_are_of_microstructures_that_were_held_back(made: Surrogate) -> None:
    test = made.about["errors"]["test"]
    assert test["median"] < 0.02, test
    assert test["p95"] < 0.08, test
    assert made.about["realisations"]["test"] * 2 == test["samples"]


def test_scale_of_the_constants_does_not_matter(made: Surrogate) -> None:
    image = field((16,) * made.dim, 8, 0.5)
    first, second = (np.asarray(p.tensor(made.prop)) for p in build(phases(made.prop, 8.0)).phases)
    moments = Moments.of(image, (1.0,) * made.dim)
    one = made.predict(Query(first, second, moments), extrapolate=True)
    many = made.predict(Query(1e11 * first, 1e11 * second, moments), extrapolate=True)
    np.testing.assert_allclose(many.tensor, 1e11 * one.tensor, rtol=1e-7, atol=1e-9 * np.abs(many.tensor).max())
    np.testing.assert_allclose(many.std, 1e11 * one.std, rtol=1e-9)


# -- regression --------------------------------------------------------------------------------------------------------


def test_numpy_gives_what_scikit_learn_does() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    rng = np.random.default_rng(1)
    x, new = rng.standard_normal((40, 3)), rng.standard_normal((7, 3))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] ** 2], 1)
    p = learn(x, y, np.full(y.shape, 1e-4), 0)
    kernel = ConstantKernel(p.amplitude) * Matern(p.lengths, nu=2.5)
    for k in range(2):
        z, target, at = (x - p.centre) / p.spread, (y[:, k] - p.offset[k]) / p.unit[k], (new - p.centre) / p.spread
        mean = GaussianProcessRegressor(kernel, alpha=p.noise[:, k], optimizer=None).fit(z, target).predict(at)
        np.testing.assert_allclose(p.mean(new)[:, k], mean * p.unit[k] + p.offset[k], atol=1e-8)
        least = GaussianProcessRegressor(kernel, alpha=p.noise.min(1), optimizer=None).fit(z, target)
        np.testing.assert_allclose(p.std(new)[:, k], least.predict(at, return_std=True)[1] * p.unit[k], atol=1e-6)
    assert np.abs(p.mean(x) - y).max() < 0.3


def test_parts_are_by_realisation(folder: Path) -> None:
    """Materials of a microstructure, its copies and the times of its run are in one part; moving files changes nothing."""
    images = collect([str(folder / "axes2")], Reading(), False, print)
    copy = microstructure(from_array(np.load(folder / "axes2" / "00.npy")), "laminate", "copy", "elsewhere")
    assert copy.hash == images[0].hash
    settings = Settings(samples=3, threads=1, device="cpu")
    cache = Cache(folder / "stiffness_labels.jsonl")
    made = labels(images, settings, None, cache)
    part = parts(made, settings)
    owners = {name: {s.source.hash for s in some} for name, some in part.items()}
    assert all(owners[a].isdisjoint(owners[b]) for a in owners for b in owners if a < b)
    assert sum(map(len, part.values())) == len(made) == 3 * len(images)
    for image in images:
        image.origin = "moved/" + image.origin
    assert {name: {s.source.hash for s in some} for name, some in parts(made, settings).items()} == owners


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_file_is_arrays_and_json_and_needs_no_scikit_learn(stiffness: Path, folder: Path) -> None:
    model = Surrogate.load(stiffness)
    image, material = from_array(np.load(folder / "axes2" / "03.npy")), build(phases("stiffness", 5.0))
    answer = predict(model, image, material)
    with open_dataset(stiffness) as data:
        kinds = {name: v.dtype.kind for name, v in data.variables.items()}
        assert set(kinds.values()) <= {"f", "O", "S", "U"}
        assert all(isinstance(h, str) for h in data.image_hash.values.tolist())
        assert json.loads(data.attrs["surrogate"])["property"] == "stiffness"
    script = (
        "import sys; sys.modules['sklearn'] = None; import numpy as np\n"
        "from phasefield.upscale.surrogate import Surrogate, predict\n"
        "from phasefield.homogenize import build, from_array\n"
        f"model, image = Surrogate.load({str(stiffness)!r}), from_array(np.load({str(folder / 'axes2' / '03.npy')!r}))\n"
        f"print(predict(model, image, build({phases('stiffness', 5.0)!r})).prediction.tensor.tobytes().hex())\n"
        "assert 'pickle' not in open(sys.modules['phasefield.upscale.surrogate.model'].__file__).read()\n"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert np.frombuffer(bytes.fromhex(there)).reshape(6, 6) == pytest.approx(answer.prediction.tensor, abs=1e-12)
    bounds = answer.prediction.voigt, answer.prediction.tensor, answer.prediction.reuss
    assert np.linalg.eigvalsh(bounds[0] - bounds[1])[0] > -1e-12 < np.linalg.eigvalsh(bounds[1] - bounds[2])[0]


def command(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_commands(
    stiffness: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(json.dumps({"temperature": "20 degC", "phases": {
        "soft": {"stiffness": {"E": "3 GPa", "nu": 0.3}, "density": "1000(10) kg/m^3"},
        "stiff": {"stiffness": {"E": "20 GPa", "nu": 0.25}, "density": "2000 kg/m^3"},
    }}))  # fmt: skip
    np.save("image.npy", field((24, 24), 1234, 0.45))
    code, out, err = command(f"surrogate predict {stiffness} image.npy material=m.yaml output=p.nc", capsys)
    assert code == 0, err
    assert "held-out error: median" in out
    assert "times as long" in out
    assert "in GPa" in out
    with open_dataset("p.nc") as data:
        assert data.attrs["title"].startswith("Effective properties predicted")
        assert data.stiffness.attrs["units"] == "Pa"
        assert 3e9 < float(data.stiffness.sel(row="xx", column="xx")) < 30e9
        std = data.stiffness_model_std.values
        assert (std >= 0).all()
        assert std[0, 0] > 0
        assert std[0, 0] == pytest.approx(std[1, 1])
    # Its record holds what the material says, and the files as they were.
    hashes = {n: hashlib.sha256(Path(n).read_bytes()).hexdigest() for n in ("image.npy", "m.yaml", "p.nc", stiffness)}
    Path("m.yaml").write_text(Path("m.yaml").read_text() + "\n")
    record = read_record("p.nc")
    at = record.provenance
    assert [(i.role, Path(i.path).name, i.sha256) for i in at.inputs] == [
        ("a prediction", "p.nc", hashes["p.nc"]), ("image", "image.npy", hashes["image.npy"]),
        ("material", "m.yaml", hashes["m.yaml"]), ("surrogate", stiffness.name, hashes[stiffness]),
    ]  # fmt: skip
    assert all(Path(i.path).is_absolute() for i in at.inputs)
    assert f"material: {Path('m.yaml').absolute()}" in at.config
    assert at.created
    assert record.reference_temperature is not None
    assert float(record.reference_temperature.value) == 293.15
    assert record.density is not None
    soft = float(record.phases["soft"].value)
    assert float(record.density.value) == pytest.approx(1000 * soft + 2000 * (1 - soft), rel=1e-12)
    part = record.density.uncertainty["parameter"]
    assert part is not None
    assert (float(part.std), part.lacks) == (pytest.approx(10 * soft), ("stiff.density",))
    # The prediction is as near to the solve as the surrogate says.
    assert command("homogenize image.npy material=m.yaml two_grid=false mixing=false descriptors=false", capsys)[0] == 0
    with open_dataset("image_properties.nc") as exact, open_dataset("p.nc") as data:
        error = data.stiffness.values - exact.stiffness.values[0]
        assert np.linalg.norm(error) < 0.05 * np.linalg.norm(data.stiffness.values)
        assert (np.abs(error) < 5 * std + 1e-4 * np.abs(data.stiffness.values).max()).all()
    code, out, _ = command(f"surrogate check {stiffness} image.npy queries=20 samples=2", capsys)
    assert code == 0
    assert "20 random queries" in out
    assert "0 above Voigt" in out
    assert "new microstructures: median" in out
    code, out, _ = command(f"surrogate check {stiffness} {folder / 'axes2' / '00.npy'} queries=5", capsys)
    assert code == 0
    assert "1 of the microstructures given were trained with" in out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("predict {model} image.npy material=epoxy_glass", "contrast of E is 23.88, trained with 2 to 20"),
        ("predict {model} image.npy material=ni_ni3al", "is not isotropic"),
        ("predict {model} image.npy", "material: is not given"),
        ("predict {model} image.npy material=void.yaml", "is void or rigid"),
        ("predict {model} image.npy material=k.yaml", "the surrogate is of stiffness"),
        ("predict {model} three.npy material=m.yaml", "has 3 phases; a surrogate is of two"),
        ("predict {model} volume.npy material=m.yaml", "three dimensions"),
        ("predict {model} fine.npy material=m.yaml", "outside what the surrogate was trained with"),
        ("predict {model} image.npy material=m.yaml samples=3", "samples: means nothing to surrogate predict"),
        ("predict {model} image.npy material=m.yaml threads=1", "threads: means nothing to surrogate predict"),
        ("fit image.npy threads=2 solver.threads=3", "threads: is given twice"),
        ("predict {model} image.npy material=m.yaml output=m.yaml", "is not a prediction; nothing was written"),
        ("predict image.npy image.npy material=m.yaml", "image.npy"),
        ("predict none.nc image.npy material=m.yaml", "there is no such file"),
        ("fit image.npy", "there are 1 microstructures; at least 10"),
        ("fit nowhere", "there is no such file or folder"),
        ("fit image.npy output=m.yaml", "is not a surrogate; nothing was written"),
        ("fit image.npy contrast=[5,2]", "a range [low,high] is expected"),
        ("fit image.npy property=expansion", "property"),
        ("learn image.npy", "is none of fit, predict, check"),
        ("predict {model}", "usage: phasefield surrogate predict MODEL"),
    ],
)
def test_refusals(
    line: str,
    says: str,
    stiffness: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(json.dumps(phases("stiffness", 6.0)))
    Path("k.yaml").write_text(json.dumps(phases("conductivity", 6.0)))
    Path("void.yaml").write_text("phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: void}")
    np.save("image.npy", field((24, 24), 1, 0.45))
    np.save("fine.npy", np.indices((24, 24)).sum(0) % 2)
    np.save("three.npy", np.arange(576).reshape(24, 24) % 3)
    np.save("volume.npy", field((9, 9, 9), 1, 0.45, 1.2))
    before = Path("m.yaml").read_bytes()
    code, _, err = command(f"surrogate {line.format(model=stiffness)}", capsys)
    assert (code, says in err) == (2, True), err
    assert Path("m.yaml").read_bytes() == before


def test_what_lies_outside_is_told_when_it_is_wanted(stiffness: Path) -> None:
    model, image = Surrogate.load(stiffness), from_array(field((24, 24), 1, 0.45))
    with pytest.raises(ConfigError, match="extrapolate=true"):
        predict(model, image, build(phases("stiffness", 60.0)))
    told = predict(model, image, build(phases("stiffness", 60.0)), extrapolate=True).prediction
    assert told.outside
    assert "contrast of E is 60" in told.outside[0]
    stripes = from_array((np.indices((24, 24))[0] // 6 % 2).astype(np.int8))  # fraction and wave number are within
    with pytest.raises(ConfigError, match=r"unlike those|wave number"):
        predict(model, stripes, build(phases("stiffness", 6.0)))


def test_files_that_are_none(stiffness: Path, tmp_path: Path) -> None:
    with open_dataset(stiffness) as data:
        held = data.load()
    from phasefield.store import write_dataset

    told = json.loads(held.attrs["surrogate"])
    newer = held.assign_attrs(surrogate=json.dumps({**told, "format": 99}))
    write_dataset(newer, tmp_path / "newer.nc")
    write_dataset(held.drop_vars("in_plane_weights"), tmp_path / "damaged.nc")
    for name, says in (("newer.nc", "is of format 99"), ("damaged.nc", "is damaged")):
        with pytest.raises(ConfigError, match=says):
            Model.load(tmp_path / name)


def test_labels_are_kept(folder: Path, tmp_path: Path) -> None:
    """What was computed is not computed again, also where the last line was cut off; NaN is named, or left out."""
    cache, images = tmp_path / "labels.jsonl", str(folder / "axes2")
    settings = Settings(
        property="conductivity", samples=1, output=str(tmp_path / "a.nc"), cache=str(cache), threads=1, device="cpu"
    )
    one, _, notes = fit([images], settings)
    assert notes[-1].startswith("24 labels of 24 microstructures; 24 were computed now")
    whole = cache.read_text()
    cache.write_text(whole[:-40])
    again, _, notes = fit([images], settings)
    assert "; 1 were computed now" in notes[-1]
    assert len(Cache(cache)) == 24
    assert again.about["errors"]["test"]["median"] == pytest.approx(one.about["errors"]["test"]["median"])
    (tmp_path / "other.txt").write_text("something\nelse\n")
    with pytest.raises(ConfigError, match="no file of labels"):
        Cache(tmp_path / "other.txt")
    bad = tmp_path / "bad"
    bad.mkdir()
    np.save(bad / "nan.npy", np.where(field((24, 24), 0) > 0, np.nan, 0.5))
    with pytest.raises(ConfigError, match=r"nan\.npy"):
        fit([images, str(bad)], settings)
    notes = fit([images, str(bad)], Settings(**{**vars(settings), "skip": True}))[2]
    assert "left out" in notes[0]
    assert "nan.npy" in notes[0]


def test_parts_are_checked_before_labels_are_computed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "labels", lambda *_: pytest.fail("labels are computed"))
    for k in range(10):
        np.save(tmp_path / f"{k}.npy", field((16, 16), k))
    with pytest.raises(ConfigError, match="test: and validation take 5 and 5 of 10 microstructures, which leaves 0"):
        fit([str(tmp_path)], Settings(levels=[0, 1], validation=0.5 - 1e-9, test=0.49))


def test_properties_of_a_sweep_are_labels(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one image with several materials, of several images, and not of those computed otherwise."""
    monkeypatch.chdir(tmp_path)
    for k, contrast in enumerate((4.0, 9.0)):
        Path(f"m{k}.yaml").write_text(json.dumps(phases("conductivity", contrast)))
    np.save("image.npy", image := field((24, 24), 60, 0.4))
    fast = "properties=conductivity two_grid=false mixing=false descriptors=false"
    command(f"homogenize image.npy material=m0.yaml,m1.yaml {fast} -m output=many", capsys)
    command(f"homogenize image.npy material=m0.yaml voxel=sharp output=image_properties.nc {fast}", capsys)
    settings = Settings(property="conductivity", samples=0)
    (held,) = collect(["many"], Reading(), False, print)
    assert len(held.properties) == 3
    found = labels([held], settings, None, Cache(None))
    assert [round(s.query.second[0, 0]) for s in found] == [4, 9]
    assert all(s.query.moments.fraction == pytest.approx(image.mean()) for s in found)
    assert found[0].tensor[0, 0] < found[1].tensor[0, 0]


def test_without_scikit_learn(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(PhasefieldError, match=r"scikit-learn is not installed\n  pip install 'phasefield\[upward\]'"):
        fit([str(folder / "axes2")], Settings(output=str(tmp_path / "x.nc")))


def test_images_of_two_and_three_axes_do_not_mix(folder: Path) -> None:
    made = []
    for dim in (2, 3):
        images = collect([str(folder / f"axes{dim}")], Reading(), False, print)[:6]
        settings = Settings(property="conductivity", samples=1, solver=FAST)  # type: ignore[arg-type]
        made += labels(images, settings, None, Cache(None))
    with pytest.raises(ConfigError, match="two axes here and three there"):
        train(made, Settings(property="conductivity"))

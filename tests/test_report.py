"""Pictures and report of synthetic run folders: what they show, what they survive and what they refuse."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from phasefield.errors import OutputError
from phasefield.report import picture, radial_structure_factor, report
from phasefield.report.page import _plain_brackets
from phasefield.report.reading import pick

FORMULA = r"f = \tfrac{1}{4}(1-c^2)^2 + \frac{\kappa}{2} \left|\nabla c\right|^2"


def test_brackets_of_one_height() -> None:
    """Mathtext draws those of ``\\left`` too small about letters without ascenders; they are kept about what is high."""
    assert _plain_brackets(r"\left(- c + b\right)^{2} \left(c - a\right)^{2}") == "(- c + b)^{2} (c - a)^{2}"
    high = r"\left(x - \frac{1}{2}\right)"
    assert _plain_brackets(high) == high


def coarsening(shape, lengths, rng):
    """A smooth two-phase pattern of a given wavelength per snapshot, (time, *shape)."""
    k2 = sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    noise = np.fft.fftn(rng.standard_normal(shape))
    frames = []
    for length in lengths:
        u = np.fft.ifftn(noise * np.exp(-((np.sqrt(k2) * length - 1) ** 2) * 8)).real
        frames.append(np.tanh(u / u.std() * 2) * min(1, length / lengths[-1] + 0.3))
    return np.array(frames)


def grains(shape, n, times, rng):
    """Voronoi order parameters with diffuse walls, (time, n, *shape)."""
    seeds = rng.random((n, len(shape)))
    points = np.stack(np.meshgrid(*((np.arange(m) + 0.5) / m for m in shape), indexing="ij"), -1)
    gap = np.abs(points[None] - seeds.reshape(n, *[1] * len(shape), len(shape)))
    squares = (np.minimum(gap, 1 - gap) ** 2).sum(-1)
    frames = []
    for sharpness in times:
        weight = np.exp(-(squares - squares.min(0)) * (30 + 900 * sharpness))
        frames.append(weight / np.sqrt((weight**2).sum(0)) * weight.max(0) / weight.sum(0) ** 0.5)
    return np.array(frames)


def write_run(folder: Path, fields: dict, times, cell=0.5, rows=60, history=True, extra=None, **attrs) -> Path:
    """A run folder as the solver leaves it; an array with one axis too many for the first field holds components."""
    folder.mkdir(parents=True, exist_ok=True)
    times = np.asarray(times, dtype=float)
    variables, components = {}, {}
    shape = next(iter(fields.values())).shape[1:]
    dimension = min(v.ndim - 1 for v in fields.values()) if len(fields) > 1 else len(shape)
    dimension = attrs.pop("dimension", dimension)
    shape = shape[-dimension:]
    space = ("x", "y", "z")[:dimension]
    for name, values in fields.items():
        components[name] = (f"component_{name}",) if values.ndim - 1 > dimension else ()
        variables[name] = (("time", *components[name], *space), values, {"long_name": "order parameter", "units": "1"})
    coords = {"time": ("time", times, {"units": "s", "long_name": "time"})}
    for d, n in zip(space, shape, strict=True):
        coords[d] = (d, (np.arange(n) + 0.5) * cell, {"units": "nm", "long_name": f"{d} coordinate"})
    known = {"title": "Spinodal <decomposition>", "source": "phasefield 0.1.0", "boundary": "periodic", "seed": 7}
    data = xr.Dataset(variables, coords, known | {"model_formula": FORMULA} | attrs)
    data.to_netcdf(folder / "fields.nc")
    if history:
        last = max(times[-1], 1.0)
        t = np.concatenate([[0.0], np.geomspace(last / 1e4, last, rows - 1)]) if rows > 1 else np.zeros(rows)
        decay = (1 + t) ** (-1 / 3)
        h = {
            "step": ("time", np.arange(rows) * 10),
            "dt": ("time", 0.01 * (1 + t), {"units": "s", "long_name": "time step"}),
            "free_energy": ("time", 100 * decay, {"units": "J", "long_name": "free energy"}),
            "free_energy_bulk": ("time", 70 * decay, {"units": "J"}),
            "free_energy_gradient": ("time", 30 * decay, {"units": "J"}),
        }
        for name, values in fields.items():
            n = values.shape[1] if components[name] else 1
            dims = ("time", *components[name])
            factors = {"mean": 1e-15 * t / last, "min": -1 + decay, "max": 1 - decay / 2}
            factors |= {"interface_area": 40 * decay, "characteristic_length": 3 / decay}
            for key, curve in factors.items():
                block = curve[:, None] * np.linspace(1, 1.5, n)
                unit = {"interface_area": "nm", "characteristic_length": "nm"}.get(key, "1")
                h[f"{key}_{name}"] = (dims, block if components[name] else block[:, 0], {"units": unit})
        h |= {k: ("time", v[:rows], {"long_name": k, "units": "Pa"}) for k, v in (extra or {}).items()}
        xr.Dataset(h, {"time": ("time", t, coords["time"][2])}).to_netcdf(folder / "history.nc")
    (folder / "config.yaml").write_text("grid:\n  shape: [64, 48]  # <b>cells</b>\n")
    (folder / "run.log").write_text("".join(f"line {i}\n" for i in range(100)) + "\x1b[32mfinished & done\x1b[0m\n")
    return folder


def pixels(png: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(png if isinstance(png, Path) else BytesIO(png)).convert("RGB"), dtype=float)


def check_report(path: Path) -> str:
    """The page is whole and loads nothing; every picture lies in the folder, is embedded and shows something."""
    page = path.read_text()
    assert path.name == "report.html"
    images = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', page)
    assert len(images) == len(re.findall(r"\bsrc=", page))
    assert "<script" not in page
    assert not re.search(r"\bhref\s*=|url\(|@import|https?://", page)
    embedded = {base64.b64decode(image) for image in images}
    files = sorted((path.parent / "report").glob("*.png"))
    assert files
    for file in files:
        assert file.read_bytes() in embedded
        assert pixels(file).std() > 5, f"{file.name} is blank"
    assert page.rstrip().endswith("</html>")
    return page


def names(path: Path) -> set[str]:
    return {file.stem for file in (path.parent / "report").glob("*.png")}


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def run2d(tmp_path, rng):
    times = [0, 1, 10, 100, 200, 500, 800, 1000]
    return write_run(tmp_path / "run", {"c": coarsening((64, 48), np.linspace(4, 16, 8), rng)}, times)


def test_page_of_a_2d_run(run2d, tmp_path):
    reference = tmp_path / "benchmark_1a.csv"
    reference.write_text("Time [s], Free Energy\n1, 80\n10, 50\n1000, 10\n")
    page = check_report(report(run2d, [reference]))
    assert names(run2d / "report.html") == {"energy", "field_c", "lengths", "means", "structure_factor", "timestep"}
    assert "Spinodal &lt;decomposition&gt;" in page
    assert "<decomposition>" not in page
    assert "&lt;b&gt;cells&lt;/b&gt;" in page
    assert "64 × 48" in page
    assert "32 × 24 nm" in page
    assert "1000 s" in page
    assert "<dt>Steps</dt><dd>590</dd>" in page
    assert f"<dd>{100 * 1001 ** (-1 / 3):.8g} J</dd>" in page
    assert "(−90 %)" in page
    assert "1e−15" in page
    assert f"{3 * 1001 ** (1 / 3):.4g} nm" in page
    assert "benchmark_1a" in page
    assert "<th>seed</th><td>7</td>" in page
    assert "<th>source</th><td>phasefield 0.1.0</td>" in page
    assert "finished &amp; done" in page
    assert "\x1b" not in page
    assert "line 99" in page
    assert "line 10\n" not in page
    assert "6 of 8 snapshots" in page


def test_reference_changes_the_energy_curve(run2d, tmp_path):
    """The label is drawn: a longer stem makes another legend, all else being equal."""
    drawn = []
    for stem in ("a", "a_much_longer_label"):
        file = tmp_path / f"{stem}.csv"
        file.write_text("\ufefft;F\n1;80\n1000;10\n")
        report(run2d, [file])
        drawn.append((run2d / "report" / "energy.png").read_bytes())
    assert drawn[0] != drawn[1]
    assert "Dashed: reference a_much_longer_label." in (run2d / "report.html").read_text()


@pytest.mark.parametrize(
    "content",
    ["", "time,free_energy\n", "hello\nworld,1\n", None, "x,y\n1,2\n", "time,mass\n1,2\n", "1,2,3\n4,5,6\n",
     "step,free_energy\n1,2\n", "time,free_energy,free energy\n1,2,3\n", "time,free_energy\n1,high\n"],
)  # fmt: skip
def test_useless_reference_is_refused(run2d, tmp_path, content):
    file = tmp_path / "ref.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OutputError, match=r"ref\.csv"):
        report(run2d, [file])


def test_components_in_2d(tmp_path, rng):
    run = write_run(tmp_path / "run", {"eta": grains((48, 32), 12, [0.2, 1], rng)}, [0, 5], dimension=2)
    page = check_report(report(run))
    assert "largest of the 12 components" in page
    image = pixels(picture(run))
    colours = np.unique((image[::4, ::4] // 16).reshape(-1, 3), axis=0)
    assert len(colours) > 20  # a dozen grains with dark walls, not one colour scale


def test_3d_run_and_other_observables(tmp_path, rng):
    values = coarsening((16, 12, 10), [4, 8], rng).astype("f4")
    extra = {"pressure": np.linspace(0, 1, 60), "all_nan": np.full(60, np.nan)}
    run = write_run(tmp_path / "run", {"c": values}, [0, 5], extra=extra)
    page = check_report(report(run))
    assert {"slices_c", "structure_factor", "other"} <= names(run / "report.html")
    assert "pressure, all_nan" in page
    assert pixels(picture(run)).std() > 5


def test_1d_run_with_components(tmp_path, rng):
    c = coarsening((64,), [4, 8, 16], rng)
    run = write_run(tmp_path / "run", {"c": c, "eta": np.stack([c, -c], axis=1)}, [0, 1, 2])
    check_report(report(run))
    assert names(run / "report.html") >= {"field_c", "field_eta", "energy"}
    assert "structure_factor" not in names(run / "report.html")
    assert pixels(picture(run)).std() > 5


def test_x_goes_right_and_y_up(tmp_path):
    values = np.zeros((1, 40, 20))
    values[0, 30:, 15:] = 1.0  # large x, large y: upper right
    image = pixels(picture(write_run(tmp_path / "run", {"c": values}, [0], history=False)))
    yellow = (image[..., 0] > 230) & (image[..., 1] > 200) & (image[..., 2] < 60)
    purple = (image[..., 0] < 80) & (image[..., 1] < 20) & (image[..., 2] > 70)
    plot = np.argwhere(purple)
    (top, left), (bottom, right) = plot.min(0), plot.max(0)
    ys, xs = np.nonzero(yellow[:, : int(left + (right - left) * 1.0)])
    assert xs.mean() > left + 0.6 * (right - left)
    assert ys.mean() < top + 0.4 * (bottom - top)


@pytest.mark.parametrize("rows", [1, 0])
def test_one_snapshot_and_few_rows(tmp_path, rows):
    run = write_run(tmp_path / "run", {"c": np.ones((1, 1, 7))}, [0], rows=rows)
    page = check_report(report(run))
    assert "the only snapshot" in page
    assert ("energy" in names(run / "report.html")) == bool(rows)


def test_non_finite_values_are_shown_and_reported(tmp_path, rng):
    values = coarsening((24, 24), [4, 8], rng)
    values[-1, :3, :2] = np.nan
    values[-1, 5, 5] = np.inf
    eta = np.stack([values, np.full_like(values, np.nan)], axis=1)
    run = write_run(tmp_path / "run", {"c": values, "eta": eta}, [0, np.nan], rows=30)
    with xr.open_dataset(run / "history.nc", decode_times=False) as history:
        broken = history.load().copy()
    broken["free_energy"][-1] = np.inf
    broken["mean_c"][:] = np.nan
    broken["characteristic_length_c"][:] = 0.0
    broken.to_netcdf(run / "history.nc")
    page = check_report(report(run))
    assert "c: 7 of 576 values" in page
    assert pixels(picture(run)).std() > 5


def test_hostile_text_is_escaped(tmp_path, rng):
    evil = '<script>alert("x")</script>$\\frac{'
    run = write_run(
        tmp_path / "run",
        {"c": coarsening((16, 16), [4, 8], rng)},
        [0, 1],
        title=evil,
        model_formula=r"\undefined{" + evil,
        boundary="x: periodic, y: no-flux",
    )
    (run / "config.yaml").write_text(evil)
    (run / "run.log").write_bytes(b"\xff\xfe" + evil.encode())
    page = check_report(report(run))
    assert page.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") >= 5
    assert "structure_factor" not in names(run / "report.html")


def test_odd_shapes_and_empty_text_files(tmp_path):
    for i, shape in enumerate([(200, 2), (1, 1), (5, 1, 2)]):
        values = np.linspace(-1, 1, 2 * int(np.prod(shape))).reshape(2, *shape)
        run = write_run(tmp_path / f"run{i}", {"d$_": values}, [0, 1e-9], rows=2)
        (run / "run.log").write_text("")
        (run / "config.yaml").unlink()
        page = check_report(report(run))
        assert "(empty)" in page
        assert "config.yaml is missing" in page
        picture(run)


@pytest.mark.parametrize("name", ["fields.nc", "history.nc"])
@pytest.mark.parametrize("fault", ["missing", "empty", "garbage", "truncated"])
def test_unreadable_files_are_named(run2d, name, fault):
    path = run2d / name
    content = path.read_bytes()
    path.unlink()
    if fault != "missing":
        path.write_bytes({"empty": b"", "garbage": b"no netcdf" * 99, "truncated": content[: len(content) // 2]}[fault])
    with pytest.raises(OutputError, match=name) as caught:
        report(run2d)
    assert "\n  " in str(caught.value)  # the hint
    if name == "fields.nc":
        with pytest.raises(OutputError, match=name):
            picture(run2d)
    else:
        assert picture(run2d).exists()


def test_missing_folder_no_snapshot_and_no_field(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        picture(tmp_path / "nowhere")
    run = write_run(tmp_path / "run", {"c": np.zeros((1, 4, 4))}, [0], history=False)
    axis = {"x": ("x", np.arange(4.0))}
    xr.Dataset({"c": (("time", "x"), np.zeros((0, 4)))}, axis | {"time": np.zeros(0)}).to_netcdf(run / "fields.nc")
    with pytest.raises(OutputError, match="no snapshot"):
        picture(run)
    xr.Dataset({"c": ("time", np.zeros(2))}).to_netcdf(run / "fields.nc")
    with pytest.raises(OutputError, match="no field"):
        picture(run)


def test_damaged_data_are_blamed_on_their_file(run2d, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr("phasefield.report.reading.Field.values", fail)
    with pytest.raises(OutputError, match=r"fields\.nc.*HDF error"):
        report(run2d)


def test_unwritable_target(run2d):
    (run2d / "fields.png").mkdir()
    with pytest.raises(OutputError, match=r"fields\.png"):
        picture(run2d)


def test_backend_and_style_stay(run2d):
    """In a fresh interpreter: no import of pyplot, no change of rcParams, and a cheap import."""
    code = (
        "import sys, phasefield.report as r; assert not {'matplotlib', 'xarray'} & set(sys.modules)\n"
        "import matplotlib; matplotlib.rcParams['font.size'] = 17\n"
        "before = {k: dict.__getitem__(matplotlib.rcParams, k) for k in dict.keys(matplotlib.rcParams)}\n"
        f"r.picture({str(run2d)!r}); assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert before == {k: dict.__getitem__(matplotlib.rcParams, k) for k in before}"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_snapshots_are_picked_evenly():
    assert pick(np.arange(4.0)) == [0, 1, 2, 3]
    assert pick(np.arange(101.0)) == [0, 20, 40, 60, 80, 100]
    assert pick(np.array([0, 1, 2, 3, 4, 5, 6, 1e6]))[::5] == [0, 7]
    times = np.concatenate([[0], np.geomspace(1, 1e5, 51)])
    picked = times[pick(times)]
    assert picked[0] == 0
    assert picked[-1] == 1e5
    assert np.ptp(np.diff(np.log10(picked[1:]))) < 0.3
    for times in (np.full(9, np.nan), np.zeros(9)):
        assert pick(times)[0] == 0
        assert pick(times)[-1] == 8


def test_structure_factor_of_a_wave_and_of_noise(rng):
    x = (np.arange(48) + 0.5) * 0.25
    wave = np.cos(2 * np.pi * 6 * x / 12)[:, None] * np.ones(32)
    k, s = radial_structure_factor(wave, (0.25, 0.25))
    assert k[s.argmax()] == pytest.approx(2 * np.pi * 6 / 12)
    assert s[np.arange(s.size) != s.argmax()].max() < 1e-20 * s.max()
    for shape in ((64, 64), (20, 16, 15)):  # white noise of unit variance: S = 1
        k, s = radial_structure_factor(rng.standard_normal(shape), (1.0,) * len(shape))
        assert k[-1] <= np.pi
        assert s[3:].mean() == pytest.approx(1, abs=0.1)
    assert radial_structure_factor(np.ones((1, 1)), (1.0, 1.0))[0].size == 0

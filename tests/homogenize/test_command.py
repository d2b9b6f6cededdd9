"""The command: runs, image files, what is written, what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray

from phasefield import cli
from phasefield.backend.cuda import why_unavailable
from phasefield.errors import ConfigError
from phasefield.homogenize import Options, Snapshots, command
from phasefield.homogenize.settings import Request
from phasefield.homogenize.table import table
from phasefield.images.formats import FORMATS, NETCDF, RAW
from phasefield.store import open_dataset


@pytest.fixture
def image(tmp_path: Path) -> Path:
    x = (np.arange(24) + 0.5) / 24 - 0.5
    r = np.hypot(x[:, None], x[None, :])
    path = tmp_path / "disk.npy"
    np.save(path, 0.5 * (1 + np.tanh((0.3 - r) * 12)))
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["homogenize", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


def test_an_image(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["material=epoxy_glass", "properties=[stiffness,expansion]", "fields=true", "levels=[0,1]"]
    code, out, err = call(capsys, image, *given)
    assert code == 0, err
    assert "nearest isotropic" in out
    assert "uncertainty: voxel size" in out
    assert "Levin" in out
    data = open_dataset(image.with_name("disk_properties.nc")).load()
    c = data.stiffness.sel(row="xx", column="yy").item()
    assert c == pytest.approx(data.stiffness.sel(row="yy", column="xx").item())
    assert data.stiffness.attrs["units"] == "Pa"
    assert 3e9 < data.stiffness.sel(row="xx", column="xx").item() < 80e9
    assert data.expansion.dims == ("time", "i", "j")
    assert data.attrs["source"].startswith("phasefield")
    assert data.attrs["command"]
    assert float(data.volume_fraction.sel(phase="glass")[0]) == pytest.approx(np.pi * 0.09, rel=5e-3)
    assert {"stiffness_strain", "stiffness_stress", "phase_two_point", "phase_percolates"} <= set(data.variables)
    mean = data.stiffness_stress.isel(load_stiffness=0).sel(component="yy").mean().item()
    assert mean == pytest.approx(c, rel=1e-4)


def test_all_snapshots_of_a_run(tmp_path: Path) -> None:
    import phasefield as pf

    folder = tmp_path / "run"
    pf.run(
        "model=spinodal",
        "grid.shape=[24,24]",
        "time.end=200",
        "output.every=100",
        f"output.dir={folder}",
        "output.picture=false",
    )
    target, records, _ = command.run(folder, ["material=ni_ni3al", "times=all", "two_grid=false"])
    data = open_dataset(target).load()
    assert target == folder / "properties.nc"
    assert len(records) == data.sizes["time"] == 3
    np.testing.assert_allclose(data.time, [0, 100, 200])
    for name in ("K", "G"):
        assert np.isfinite(data[f"stiffness_{name}"]).all()


def test_snapshots_are_read_one_by_one_and_the_last_has_local_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (np.arange(12) + 0.5) / 12
    stack = np.stack([0.5 + 0.4 * np.sin(2 * np.pi * (x[:, None] + t + 0 * x)) for t in range(3)])
    path = tmp_path / "c.nc"
    coords = {"time": [0.0, 1.0, 2.0], "x": x, "y": x}
    xarray.DataArray(stack, dims=["time", "x", "y"], coords=coords, name="c").to_netcdf(path)
    events: list[str] = []
    read, measured = Snapshots.__getitem__, command.measure

    def reading(self: Snapshots, number: int) -> Any:
        events.append(f"read {number}")
        return read(self, number)

    def measuring(*arguments: Any) -> Any:
        record = measured(*arguments)
        events.append("fields" if record.results[0].fields else "tensor")
        return record

    monkeypatch.setattr(Snapshots, "__getitem__", reading)
    monkeypatch.setattr(command, "measure", measuring)
    conductivities = [f"material.phases.{p}.conductivity={k} W/(m K)" for p, k in (("epoxy", 0.2), ("glass", 1.3))]
    options = ["material=epoxy_glass", *conductivities, "properties=conductivity", "levels=[0,1]", "mixing=false"]
    target, records, _ = command.run(path, [*options, "times=all", "fields=true", "two_grid=false"])
    assert events == ["read 0", "tensor", "read 1", "tensor", "read 2", "fields"]
    assert [any(r.image.values.strides) for r in records] == [False, False, True]
    data = open_dataset(target).load()
    last = data.conductivity_heat_flux.mean(("x", "y")).values.T
    np.testing.assert_allclose(last, data.conductivity.values[-1], rtol=1e-4, atol=1e-6)
    for tensor in data.conductivity.values:
        np.testing.assert_allclose(tensor, data.conductivity.values[-1], rtol=1e-5, atol=1e-7)  # the same, moved


def test_a_field_on_a_dielectric_is_shown_in_volts_per_metre(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i.npy"
    np.save(path, np.repeat(np.arange(2), 4)[:, None] * np.ones((1, 8), int))
    given = [f"material.phases.{p}.permittivity={k}" for p, k in (("a", 2), ("b", 6))]
    load = ["properties=permittivity", "load={gradient: {y: 100 V/m}}", "two_grid=false"]
    code, out, err = call(capsys, path, *given, *load)
    assert code == 0, err
    lines = " ".join(out.split())
    assert "electric field: x 0, y 100, z 0 V/m" in lines
    assert "displacement: x 0, y 400, z 0 V/m" in lines


def test_a_polycrystal_of_labels_as_tiff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grains.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 9, (12, 10, 8), dtype=np.uint16))
    angles = tmp_path / "angles.csv"
    np.savetxt(angles, np.random.default_rng(1).uniform(0, 180, (9, 3)), delimiter=",")
    code, _, err = call(capsys, path, "material=cu", "spacing=0.5", f"grains={angles}")
    assert code == 0, err
    data = open_dataset(tmp_path / "grains_properties.nc").load()
    assert data.stiffness_K.item() == pytest.approx((168.4 + 2 * 121.4) / 3 * 1e9, rel=1e-6)


def test_materials_on_the_command_line(image: Path, tmp_path: Path) -> None:
    given = [
        "material.phases.a.conductivity=1 W/(m K)",
        "material.phases.b={conductivity: 3 W/(m K)}",
        "properties=conductivity",
    ]
    _, (record,), _ = command.run(image, [*given, f"output={tmp_path / 'o.nc'}"])
    assert 1 < record.results[0].tensor[0, 0] < 3
    _, (record,), _ = command.run(
        image, ["material=epoxy_glass", "material.phases.glass.stiffness={E: 3.35 GPa, nu: 0.35}"]
    )
    assert record.results[0].moduli["E"] == pytest.approx(3.35e9)
    for order in (1, -1):
        system = command.system_of(
            command.parse(["material=cu", "material.phases.Cu.orientation={euler: [90,0,0]}"][::order]).material
        )
        np.testing.assert_allclose(system.phases[0].rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)
        assert "conductivity" in system.phases[0].values


def test_uniaxial_stress(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not named has no stress; fields of the load have its means, and its energy."""
    given = ["material=epoxy_glass", "properties=[stiffness]", "fields=true", "levels=[0,1]", "solver.tolerance=1e-9"]
    code, out, err = call(capsys, image, *given, "load={strain: {xx: 0.01, xy: 0.002}, stress: {yy: 1 MPa}}")
    assert code == 0, err
    assert "under the load (engineering shear strains):" in out
    data = open_dataset(image.with_name("disk_properties.nc")).load().isel(time=0)
    strain, stress = data.stiffness_mean_strain, data.stiffness_mean_stress
    assert (strain.attrs["units"], stress.attrs["units"]) == ("1", "Pa")
    assert strain.sel(component="xy").item() == pytest.approx(0.002)
    np.testing.assert_allclose(stress.sel(component=["yy", "zz", "yz", "xz"]), [1e6, 0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(data.stiffness.values @ strain.values, stress, rtol=1e-9, atol=1e-3)
    for name, mean in (("strain", strain), ("stress", stress)):
        local = data[f"stiffness_local_{name}"].astype(float)
        scale = float(np.abs(mean).max())
        np.testing.assert_allclose(local.mean(("x", "y")), mean, atol=1e-5 * scale)
    # At the voxel centres Hill's identity holds up to the energy of the hourglass modes.
    energy = (data.stiffness_local_stress * data.stiffness_local_strain).sum("component").astype(float).mean()
    assert energy.item() == pytest.approx((strain * stress).sum().item(), rel=0.02)


def test_loads_of_a_sheet_and_of_conduction(image: Path) -> None:
    given = ["levels=[0,1]", "two_grid=false", "mixing=false", "descriptors=false"]
    sheet = [*given, "material=epoxy_glass", "plane=stress"]
    _, (record,), _ = command.run(image, [*sheet, "load={strain: {xx: 0.01}}"])
    mean = record.results[0].mean
    assert mean is not None
    assert np.isnan(mean.gradient[2:5]).all()
    assert mean.flux[1] == pytest.approx(0, abs=1e-3)
    with pytest.raises(ConfigError, match=r"load.stress.zz: is no component of"):
        command.run(image, [*sheet, "load={strain: {xx: 0.01}, stress: {zz: 0}}"])
    material = "material={phases: {a: {conductivity: 1}, b: {conductivity: {xx: 5, yy: 3, zz: 2, xy: 1}}}}"
    load = "load={gradient: {x: 1}, flux: {y: 0, z: 0}}"
    target, (record,), _ = command.run(image, [*given, material, "properties=conductivity", "fields=true", load])
    data = open_dataset(target).load().isel(time=0)
    k = record.results[0].tensor
    np.testing.assert_allclose(data.conductivity_mean_temperature_gradient, [1, -k[1, 0] / k[1, 1], 0], atol=1e-9)
    np.testing.assert_allclose(data.conductivity_local_heat_flux.mean(("x", "y"))[1:], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "material: is not given"),
        (("material=epoxy_glas",), "did you mean 'epoxy_glass'"),
        (("material=epoxy_glass", "propertis=[stiffness]"), "did you mean properties?"),
        (("material=epoxy_glass", "properties=[stiffnes]"), "did you mean 'stiffness'"),
        (("material=epoxy_glass", "properties=[permittivity]"), "material.phases.epoxy.permittivity: is missing"),
        (("material=epoxy_glass", "voxel=linear"), "expected one of laminate"),
        (("material=epoxy_glass", "solver.tolerance=-1"), "solver.tolerance"),
        (("material=epoxy_glass", "solver.tolerance=x"), "a number is expected"),
        (("material=epoxy_glass", "solver.max_iterations=2"), "solver stopped after 2 iterations"),
        (("material=epoxy_glass", "levels=[1,1]"), "levels"),
        (("material=epoxy_glass", "levels=[1]"), "levels"),
        (("material=epoxy_glass", "spacing=[1,2,3]"), "spacing"),
        (("material=epoxy_glass", "times=all"), "is one image"),
        (("material=epoxy_glass", "two_grid=maybe"), "true or false"),
        (("material=epoxy_glass", "material.phases.glas.stiffness={E: 1 GPa, nu: 0.3}"), "did you mean 'glass'"),
        (("material=epoxy_glass", "boundary=open"), "boundary"),
        (("material=epoxy_glass", "properties=[expansion]", "plane=stress"), "plane"),
        (("material=epoxy_glass", "grains=none.csv"), "grains: none.csv cannot be read"),
        (("material=epoxy_glass", "voxel"), "key=value"),
        (("material=epoxy_glass", "load={strain: {xxx: 1}}"), "load.strain: there is no component 'xxx'"),
        (("material=epoxy_glass", "load={strian: {xx: 1}}"), "did you mean 'strain'"),
        (("material=epoxy_glass", "load={strain: {xx: 1}, stress: {xx: 0}}"), "xx is given twice"),
        (("material=epoxy_glass", "load={strain: {xx: wide}}"), "load.strain.xx"),
        (("material=epoxy_glass", "load={stress: {xx: 1 m}}"), "cannot be converted to Pa"),
        (("material=epoxy_glass", "load={gradient: {x: 1}}"), "for which no property is asked"),
        (("material=epoxy_glass", "load=1"), "load"),
        (("material=epoxy_glass", "solver.tolerence=1e-6"), "did you mean solver.tolerance?"),
        (("material=epoxy_glass", "solver.max_iterations=1.5"), "is '1.5'; a whole number is expected"),
        (("material=epoxy_glass", "solver.tolerance=null"), "cannot be null"),
        (("material=epoxy_glass", "solver=3"), "solver"),
        (("material=epoxy_glass", "levels=[0,x]"), "levels[1]: is 'x'; a number is expected"),
        (("material=epoxy_glass", "field=[1]"), "text is expected"),
        (("material=[",), "lacks ']'"),
        (("material=cu,al",), "add -m: material=cu,al -m"),
    ],
)
def test_refused(image: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    code, out, err = call(capsys, image, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not out
    assert not image.with_name("disk_properties.nc").exists()


def test_images_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"nothing")
    for path in (tmp_path / "none.npy", bad, tmp_path, tmp_path / "x.txt"):
        code, _, err = call(capsys, path, "material=cu")
        assert code == 2
        assert str(path.name) in err
    empty, text = tmp_path / "empty.nc", tmp_path / "text.nc"
    empty.touch()
    text.write_text("no NetCDF")
    for path, says in ((empty, "is empty"), (text, "is no NetCDF file")):  # and no manual of readers
        err = call(capsys, path, "material=cu")[2]
        assert says in err
        assert "http" not in err
    for suffix in sorted({*FORMATS, *NETCDF} - {*RAW}):
        for content in (b"", b"nothing of the sort"):
            (file := tmp_path / f"bad{suffix}").write_bytes(content)
            code, _, err = call(capsys, file, "material=cu")
            assert (code, err.count(file.name) > 0) == (2, True)
            assert err.count("\n  ") == 1, err  # what to do
    field = np.zeros((8, 8))
    field[3, 4] = np.nan
    np.save(bad, field)
    assert "not finite, the first at (3, 4)" in call(capsys, bad, "material=cu")[2]
    assert "usage" in call(capsys)[2]


def test_values_are_typed() -> None:
    request = command.parse(
        ["material=cu", "solver.tolerance=1e-8", "properties=stiffness,conductivity", "threads=2", "field=c"]
    )
    assert request.solver.tolerance == 1e-8
    assert request.properties == ["stiffness", "conductivity"]
    assert command.parse(["material=cu", "levels=[0,1e1]", "levels=null", "spacing=2e-6"]).spacing == [2e-6]
    assert command.parse(["material=cu", "spacing=[2 um, 500 nm]"]).spacing == pytest.approx([2e-6, 5e-7])
    for wrong in ("2 s", "[1 um, 2]", "wide"):
        with pytest.raises(ConfigError, match=r"^spacing: "):
            command.parse(["material=cu", f"spacing={wrong}"])
    assert request.solver.threads == 2
    assert command.parse(["material=cu", "material=al"]).material == "al"
    assert request.solver.device == "auto"
    assert command.parse(["material=cu", "device=cpu"]).solver.device == "cpu"
    with pytest.raises(ConfigError, match="auto, cpu, gpu"):
        command.parse(["material=cu", "device=tpu"])
    with pytest.raises(ConfigError, match="whole number"):
        command.parse(["material=cu", "seed=1.5"])


GIVEN = [
    "properties=conductivity", "material.phases.a.conductivity=1 W/(m K)", "material.phases.b.conductivity=9 W/(m K)",
    "two_grid=false", "mixing=false", "descriptors=false",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder like a run's, with snapshots at 0, 100 and 500."""
    folder = tmp_path / "run"
    folder.mkdir()
    x = (np.arange(12) + 0.5) / 12 - 0.5
    field = 0.5 * (1 + np.tanh((np.array([0.2, 0.3, 0.35])[:, None, None] - np.hypot(x[:, None], x)) * 12))
    data = xarray.Dataset({"c": (("time", "x", "y"), field)}, {"time": [0.0, 100.0, 500.0], "x": x, "y": x})
    data.to_netcdf(folder / "fields.nc", engine="h5netcdf")
    return folder


def test_only_effective_properties_are_replaced(run: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = image.with_name("angles.csv")
    other.write_text("0,0,0")
    for source, target in (
        (image, image),
        (run / "fields.nc", run / "fields.nc"),
        (run, run / "fields.nc"),
        (run, run / "checkpoint.npz"),
        (image, other),
        (image, run),
    ):
        before = target.read_bytes() if target.is_file() else None
        code, _, err = call(capsys, source, *GIVEN, f"output={target}")
        assert (code, err.startswith(f"phasefield: error: output: {target} is ")) == (2, True), err
        assert (target.read_bytes() if target.is_file() else None) == before
    code, out, _ = call(capsys, run, *GIVEN)
    assert (code, "replaces" in out) == (0, False)
    code, out, _ = call(capsys, run, *GIVEN)
    assert f"{run / 'properties.nc'} (replaces an earlier one)" in out
    code, _, err = call(capsys, run / "properties.nc", *GIVEN)
    assert (code, "holds effective properties, not an image" in err) == (2, True)


def test_times_that_no_snapshot_has(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, run, *GIVEN, "times=[3000,500,100]")
    assert code == 0
    text = " ".join(out.split())
    assert "no snapshot is of time 3000; the nearest was taken, of time 500 (there are 3, of times 0 to 500)" in text
    assert "of time 100" not in text
    data = open_dataset(run / "properties.nc").load()
    np.testing.assert_array_equal(data.time, [100, 500])
    assert "3000" in data.attrs["notes"]
    for times in ("[]", "[true]", "[.nan]", "first"):
        code, _, err = call(capsys, run, *GIVEN, f"times={times}")
        assert (code, "times: is" in err) == (2, True)


def test_what_is_not_for_this_image(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = tmp_path / "line.npy"
    np.save(line, np.arange(8) % 2)
    for path, given, message in (
        (line, "plane=stress", "plane: is stress, which is for images of two axes, but line.npy has 1"),
        (
            image,
            "field=c",
            "field: applies to files that hold several arrays (NetCDF, HDF5, DREAM.3D, VTK), not to disk.npy",
        ),
        (image, "threads=0", "threads: is 0; at least 1"),
        (image, "threads=100000", "at most 1024"),
        (image, "seed=-1", "seed: is -1"),
        (image, "properties=[conductivity,conductivity]", "properties: has conductivity twice"),
    ):
        others = [key for key in GIVEN if key.partition("=")[0] != given.partition("=")[0]]
        code, _, err = call(capsys, path, *others, given)
        assert (code, message in err, "Warning" in err) == (2, True, False), err


def test_phases_are_named(run: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, image, *GIVEN, "levels=[10,20]")
    assert "the image has no voxel of b; check levels=[10,20], the field runs from" in " ".join(out.split())
    single = tmp_path / "single.npy"
    np.save(single, np.full((6, 6), 255))
    levels = ["material.phases.a.level=255", "material.phases.b.level=0"]
    assert "voxels; a 100 %" in call(capsys, single, *GIVEN, *levels)[1]
    # By their levels the phases of a field change places, in the table and in the file.
    levels = ["material.phases.a.level=1", "material.phases.b.level=0"]
    shares = {}
    for extra in ((), levels):
        _, (record,), _ = command.run(run, [*GIVEN, *extra, "levels=[0,1]"])
        data = open_dataset(run / "properties.nc").load()
        shares[len(extra)] = {n: float(data.volume_fraction.sel(phase=n)[0]) for n in ("a", "b")}
        assert f"a {100 * shares[len(extra)]['a']:.4g} %" in " ".join(table([record]).split())
    assert shares[0]["a"] == pytest.approx(shares[2]["b"])
    assert shares[0]["a"] > 0.55
    code, _, err = call(capsys, run, *GIVEN, "levels=[0,1]", levels[0])
    assert (code, "has no level for b" in err) == (2, True)
    _, out, _ = call(capsys, run, "material=cu", "properties=[conductivity,expansion]", *GIVEN[3:])
    assert " ".join(out.split()).count("the two phases of the field are taken for two grains of random") == 1


def test_the_table_is_of_80_columns_and_has_all_boundaries(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "properties=[stiffness,conductivity,permittivity]"
    phase = "{{stiffness: {{E: {0} GPa, nu: 0.3}}, conductivity: {0} W/(m K), permittivity: {0}}}"
    material = [f"material.phases.{n}={phase.format(v)}" for n, v in (("a", 1), ("b", 9))]
    code, out, _ = call(capsys, run, *material, names, "times=all", "boundary=all", "plane=stress")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80 or str(run) in max(out.splitlines(), key=len)
    data = open_dataset(run / "properties.nc").load().isel(time=-1)
    text = " ".join(out.split())
    for name, title in (("kinematic", "KUBC"), ("static", "TUBC")):
        first = data[f"conductivity_{name}"].values[0, 0]
        assert f"({title}): x y x {first:.5g}" in text
    inside = ["xx", "yy", "xy"]
    for name in ("stiffness", "stiffness_voigt", "stiffness_static"):
        tensor = data[name]
        assert np.isfinite(tensor.sel(row=inside, column=inside)).all()
        assert int(np.isnan(tensor).sum()) == 27
    upper, lower = (data[f"conductivity_{n}"].values[:2, :2] for n in ("kinematic", "static"))
    gap = np.abs(np.linalg.eigvals(np.linalg.solve(upper, upper - lower))).max()
    assert data.conductivity_boundary_gap.item() == pytest.approx(gap, rel=1e-6)
    assert f"gap between the two: {100 * gap:.3g} %" in text


def test_a_polycrystal_can_be_made_again_from_the_file(tmp_path: Path) -> None:
    path, again = tmp_path / "grains.npy", tmp_path / "grains.csv"
    np.save(path, np.random.default_rng(0).integers(0, 5, (8, 8)))
    target, (first,), _ = command.run(path, ["material=cu", "seed=7", *GIVEN[3:], "fields=true"])
    data = open_dataset(target).load()
    assert data.attrs["seed"] == 7
    assert "time" not in data.coords
    assert data.orientation.attrs["units"] == "degree"
    np.savetxt(again, data.orientation, delimiter=",")
    _, (second,), _ = command.run(path, ["material=cu", f"grains={again}", *GIVEN[3:]])
    np.testing.assert_allclose(first.results[0].tensor, second.results[0].tensor, rtol=1e-9, atol=1)
    c11 = data.constituent_stiffness.sel(constituent="Cu", row="xx", column="xx")
    assert (c11.item(), data.constituent_stiffness.attrs["units"]) == (pytest.approx(168.4e9), "Pa")
    assert (data.stiffness_strain.attrs["units"], data.stiffness_stress.attrs["units"]) == ("1", "Pa")


def test_help_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["homogenize", "--help"])
    text = capsys.readouterr().out
    documentation = (Path(__file__).parents[2] / "docs" / "homogenization.md").read_text()
    assert max(map(len, text.splitlines())) <= 80
    keys = {f.name: f.default for f in dataclasses.fields(Request) if f.name != "solver"}
    keys |= {f"solver.{f.name}": f.default for f in dataclasses.fields(Options)}
    for name, default in keys.items():
        assert f"\n  {name}=" in text
        assert f"`{name}`" in documentation or f"`{name.removeprefix('solver.')}`" in documentation
        if isinstance(default, str):
            assert f"\n  {name}={default}\n" in text
    assert "periodic | kinematic | static | all" in text


@pytest.mark.skipif(not why_unavailable(), reason="there is a GPU")
def test_no_gpu_is_one_clear_message(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, image, "material=epoxy_glass", "device=gpu")
    assert code == 2
    assert "device=cpu" in err
    assert "Traceback" not in err


def test_the_example_of_the_documentation() -> None:
    import re

    text = (Path(__file__).parents[2] / "docs" / "homogenization.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(code, "docs/homogenization.md", "exec"), {})


def test_what_nothing_heeds_is_noted(tmp_path: Path) -> None:
    """A key that changes nothing; one orientation of two grains is random, and a field is diffuse."""
    labels, field = tmp_path / "labels.npy", tmp_path / "field.npy"
    np.save(labels, np.arange(16).reshape(4, 4) % 2)
    np.save(field, np.linspace(0.0, 1.0, 16).reshape(4, 4))
    keys = {"seed": "3", "uncertainty_samples": "5", "uncertainty_order": "3", "plane": "stress", "voxel": "sharp"}
    quick = ["properties=conductivity", "two_grid=false", "mixing=false", "descriptors=false"]
    for path, material, more, heeded in (
        (labels, "epoxy_glass", [], set()),
        (labels, "cu", [], {"seed"}),
        (field, "epoxy_glass", ["levels=[0,1]"], {"voxel"}),
        (field, "epoxy_glass", ["levels=[0,1]", "properties=[conductivity,stiffness]"], {"voxel", "plane"}),
    ):
        request = command.parse([f"material={material}", *quick, *more, *(f"{k}={v}" for k, v in keys.items())])
        notes = command.execute(path, request).notes
        assert {note.split(" ")[0] for note in notes if "nothing heeds it" in note} == set(keys) - heeded


def test_a_folder_of_slices_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stack").mkdir()
    monkeypatch.chdir(tmp_path / "stack")
    for number in range(2):
        tifffile.imwrite(f"s{number}.tif", np.arange(4, dtype=np.uint8).reshape(2, 2) % 2)
    quick = ["properties=conductivity", "two_grid=false", "mixing=false", "descriptors=false"]
    path, (record,), _ = command.run(".", ["material=epoxy_glass", *quick])
    assert path == tmp_path / "stack_properties.nc"
    assert record.image.source == "stack"

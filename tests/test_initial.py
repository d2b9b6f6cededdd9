"""Initial conditions: values and volumes of every kind, reproducible randomness, files, and the errors users meet."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image
from scipy import stats

from phasefield.errors import ConfigError, ExpressionError
from phasefield.grid import Grid
from phasefield.initial import cell_noise, initial_field, merge_initial


def make_grid(shape, lengths=None, boundary="periodic"):
    boundary = (boundary,) * len(shape) if isinstance(boundary, str) else boundary
    return Grid(tuple(shape), tuple(map(float, lengths or shape)), tuple(boundary))


def make(spec, components=None, grid=None, seed=1, base=None, name="c", **parameters):
    grid = grid or make_grid((32, 24))
    values = initial_field(name, spec, components, grid, seed, parameters, base)
    assert values.dtype == np.float64
    assert values.shape == (components or 1, *grid.shape)
    assert values.flags.c_contiguous
    assert values.flags.writeable
    return values


def error(spec, components=None, grid=None, base=None, **parameters):
    with pytest.raises(ConfigError) as caught:
        make(spec, components, grid, base=base, **parameters)
    return caught.value


def interface(d, width):
    return 0.5 * (1 - np.tanh(d / (math.sqrt(2) * width)))


# Expressions


def test_expression_is_evaluated_at_cell_centres():
    grid = make_grid((8, 6), (4, 3), "no-flux")
    x, y = grid.coordinates()
    assert np.array_equal(make("a*x - y**2", grid=grid, a=0.3)[0], 0.3 * x - y**2)
    expected = np.where(x < 2, np.sin(np.pi * x), np.minimum(x, y)) * np.abs(y - 1)
    assert np.allclose(make("piecewise(sin(pi*x), x < 2, min(x, y))*abs(y - 1)", grid=grid)[0], expected, atol=1e-15)


@pytest.mark.parametrize("spec", [0.25, "0.25", "a/2", {"kind": "expression", "value": "a/2"}, np.float64(0.25)])
def test_constants(spec):
    assert np.array_equal(make(spec, a=0.5), np.full((1, 32, 24), 0.25))


@pytest.mark.parametrize(("shape", "text"), [((5,), "x"), ((4, 3, 2), "x*y*z")])
def test_expression_in_other_dimensions(shape, text):
    grid = make_grid(shape)
    assert np.array_equal(make(text, grid=grid)[0], np.broadcast_to(math.prod(grid.coordinates()), shape))


def test_a_string_applies_to_all_components_and_a_list_to_each():
    x = make("x")[0]
    assert np.array_equal(make("x", 3), [x, x, x])
    assert np.array_equal(make(["x", 2, "x/2"], 3), [x, np.full_like(x, 2), x / 2])
    assert "expected 3 expressions" in error(["x", "y"], 3).problem
    assert "has no components" in error(["x"]).problem
    assert error(["1", "q", "2"], 3).key == "initial.c[1]"


def test_conditions_on_parameters_and_overflowing_integers():
    assert np.all(make("piecewise(1, a > 0, x)", a=2.0) == 1)
    assert np.all(make("10**18*10**18 + 0*x") == 1e36)


def test_missing_coordinate_is_named():
    caught = error("x + exp(z)")
    assert isinstance(caught, ExpressionError)
    assert caught.position == 8
    assert "coordinate z does not exist on a 2-D grid" in caught.problem


def test_values_that_are_not_finite_are_counted_and_located():
    caught = error("log(x - 1)")
    assert caught.key == "initial.c"
    assert "in 24 of 768 cells, for example at x = 0.5, y = 0.5" in caught.problem
    assert "in 384 of 768 cells" in error("sqrt(12 - y)").problem
    assert "768 of 768" in error("1/a", a=0.0).problem
    assert "768 of 768" in error("exp(a*1000)", a=1.0).problem


# Noise


def test_noise_is_pinned():
    # Changing these breaks every published seed.
    uniform = cell_noise(42, "initial.c/1", 0, 3, "uniform")
    assert uniform.tolist() == [-0.8727724239621657, -0.9311828311416661, -0.441219424192941]
    assert np.allclose(
        cell_noise(42, "initial.c/1", 0, 3, "normal"),
        [2.2926631721847275, 1.0789972561425012, 1.1985963267423487],
        rtol=1e-13,
    )
    assert cell_noise(42 + 2**64, "initial.c/1", 10**15, 1, "uniform").tolist() == [-0.7829518989985809]


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_noise_of_a_slab_does_not_depend_on_the_rest(distribution):
    whole = cell_noise(7, "s", 0, 101, distribution)
    for start, stop in [(0, 1), (1, 2), (3, 50), (4, 8), (6, 101), (100, 101), (5, 5)]:
        assert np.allclose(cell_noise(7, "s", start, stop - start, distribution), whole[start:stop], rtol=1e-14, atol=0)


def test_noise_of_a_field_is_that_of_its_cells():
    grid = make_grid((700, 500))  # more than one chunk
    spec = {"kind": "noise", "mean": 0.5, "amplitude": 0.1, "conserve_mean": False}
    values = make(spec, 2, grid, seed=3)
    expected = 0.5 + 0.1 * cell_noise(3, "initial.c/2", 600 * 500, 500, "uniform")
    assert np.array_equal(values[1, 600], expected)
    assert abs(np.corrcoef(values.reshape(2, -1))[0, 1]) < 5 / math.sqrt(grid.cells)
    assert not np.any(make(spec, 2, grid, seed=4) == values)
    assert not np.any(make(spec, 2, grid, seed=3, name="d") == values)


def test_noise_moments():
    n = 200_000
    uniform, normal = (cell_noise(5, "m", 0, n, d) for d in ("uniform", "normal"))
    assert -1 <= uniform.min() < -0.9999
    assert 0.9999 < uniform.max() < 1
    assert stats.kstest(uniform, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(normal, stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(normal[1:], normal[:-1])[0, 1]) < 5 / math.sqrt(n)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [(33,), (31, 17), (8, 9, 10)])
def test_noise_conserves_the_mean(shape, distribution):
    grid = make_grid(shape)
    values = make({"kind": "noise", "mean": 0.3, "amplitude": 0.05, "distribution": distribution}, 2, grid)
    for component in values:
        assert abs(math.fsum(component.ravel()) / grid.cells - 0.3) < 1e-15
        assert component.std() == pytest.approx(0.05 / (math.sqrt(3) if distribution == "uniform" else 1), rel=0.25)


def test_noise_about_an_expression():
    values = make({"kind": "noise", "mean": "x/10", "amplitude": "a/100"}, a=1.0)[0] - make("x/10")[0]
    assert np.abs(values).max() < 0.0105
    assert abs(values.mean()) < 1e-15


# Circles


@pytest.mark.parametrize("center", [[32, 32], [0, 0], [63, 1]])
@pytest.mark.parametrize("width", [0, 0.5])
def test_circle_area_also_across_periodic_boundaries(center, width):
    grid = make_grid((256, 256), (64, 64))
    values = make({"kind": "circles", "centers": [center], "radii": 15, "width": width}, grid=grid)
    # The diffuse profile adds pi**3 w**2 / 6: the second term of the Sommerfeld expansion.
    expected = math.pi * 15**2 + (math.pi**3 / 6 * width**2)
    assert values.sum() * grid.cell_volume == pytest.approx(expected, rel=2e-3 if width == 0 else 1e-5)


def test_circle_profile_and_walls():
    grid = make_grid((40, 40), boundary=("periodic", "no-flux"))
    spec = {"kind": "circles", "centers": [[1, 2]], "radii": [6], "inside": 0.9, "outside": -0.2, "width": 1.5}
    x, y = grid.coordinates()
    d = np.hypot(np.minimum(abs(x - 1), 40 - abs(x - 1)), y - 2) - 6
    assert np.allclose(make(spec, grid=grid)[0], -0.2 + 1.1 * interface(d, 1.5), atol=1e-15)


def test_spheres_and_intervals():
    grid = make_grid((48,) * 3, (16,) * 3)
    spec = {"kind": "spheres", "centers": [[0.1, 8, 8]], "radii": 5}
    x, y, z = grid.coordinates()
    inside = np.minimum((x - 0.1) ** 2, (x - 16.1) ** 2) + (y - 8) ** 2 + (z - 8) ** 2 < 25
    assert np.array_equal(make(spec, grid=grid)[0], inside)
    diffuse = make({**spec, "width": 0.3}, grid=grid).sum() * grid.cell_volume
    assert diffuse == pytest.approx(4 / 3 * math.pi * 125 + 2 / 3 * math.pi**3 * 0.3**2 * 5, rel=1e-6)
    line = make({"kind": "circles", "centers": [3, 10], "radii": [2, 1]}, grid=make_grid((24,), (12,)))[0]
    assert np.flatnonzero(line).tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 18, 19, 20, 21]


def test_overlapping_circles_are_a_union():
    first, second = ({"kind": "circles", "centers": [c], "radii": 5} for c in ([10, 10], [14, 12]))
    both = make({"kind": "circles", "centers": [[10, 10], [14, 12]], "radii": 5})
    assert np.array_equal(both, np.maximum(make(first), make(second)))


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_random_circles_keep_their_distance_and_are_the_same_in_every_field(boundary):
    grid = make_grid((256, 256), (128, 128), boundary)
    spec = {"kind": "circles", "count": 20, "radius": [4, 8], "spacing": 3}
    values = make(spec, grid=grid)[0]
    assert math.pi * 16 * 20 < values.sum() * grid.cell_volume < math.pi * 64 * 20
    assert np.array_equal(make(spec, grid=grid, name="eta")[0], values)
    assert not np.array_equal(make(spec, grid=grid, seed=2)[0], values)
    # Growing every circle by less than half the spacing must neither merge two nor, at walls, leave any cut off.
    parts = make({**spec, "assign": "cycle"}, 20, grid)
    assert np.array_equal(parts.sum(axis=0), values)
    x, y = (a.centers for a in grid.axes)
    radii = np.sqrt(parts.sum(axis=(1, 2)) * grid.cell_volume / math.pi)
    angles = [np.exp(2j * np.pi * c / 128) for c in (x, y)]
    centers = [[np.angle((p.sum(axis=1 - d) * angles[d]).sum()) * 64 / np.pi % 128 for d in (0, 1)] for p in parts]
    gap = np.abs(np.subtract.outer(np.array(centers), np.array(centers))[:, [0, 1], :, [0, 1]])
    if boundary == "periodic":
        gap = np.minimum(gap, 128 - gap)
    else:
        assert not values[[0, -1]].any()
        assert not values[:, [0, -1]].any()
    distance = np.hypot(*gap) - np.add.outer(radii, radii)
    assert distance[~np.eye(20, dtype=bool)].min() > 3 - 0.2


def test_circles_of_components():
    spec = {"kind": "circles", "centers": [[5, 5], [15, 5], [25, 5]], "radii": 4, "outside": -1}
    one, two, three = (make({**spec, "centers": [c]})[0] for c in spec["centers"])
    cycled = make({**spec, "assign": "cycle"}, 2)
    assert np.array_equal(cycled, [np.maximum(one, three), two])
    single = make({**spec, "component": 2}, 3)
    assert np.array_equal(single[1], make(spec)[0])
    assert not single[[0, 2]].any()


def test_circle_errors():
    assert (
        "expected path, or centers and radii, or count and radius; got none of them"
        in error({"kind": "circles"}).problem
    )
    assert "got centers, count" in error({"kind": "circles", "centers": [[1, 1]], "count": 2}).problem
    assert "one radius or 1, got 2" in error({"kind": "circles", "centers": [[1, 1]], "radii": [1, 2]}).problem
    caught = error({"kind": "circles", "centers": [[1, 1], [1, 2, 3]], "radii": 1})
    assert (caught.key, caught.problem) == ("initial.c.centers[1]", "expected a point [x, y], got [1, 2, 3]")
    caught = error({"kind": "circles", "count": 50, "radius": 4})
    assert caught.key == "initial.c.count"
    assert "of 50 circles fit" in caught.problem
    assert "only 0 of 1" in error({"kind": "circles", "count": 1, "radius": 13}).problem
    assert "[min, max]" in error({"kind": "circles", "count": 1, "radius": [2, 1]}).problem
    circle = {"kind": "circles", "centers": [[1, 1]], "radii": 1}
    assert "assign: cycle" in error(circle, 2).hint
    assert "component from 1 to 2, got 3" in error({**circle, "component": 3}, 2).problem
    assert "has no components" in error({**circle, "component": 1}).problem
    assert "has no components" in error({**circle, "assign": "cycle"}).problem
    assert "excludes component" in error({**circle, "assign": "cycle", "component": 1}, 2).problem


# Slabs


def test_slab_volume_and_wrap():
    grid = make_grid((64, 4), (32, 2))
    spec = {"kind": "slab", "axis": "x", "from": 8, "to": 20}
    assert make(spec, grid=grid)[0, :, 0].sum() * 0.5 == 12
    wrapped = make({**spec, "from": 28, "to": 4}, grid=grid)[0, :, 3]
    assert np.flatnonzero(wrapped == 0).tolist() == list(range(8, 56))
    assert np.array_equal(make({**spec, "from": -4, "to": 4}, grid=grid)[0, :, 3], wrapped)
    diffuse = make({**spec, "from": 28, "to": 4, "inside": 2, "width": 0.5}, grid=grid)
    assert diffuse.mean() * 32 == pytest.approx(2 * 8, rel=1e-6)
    x = grid.axes[0].centers
    assert np.allclose(diffuse[0, :, 0], 2 * interface(np.minimum(abs(x), 32 - abs(x)) - 4, 0.5), atol=1e-14)


def test_front_has_one_interface_between_walls_and_two_if_periodic():
    spec = {"kind": "slab", "axis": "y", "position": 10, "inside": 1, "outside": -1, "width": 1}
    walls = make(spec, grid=make_grid((2, 40), boundary="no-flux"))[0, 0]
    y = np.arange(40) + 0.5
    assert np.allclose(walls, 2 * interface(y - 10, 1) - 1, atol=1e-15)
    assert walls[0] == pytest.approx(1, abs=1e-5)
    periodic = make(spec, grid=make_grid((2, 40)))[0, 0]
    assert np.allclose(periodic, 2 * interface(np.minimum(abs(y - 5), 45 - y) - 5, 1) - 1, atol=1e-15)
    upper = {"kind": "slab", "axis": "y", "from": 10, "to": 40, "outside": -1, "width": 1}
    assert np.allclose(make(upper, grid=make_grid((2, 40), boundary="no-flux"))[0, 0], -walls, atol=1e-15)


def test_slab_of_a_component():
    spec = {"kind": "slab", "axis": "z", "from": 1, "to": 3, "component": 1}
    values = make(spec, 2, make_grid((2, 3, 5)))
    assert values.sum() == values[0, :, :, 1:3].sum() == 2 * 3 * 2


def test_slab_ends():
    assert "x or y, got 'z'" in error({"kind": "slab", "axis": "z", "position": 1}).problem
    assert "got neither" in error({"kind": "slab", "axis": "x"}).problem
    assert error({"kind": "slab", "axis": "x", "from": 1}).key == "initial.c.to"
    assert "excludes" in error({"kind": "slab", "axis": "x", "from": 1, "position": 2}).problem
    assert "no layer" in error({"kind": "slab", "axis": "x", "from": 0, "to": 32}).problem
    walls = make_grid((8,), boundary="no-flux")
    assert make({"kind": "slab", "axis": "x", "from": 6}, grid=walls).sum() == 2
    assert "no part between the walls" in error({"kind": "slab", "axis": "x", "from": 9}, grid=walls).problem
    assert error({"kind": "slab", "axis": "x", "position": 2}, 2).key == "initial.c.component"


# Voronoi


def nearest(centers, grid):
    """Index of the nearest centre with all periodic images written out."""
    points = np.stack(np.broadcast_arrays(*grid.coordinates()), axis=-1)[..., None, :]
    best = np.full((*grid.shape, len(centers)), np.inf)
    shifts = [(-a.length, 0, a.length) if a.boundary == "periodic" else (0,) for a in grid.axes]
    for shift in np.stack(np.meshgrid(*shifts), axis=-1).reshape(-1, grid.dim):
        best = np.minimum(best, np.linalg.norm(points - np.array(centers) - shift, axis=-1))
    return best.argmin(axis=-1)


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("no-flux", "periodic")])
def test_voronoi_of_given_centers(boundary):
    grid = make_grid((40, 30), boundary=boundary)
    centers = [[3.1, 4.2], [20.3, 7.7], [31.9, 25.1], [9.2, 22.4]]
    eta = make({"kind": "voronoi", "centers": centers}, 5, grid)
    assert np.array_equal(eta, [nearest(centers, grid) == i for i in range(5)])


@pytest.mark.parametrize(("shape", "grains", "components"), [((60,), 9, 3), ((96, 96), 60, 8), ((24, 24, 24), 40, 12)])
def test_voronoi_neighbours_have_different_components(shape, grains, components):
    grid = make_grid(shape)
    eta = make({"kind": "voronoi", "grains": grains}, components, grid)
    assert np.array_equal(np.unique(eta), [0, 1])
    assert np.all(eta.sum(axis=0) == 1)
    centers = cell_noise(1, "grains", 0, grains * grid.dim, "uniform").reshape(-1, grid.dim) / 2 + 0.5
    owner, phase = nearest(centers * shape, grid), eta.argmax(axis=0)
    for axis in range(grid.dim):
        boundary = owner != np.roll(owner, 1, axis)
        assert np.array_equal(phase != np.roll(phase, 1, axis), boundary)
    assert len(np.unique(phase)) == components


def test_voronoi_default_is_one_grain_per_component():
    eta = make({"kind": "voronoi"}, 4)
    assert np.all(eta.sum(axis=(1, 2)) > 0)
    assert np.array_equal(make({"kind": "voronoi", "grains": 4}, 4, name="d"), eta)


def test_diffuse_voronoi_has_the_profile_of_an_interface():
    grid = make_grid((200, 20), (100, 10), "no-flux")
    eta = make({"kind": "voronoi", "centers": [[30, 5], [70, 5]], "width": 1.2}, 3, grid)
    x = grid.axes[0].centers
    between = (x > 32) & (x < 68)
    row = eta[0, :, 10]
    assert np.allclose(row[between], interface(x[between] - 50, 1.2), atol=2e-3)
    assert np.allclose(eta.sum(axis=0), 1, atol=1e-15)
    assert not eta[2].any()


def test_diffuse_voronoi_is_smooth_at_junctions():
    eta = [make({"kind": "voronoi", "grains": 12, "width": 3}, 6, make_grid((n, n), (64, 64))) for n in (128, 256)]
    jumps = [max(np.abs(e - np.roll(e, 1, axis)).max() for axis in (1, 2)) for e in eta]
    assert jumps[1] < 0.55 * jumps[0]


def test_voronoi_errors():
    assert "scalar field" in error({"kind": "voronoi"}).problem
    caught = error({"kind": "voronoi", "grains": 40}, 2, make_grid((64, 64)))
    assert caught.key == "initial.c.grains"
    assert "40 grains whose neighbours all differ need" in caught.problem
    needed = int(caught.problem.split("need ")[1].split()[0])
    assert 4 <= needed <= 7
    make({"kind": "voronoi", "grains": 40}, needed, make_grid((64, 64)))
    assert "there are 1 centers" in error({"kind": "voronoi", "grains": 2, "centers": [[1, 1]]}, 2).problem


# Files


@pytest.fixture
def data():
    return np.random.default_rng(0).random((32, 24))


def test_npy_round_trip(tmp_path, data):
    np.save(tmp_path / "c.npy", data)
    spec = {"kind": "file", "path": "c.npy"}
    assert np.array_equal(make(spec, base=tmp_path)[0], data)
    assert np.array_equal(make({**spec, "path": str(tmp_path / "c.npy")})[0], data)
    scaled = make({**spec, "range": [2, -1]}, base=tmp_path)[0]
    assert (scaled[data == data.min()], scaled[data == data.max()]) == (2, -1)
    placed = make({**spec, "component": 2}, 2, base=tmp_path)
    assert np.array_equal(placed, [np.zeros_like(data), data])
    assert "set component" in error(spec, 2, base=tmp_path).hint
    np.save(tmp_path / "eta.npy", np.stack([data, 1 - data]))
    assert np.array_equal(make({"kind": "file", "path": "eta.npy"}, 2, base=tmp_path), [data, 1 - data])


def test_netcdf_variables_times_and_order_of_dimensions(tmp_path, data):
    series = np.stack([data, data + 1, data + 2])
    eta = np.stack([data, -data], axis=-1)
    dataset = xr.Dataset(
        {"c": (("time", "y", "x"), series.swapaxes(1, 2)), "eta": (("x", "y", "grain"), eta), "u": (("i", "j"), data)}
    )
    dataset.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    spec = {"kind": "file", "path": "run.nc"}
    assert np.array_equal(make(spec, base=tmp_path)[0], data + 2)
    assert np.array_equal(make({**spec, "time": 1}, base=tmp_path)[0], data + 1)
    assert np.array_equal(make({**spec, "variable": "u"}, base=tmp_path)[0], data)
    assert np.array_equal(make({**spec, "variable": "eta"}, 2, base=tmp_path), [data, -data])
    assert "3 records" in error({**spec, "time": 3}, base=tmp_path).problem
    assert "no dimension time" in error({**spec, "variable": "u", "time": 0}, base=tmp_path).problem
    caught = error({**spec, "variable": "etta"}, base=tmp_path)
    assert "did you mean 'eta'" in caught.problem
    assert caught.hint == "it has c, eta, u"


@pytest.mark.parametrize(
    ("suffix", "dtype"), [("png", np.uint8), ("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16)]
)
def test_grey_images(tmp_path, suffix, dtype):
    full = np.iinfo(dtype).max
    rows = np.random.default_rng(1).integers(0, full + 1, (24, 32), dtype=dtype)
    rows[0, :2] = 0, full  # the top left corner: smallest x, largest y
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(rows).save(path) if suffix == "png" else tifffile.imwrite(path, rows)
    values = make({"kind": "file", "path": str(path), "range": [-1, 1]})[0]
    assert values[:2, -1].tolist() == [-1, 1]
    assert np.allclose(values, 2.0 * rows[::-1].T / full - 1, atol=1e-15)
    assert "an image needs it" in error({"kind": "file", "path": str(path)}).problem


def test_colour_is_reduced_to_luminance(tmp_path):
    rows = np.random.default_rng(2).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    luminance = (rows @ [0.299, 0.587, 0.114])[::-1].T / 255
    Image.fromarray(rows).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", rows, photometric="rgb")
    Image.fromarray(rows).save(tmp_path / "c.tif", compression="tiff_lzw")  # a codec that tifffile lacks
    for name in ("a.png", "b.tif", "c.tif"):
        values = make({"kind": "file", "path": name, "range": [0, 1]}, base=tmp_path)[0]
        assert np.allclose(values, luminance, atol=1.01 / 255)


def test_tiff_of_other_types(tmp_path, data):
    rows = data.T[::-1]
    tifffile.imwrite(tmp_path / "float.tif", rows)
    assert np.array_equal(make({"kind": "file", "path": "float.tif"}, base=tmp_path)[0], data)
    grey = (rows * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "white.tif", 255 - grey, photometric="miniswhite")
    values = make({"kind": "file", "path": "white.tif", "range": [0, 255]}, base=tmp_path)[0]
    assert np.allclose(values, grey[::-1].T, atol=1e-12)


@pytest.mark.parametrize("writer", ["tifffile", "pillow"])
def test_tiff_stack_has_pages_along_z(tmp_path, writer):
    stack = np.random.default_rng(3).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    if writer == "tifffile":
        tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    else:
        first, *rest = (Image.fromarray(page) for page in stack)
        first.save(tmp_path / "s.tif", save_all=True, append_images=rest)
    spec = {"kind": "file", "path": "s.tif", "range": [0, 255]}
    values = make(spec, grid=make_grid((7, 5, 3)), base=tmp_path)[0]
    assert values[2, 4, 1] == stack[1, 0, 2]
    assert np.allclose(values, stack[:, ::-1].transpose(2, 1, 0), atol=1e-12)
    assert "image of 7 x 5 x 3 cells; the grid is 2-D" in error(spec, grid=make_grid((7, 5)), base=tmp_path).problem


def test_planes_of_colours_go_by_the_grid(tmp_path):
    planes = np.random.default_rng(4).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    spec = {"kind": "file", "path": "p.tif", "range": [0, 255]}
    stack = make(spec, grid=make_grid((7, 5, 3)), base=tmp_path)[0]
    assert np.allclose(stack, planes[:, ::-1].transpose(2, 1, 0), atol=1e-12)
    flat = make(spec, grid=make_grid((7, 5)), base=tmp_path)[0]
    assert np.allclose(flat, np.tensordot([0.299, 0.587, 0.114], planes, 1)[::-1].T, atol=0.51)
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((2, 3, 5, 7), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    caught = error(spec, base=tmp_path)
    assert caught.key == "initial.c.path"
    assert "has the axes T, Z, Y, X of 2 x 3 x 5 x 7" in caught.problem


def test_resampling_is_linear_at_cell_centres(tmp_path):
    coarse, fine = (make_grid((n, 12), (10, 10), ("no-flux", "periodic")) for n in (20, 50))
    np.save(tmp_path / "c.npy", make("3*x + 1", grid=coarse)[0])
    values = make({"kind": "file", "path": "c.npy", "resample": True}, grid=fine, base=tmp_path)
    inside = slice(1, -1)  # half a coarse cell from the walls there is nothing to interpolate
    assert np.allclose(values[0, inside], make("3*x + 1", grid=fine)[0, inside], atol=1e-13)
    wave = make_grid((64, 12), (10, 10)), make_grid((100, 12), (10, 10))
    np.save(tmp_path / "w.npy", make("cos(2*pi*x/10)", grid=wave[0])[0])
    values = make({"kind": "file", "path": "w.npy", "resample": True}, grid=wave[1], base=tmp_path)
    assert np.allclose(values, make("cos(2*pi*x/10)", grid=wave[1]), atol=(2 * math.pi / 64) ** 2 / 8)


def test_a_coarser_grid_takes_means(tmp_path):
    """What a coarse grid would step over keeps its volume, also where its cells cut those of the file."""
    values = np.zeros((96, 24))
    values[::4] = 1.0
    np.save(tmp_path / "c.npy", values)
    for n in (24, 17):
        coarse = make({"kind": "file", "path": "c.npy", "resample": True}, grid=make_grid((n, 24)), base=tmp_path)
        assert coarse.mean() == pytest.approx(0.25, rel=1e-12)
    assert np.allclose(
        make({"kind": "file", "path": "c.npy", "resample": True}, grid=make_grid((24, 24)), base=tmp_path), 0.25
    )


def test_what_is_stretched_is_told(tmp_path, caplog):
    Image.fromarray(np.arange(48 * 24, dtype=np.uint32).reshape(24, 48).astype(np.uint8)).save(tmp_path / "c.png")
    spec = {"kind": "file", "path": "c.png", "range": [0, 1], "resample": True}
    make(spec, grid=make_grid((64, 32)), base=tmp_path)
    assert not caplog.records
    make(spec, grid=make_grid((32, 32)), base=tmp_path)
    assert "c.png is stretched by 2 along y: it has 48 x 24 cells" in caplog.text
    caplog.clear()
    make(spec, grid=make_grid((32, 32), (64, 32)), base=tmp_path)
    assert not caplog.records
    # The spacing of the file counts, also where no cell is resampled.
    tifffile.imwrite(
        tmp_path / "c.tif", np.eye(8, dtype=np.uint8) * 255, resolution=(1e4, 2e4), resolutionunit="CENTIMETER"
    )
    spec = {"kind": "file", "path": "c.tif", "range": [0, 1]}
    make(spec, grid=make_grid((8, 8), (2, 1)), base=tmp_path)
    assert not caplog.records
    make(spec, grid=make_grid((8, 8)), base=tmp_path)
    assert "stretched by 2 along y" in caplog.text
    caplog.clear()
    coords = {"x": 0.5 * np.arange(8), "y": np.arange(8)}
    xr.DataArray(np.eye(8), dims=["x", "y"], coords=coords, name="c").to_netcdf(tmp_path / "c.nc")
    make({"kind": "file", "path": "c.nc"}, grid=make_grid((8, 8)), base=tmp_path)
    assert "stretched by 2 along x" in caplog.text


@pytest.mark.parametrize(("top", "dtype"), [(1, np.uint8), (300, np.uint16)])
def test_a_picture_that_uses_little_of_its_scale(tmp_path, top, dtype):
    """Values 0 and 1 of 255 would become 0 and 0.004."""
    tifffile.imwrite(tmp_path / "c.tif", (np.indices((24, 32)).sum(axis=0) % 2 * top).astype(dtype))
    spec = {"kind": "file", "path": "c.tif", "range": [0, 1]}
    caught = error(spec, base=tmp_path)
    assert caught.key == "initial.c.scale"
    assert f"run from 0 to {top} only" in caught.problem
    assert f"scale: [0, {top}]" in caught.hint
    for scale in ([0, top], "data"):
        assert set(np.unique(make({**spec, "scale": scale}, base=tmp_path))) == {0, 1}
    assert make({**spec, "scale": "full"}, base=tmp_path).max() == top / np.iinfo(dtype).max
    assert "two different grey values" in error({**spec, "scale": [1, 1]}, base=tmp_path).problem
    assert "full, data or two" in error({**spec, "scale": "half"}, base=tmp_path).problem


def test_axes_that_the_grid_lacks_are_not_taken_for_others(tmp_path):
    xr.DataArray(np.eye(24), dims=["x", "z"], name="c").to_netcdf(tmp_path / "c.nc")
    caught = error({"kind": "file", "path": "c.nc"}, grid=make_grid((24, 24)), base=tmp_path)
    assert "has the axes x, z, the grid x, y" in caught.problem
    xr.DataArray(np.eye(24)[None], dims=["z", "y", "x"], name="c").to_netcdf(tmp_path / "c.nc")
    assert make({"kind": "file", "path": "c.nc"}, grid=make_grid((24, 24)), base=tmp_path)[0, 3, 3] == 1


def test_file_errors(tmp_path, data):
    def fail(path, **keys):
        return error({"kind": "file", "path": path, **keys}, base=tmp_path)

    assert f"there is no file {tmp_path / 'a.npy'}" in fail("a.npy").problem
    (tmp_path / "a.csv").write_text("1,2")
    assert "unknown type" in fail("a.csv").problem
    for name in ("a.npy", "a.nc", "a.png", "a.tif"):
        (tmp_path / name).write_bytes(b"nothing of the sort")
        caught = fail(name)
        assert caught.key == "initial.c.path"
        assert ("is no NetCDF file" if name == "a.nc" else "cannot be read") in caught.problem
        assert caught.hint
    np.save(tmp_path / "cut.npy", data)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-100])
    assert "cannot be read" in fail("cut.npy").problem
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be read" in fail("object.npy").problem
    np.save(tmp_path / "complex.npy", data + 1j)
    assert "complex128" in fail("complex.npy").problem
    np.save(tmp_path / "nan.npy", np.where(data < 0.1, np.nan, data))
    assert f"{np.count_nonzero(data < 0.1)} of 768 values" in fail("nan.npy").problem
    np.save(tmp_path / "flat.npy", np.ones_like(data))
    assert "are equal" in fail("flat.npy", range=[0, 1]).problem
    np.save(tmp_path / "small.npy", data[:16])
    caught = fail("small.npy")
    assert "shape (16, 24) and the grid (32, 24)" in caught.problem
    assert caught.hint == "set grid.shape=[16, 24] or resample: true"
    np.save(tmp_path / "deep.npy", data[..., None])
    assert "shape (32, 24, 1); expected (32, 24)" in fail("deep.npy", resample=True).problem
    assert fail("small.npy", variable="c").key == "initial.c.variable"


# Combinations, keys and merging


def test_sum_of_terms():
    noise = {"kind": "noise", "amplitude": 0.1}
    values = make({"kind": "sum", "terms": ["x", 0.5, noise, noise]}, 2)
    first, second = (make({"kind": "sum", "terms": ["0*x"] * i + [noise]}, 2) for i in (2, 3))
    assert np.allclose(values, make("x + 0.5", 2) + first + second, atol=1e-14)
    assert not np.any(first == second)
    assert error({"kind": "sum", "terms": ["x", {"kind": "noise"}]}).key == "initial.c.terms[1].amplitude"
    assert "a list of specifications" in error({"kind": "sum", "terms": "x"}).problem


@pytest.mark.parametrize(
    ("spec", "key", "problem", "hint"),
    [
        ({}, "kind", "missing", "choose one of circles, expression, file, noise"),
        ({"kind": "voronoy"}, "kind", "did you mean 'voronoi'?", "choose"),
        ({"kind": 3}, "kind", "unknown kind 3", "choose"),
        ({"kind": "noise"}, "amplitude", "missing", ""),
        ({"kind": "noise", "amplitude": None}, "amplitude", "missing", ""),
        ({"kind": "noise", "amplitude": 1, "maen": 0}, "maen", "did you mean 'mean'?", "mean, amplitude"),
        ({"kind": "noise", "amplitude": -1}, "amplitude", "not negative, got -1", ""),
        ({"kind": "noise", "amplitude": [1]}, "amplitude", "a finite number, got [1]", ""),
        ({"kind": "noise", "amplitude": math.inf}, "amplitude", "a finite number, got inf", ""),
        ({"kind": "noise", "amplitude": "big"}, "amplitude", "unknown name 'big'", "pi"),
        ({"kind": "noise", "amplitude": "1/q"}, "amplitude", "not a finite real number for these parameters", ""),
        ({"kind": "noise", "amplitude": 1, "distribution": "gauss"}, "distribution", "uniform or normal", ""),
        ({"kind": "noise", "amplitude": 1, "conserve_mean": 1}, "conserve_mean", "true or false, got 1", ""),
        ({"kind": "noise", "amplitude": 1, "mean": "w"}, "mean", "unknown name 'w'", ""),
        ({"kind": "voronoi", "grains": 2.5}, "grains", "an integer, got 2.5", ""),
        ({"kind": "voronoi", "grains": 0}, "grains", "a positive integer, got 0", ""),
        ({"kind": "circles", "count": 1, "radius": 0}, "radius[0]", "a positive number, got 0", ""),
        ({"kind": "file", "path": 3}, "path", "text, got 3", ""),
        ({"kind": "file", "path": "x.npy", "range": [0]}, "range", "two numbers [low, high]", ""),
    ],
)
def test_faulty_keys(spec, key, problem, hint):
    caught = error(spec, q=0.0)
    assert caught.key == f"initial.c.{key}"
    assert problem in caught.problem + str(caught)
    assert hint in caught.hint


@pytest.mark.parametrize("spec", [True, None, math.nan, object()])
def test_what_is_no_specification(spec):
    assert error(spec).key == "initial.c"


def test_merging():
    noise = {"kind": "noise", "mean": 0.5, "amplitude": 0.1}
    assert merge_initial(noise, {"amplitude": 0.2}) == {**noise, "amplitude": 0.2}
    assert merge_initial(noise, {"kind": "noise", "mean": "x"}) == {"kind": "noise", "mean": "x"}
    assert merge_initial(noise, {"kind": "voronoi"}) == {"kind": "voronoi"}
    assert merge_initial(noise, "x") == "x"
    assert merge_initial(noise, 0.0) == 0.0
    assert merge_initial(noise, None) == noise
    assert merge_initial("x", noise) == noise
    assert merge_initial(None, "x") == "x"
    circles = {"kind": "circles", "count": 3, "radius": 2}
    assert merge_initial(circles, {"kind": "spheres", "radius": 1}) == {"kind": "spheres", "radius": 1}
    assert merge_initial(circles, {"radius": 1}) == {**circles, "radius": 1}
    assert noise == {"kind": "noise", "mean": 0.5, "amplitude": 0.1}


def test_null_removes_a_key_of_the_default():
    merged = merge_initial({"kind": "circles", "count": 3, "radius": 2}, {"count": None, "radius": None, "radii": 3})
    assert np.array_equal(
        make({**merged, "centers": [[5, 5]]}), make({"kind": "circles", "centers": [[5, 5]], "radii": 3})
    )


def test_relative_paths_start_from_the_working_directory_by_default(tmp_path, data, monkeypatch):
    np.save(tmp_path / "c.npy", data)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(make({"kind": "file", "path": Path("c.npy")})[0], data)

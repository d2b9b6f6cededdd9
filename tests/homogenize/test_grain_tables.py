"""Polycrystals of several phases: the table of grains, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

from phasefield.errors import ConfigError
from phasefield.homogenize import CellProblem, Options, Settings, build, command, from_array, homogenize
from phasefield.homogenize.grains import Grains, match, read_grains
from phasefield.homogenize.reading import Image
from phasefield.mechanics import tensors

# Of equal bulk modulus (160 + 2 * 100)/3 = (200 + 2 * 80)/3 = 120.
SYSTEM = build(
    {
        "phases": {
            "a": {"stiffness": {"C11": 160, "C12": 100, "C44": 80}, "conductivity": {"a": 1, "c": 4}},
            "b": {"stiffness": {"C11": 200, "C12": 80, "C44": 25}, "conductivity": 2},
        }
    }
)
LABELS = np.array([3, 7, 12, 40])
ROWS = "label,phase,phi1,Phi,phi2\n40,b,10,20,30\n7, a, 80, 50, 5\n3,1,0,45,0\n12,0,120,90,60\n99,b,0,0,0\n"
PLAIN = Options(tolerance=1e-9)


def image(shape: tuple[int, ...] = (7, 6, 5)) -> Image:
    return from_array(LABELS[np.random.default_rng(2).integers(0, 4, shape)])


def written(folder: Path, text: str) -> str:
    path = folder / "grains.csv"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["stiffness", "conductivity"])
def test_each_label_has_the_tensor_of_its_row(tmp_path: Path, name: str) -> None:
    settings = Settings(properties=(name,), grains=written(tmp_path, ROWS), two_grid=False, solver=PLAIN)
    (result,) = homogenize(image(), SYSTEM, settings)
    rows = {3: ("b", 0, 45, 0), 7: ("a", 80, 50, 5), 12: ("a", 120, 90, 60), 40: ("b", 10, 20, 30)}
    pure = [
        SYSTEM.phase(phase).tensor(name, tensors.rotation_from_euler(*np.radians(angles)))
        for phase, *angles in (rows[label] for label in LABELS)
    ]
    problem = CellProblem(image().values, np.stack(pure), (1.0, 1.0, 1.0), PLAIN)
    n = problem.size
    direct = np.stack([problem.solve(np.eye(n)[k]).mean for k in range(n)], axis=1)
    np.testing.assert_allclose(result.tensor, direct, rtol=1e-7, atol=1e-7 * np.abs(direct).max())
    if name == "stiffness":
        # Whatever the orientations, a uniform dilatation is in equilibrium: 3 K = C11 + 2 C12.
        np.testing.assert_allclose(result.tensor[:3, :3].sum(axis=1), 360.0, rtol=1e-8)
        assert result.moduli["K"] == pytest.approx(120.0, rel=1e-8)
        assert result.evidence["distance_isotropic"] > 1e-3


def test_random_orientations_where_none_are_given(tmp_path: Path) -> None:
    text = "label phase phi1 Phi phi2\n".replace(" ", ",") + "3,a,,,\n7,a,30,40,50\n12,b,,,\n40,a,,,\n"
    grains = read_grains(written(tmp_path, text))
    phases, rotations = match(grains, [3.0, 7.0, 12.0, 40.0], SYSTEM, seed=5)
    assert phases == (0, 0, 1, 0)
    drawn = tensors.random_rotations(4, 5)
    np.testing.assert_array_equal(rotations[[0, 2, 3]], drawn[[0, 2, 3]])
    np.testing.assert_allclose(rotations[1], tensors.rotation_from_euler(*np.radians([30, 40, 50])))
    bare = read_grains(written(tmp_path, "label,phase\n3,a\n7,a\n12,b\n40,b\n"))
    np.testing.assert_array_equal(match(bare, LABELS, SYSTEM, seed=5)[1], drawn)
    fixed = build({"phases": {"a": {"conductivity": 1, "orientation": {"euler": [90, 0, 0]}}}})
    (turned,) = match(Grains([None]), [0.0], fixed, 1)[1]
    np.testing.assert_allclose(turned, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)


def test_angles_alone_are_in_the_order_of_the_labels(tmp_path: Path) -> None:
    plain = read_grains(written(tmp_path, "10 20 30\n40 50 60\n"))
    for text in ("phi1,Phi,phi2\n10,20,30\n40,50,60\n", "# measured\n10, 20, 30\n\n40, 50, 60\n"):
        other = read_grains(written(tmp_path, text))
        assert other.labels is None
        np.testing.assert_array_equal(np.stack(other.rotations), np.stack(plain.rotations))


@pytest.mark.parametrize("point", [".", ","])
def test_semicolons_and_decimal_commas(tmp_path: Path, point: str) -> None:
    text = ROWS.replace("80, 50, 5\n", "80.5, 50, 0.25\n")
    commas = read_grains(written(tmp_path, text))
    other = read_grains(written(tmp_path, "\ufeff" + text.replace(",", ";").replace(".", point)))
    assert (other.labels, other.phases) == (commas.labels, commas.phases)
    np.testing.assert_array_equal(np.stack(other.rotations), np.stack(commas.rotations))
    bare = read_grains(written(tmp_path, f"80{point}5; 50; 0{point}25\n1;2;3\n"))
    np.testing.assert_array_equal(bare.rotations[0], commas.rotations[1])


def test_fields_are_numbered_from_one(tmp_path: Path) -> None:
    """As in the files of a run; a grain given as a field and the same given as a label have the same tensor."""
    labels = np.random.default_rng(0).integers(0, 3, (8, 8))
    fields = Image("fields", np.stack([labels == k for k in range(3)]).astype(float), (1.0, 1.0), ("periodic",) * 2)
    table = "label,phase,phi1,Phi,phi2\n{},a,0,10,0\n{},b,20,30,0\n{},a,40,50,60\n"
    found = []
    for kind, first in ((fields, 1), (from_array(labels), 0)):
        path = written(tmp_path, table.format(first, first + 1, first + 2))
        settings = Settings(grains=path, voxel="sharp", two_grid=False, mixing=False)
        found.append(homogenize(kind, SYSTEM, settings)[0].tensor)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_the_file_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, LABELS[image((6, 6)).values])
    material = "material={phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: {stiffness: {E: 3, nu: 0.3}}}}"
    target, records, _ = command.run(path, [material, f"grains={written(tmp_path, ROWS)}", "descriptors=false"])
    data = xarray.load_dataset(target)
    assert list(data.phase.values) == ["3", "7", "12", "40"]
    assert list(data.material_phase.values) == ["b", "a", "a", "b"]
    share = 100 * records[0].fractions[[0, 3]].sum()
    assert f"b {share:.4g} %, a {100 - share:.4g} % in 4 grains" in command.table(records)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,phase,phi1,Phi,phi2\n3,a,0,0,0\n7,a,0,0,0\n", "has no row for the label 12, 40 of the image"),
        (ROWS.replace("7, a", "7, c"), "no phase for .* 'c'"),
        (ROWS.replace("7, a", "7, 2"), "no phase for .* '2'"),
        (ROWS.replace("12,0", "7,0"), "label 7 twice"),
        (ROWS.replace("phase", "phases"), "no column .* 'phases'; did you mean 'phase'"),
        (ROWS.replace("120,90,60", "120,90"), "line 5 .* has 4 values for 5 columns"),
        (ROWS.replace("120,90,60", "120,,60"), "line 5 .* lacks an angle"),
        (ROWS.replace("120,90,60", "120,x,60"), "phi is 'x'; a number is expected"),
        ("label,phi1,Phi,phi2\n3,0,0,0\n7,0,0,0\n12,0,0,0\n40,0,0,0\n", "has no column 'phase'"),
        ("phase,phi1,Phi,phi2\na,0,0,0\n", "has the columns phase, phi1, phi, phi2"),
        ("0 0 0\n1 2 3\n", "has 2 rows for 4 grains"),
        ("label;phase;phi1;Phi;phi2\n3;a;1.000,5;0;0\n", "line 2 .* phi1 is '1.000,5'; a number is expected"),
        ("", "is empty"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        homogenize(image(), SYSTEM, Settings(grains=written(tmp_path, text)))
    assert refused.value.key == "grains"

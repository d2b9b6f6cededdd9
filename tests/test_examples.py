"""Every example in examples/ runs, draws its picture and asserts its number; the gallery knows all of them.

They are found by themselves and run with ``--quick``, those of Python in this process, where imports and compiled kernels are
shared. What is not in `ALWAYS` is slow.
"""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gallery
import matplotlib.pyplot
import numpy as np
import pytest
from PIL import Image

import phasefield as pf

PATHS = gallery.scripts()
#: Run with every suite: one of each kind, of kernels that other tests compile as well.
ALWAYS = {
    "spinodal", "shrinking_circle", "from_file", "sessile_drop", "laminate", "disk_array", "polycrystal", "micrograph",
    "plate_with_hole", "scales",
}  # fmt: skip
NEEDS = {"paraview": "vtkmodules", **dict.fromkeys(["fe2", "micrograph", "plate_with_hole", "scales"], "skfem")}
#: Numbers of the real size that docs/macro.md states.
STATED = {
    "fe2": {"force": 0.137333, "linear": 0.098664},
    "plate_with_hole": {"stretch": 0.218779, "peak": 35.5343},
    "scales": {"errors": {2: -0.0465, 4: -0.0186, 8: -0.0081, 16: -0.0038}},
}


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, no windows, and what an example registers is gone after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    before = dict(pf.OBSERVABLES)
    with matplotlib.rc_context({"backend": "Agg"}):
        yield
        matplotlib.pyplot.close("all")
    for name in set(pf.OBSERVABLES) - set(before):
        del pf.OBSERVABLES[name]


def run(path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    if module := NEEDS.get(path.stem):
        pytest.importorskip(module)
    if path.stem == "plate_with_hole" and shutil.which("ccx") is None:
        pytest.skip("CalculiX (ccx) is not installed")
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    return runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[] if p.stem in ALWAYS else pytest.mark.slow) for p in PATHS]
)
def test_example(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    example = gallery.Example.read(path)
    if path.suffix == ".sh":
        last, _, _ = gallery.run(example, Path.cwd(), "--quick")
    else:
        run(path, monkeypatch, "--quick")
        last = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.search(r": .*\d.*, expected .*\d", last)
    pixels = np.asarray(Image.open(example.picture).convert("RGB"))
    assert pixels.shape[1] >= 600
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert pixels.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STATED))
def test_numbers_of_the_pages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(gallery.EXAMPLES / f"{name}.py", monkeypatch)
    for variable, expected in STATED[name].items():
        assert found[variable] == pytest.approx(expected, **({"abs": 1e-4} if name == "scales" else {"rel": 1e-4}))


def test_every_example_has_the_form() -> None:
    assert len(PATHS) >= 20
    for path in PATHS:
        example = gallery.Example.read(path)
        assert example.picture == f"{path.stem}.png"
        assert re.search(r"[=~<]", example.equation), f"{path.name}: no equation"
        text = path.read_text()
        assert "--quick" in text, path.name
        assert re.search(r"^ *assert \S", text, re.MULTILINE), path.name
    assert sorted(p.stem for p in PATHS) == sorted(name for names in gallery.GROUPS.values() for name in names)


def test_another_form_is_refused(tmp_path: Path) -> None:
    for number, head in enumerate(
        ("Title without equation.\n\nWords.\n", "Title.\n\n    a = b\n\nWords.\n\nRun time: long.\n")
    ):
        path = tmp_path / f"{number}.py"
        path.write_text(f'"""{head}"""\n')
        with pytest.raises(ValueError, match="begins otherwise"):
            gallery.Example.read(path)


def test_the_gallery_shows_all() -> None:
    """With pictures small enough to be kept."""
    text = gallery.PAGE.read_text()
    for path in PATHS:
        assert f"(../examples/{path.name})" in text
        picture = gallery.FOLDER / f"{path.stem}.png"
        assert f"gallery/{picture.name}" in text
        assert picture.stat().st_size <= gallery.LARGEST
    assert sum(p.stat().st_size for p in gallery.FOLDER.iterdir()) < 1_500_000

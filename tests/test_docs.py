"""Every command and snippet of the README, the docs and the help does what it says: it is found here by itself and run.

Commands run in this process, page by page, in one folder that holds the files they name. What is too long for the suite is made
shorter by overrides that are appended (`SHORTER`), never by another command. A snippet that is neither run nor listed
with a reason (`NOT_RUN`) fails the test.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from phasefield import cli, usage

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]

#: What is appended to a command, by the first pattern that is found in it, and why.
SHORTER = [
    (r"statistics scan.npy sizes", "sizes=[8,14] properties=conductivity solver.precision=double", "an image of 32 x 28"),
    (r"statistics scan.npy recon", "reconstructions=3 properties=conductivity solver.precision=double", "others are alike"),
    (r"statistics model=", "members=3 sizes=[16] time.end=20 properties=conductivity solver.precision=double", "96 runs"),
    (r"statistics nano", "sizes=[64] solver.precision=double", "likewise"),
    (r"statistics ", "properties=conductivity solver.precision=double", "kernels are compiled for other tests"),
    (r"homogenize .*times=all", "solver.tolerance=1e-3 two_grid=false mixing=false", "eleven states take eleven solves"),
    (r"uncertainty=pce", "uncertainty_order=1 two_grid=false mixing=false", "43 solves"),
    (r"homogenize (tomogram|volume|slices)", "two_grid=false properties=conductivity", "of 24^3 voxels"),
    (r"run .*tomogram", "time.end=1e-3", "to t = 2000"),
    (r"homogenize ", "", ""),
    (r"phasefield export ", "", ""),
    (r"phasefield watch \S+$", "once=true", "it shows a run until it is interrupted"),
    (r"phasefield (watch|view) ", "", ""),
    (r"model=grain_growth", "grid.shape=[24,24] model.fields.eta.components=4 initial.eta.grains=4 time.end=1",
     "eight components take half a minute to compile"),
    (r"model=precipitate .*stiffness", "grid.shape=[64,64] time.end=20 initial.c.count=3 initial.eta.count=3",
     "200 solves on 256 x 256 voxels"),
    (r"model=spinodal .*stiffness", "grid.shape=[24,24] time.end=50", "ten solves on 256 x 256 voxels"),
    (r"output.dir=sweep\b", "grid.shape=[16,16] time.end=1 output.picture=false seed=1 initial.c.mean=0.45,0.5", "six runs"),
    (r"output.dir=tolerances\b", "grid.shape=[16,16] time.end=1 output.picture=false", "two runs of a second"),
    (r"output.dir=spins\b", "grid.shape=[24,24] time.end=100", "twelve runs"),
    (r"surrogate fit", "threads=1", "one label after the other"),
    (r"surrogate check", "queries=10", "a query takes some ms"),
    (r"surrogate ", "", ""),
    (r"output.dir=spin\b", "grid.shape=[48,48] time.end=200", "its snapshots are homogenized"),
    (r"hydra/launcher=local", "grid.shape=[16,16] time.end=1", "three runs of ten seconds"),
    (r"model=cuboids", "", "its shape is asserted; two seconds"),
    (r"run -m ", "grid.shape=[16,16] time.end=1 output.dir=many", "likewise"),
    (r"experiment=pfhub/1b", "grid.shape=[24,24] time.end=5", "3 s on a free machine"),
    (r"config |--help|phasefield scales ", "", ""),
    (r"resume (\S+)", "", ""),
    (r"report ", "", ""),
    (r"model.energy=", "time.end=1e-3", "512 x 512 cells to t = 2000"),
    (r"cos\(2\*pi\*x/256\)", "time.end=1", "256 x 256 cells to t = 2000"),
    (r"", "grid.shape=[32,32] time.end=5", "ten seconds"),
]  # fmt: skip

#: What the slow test runs alone, and why.
SLOW = {
    r"output.dir=(sweep|tolerances)\b": "several runs, of which launchers have tests of their own",
    r"report sweep": "of all of them",
    r"model=precipitate .*stiffness": "two fields take half a minute to compile",
    r"model=grain_growth": "likewise, eight components",
    r"kind: voronoi": "likewise",
    r"homogenize grains ": "of the run before",
}

#: Commands and snippets that are not run here, and why.
NOT_RUN = {
    r'"""spacing \[key': "a command, run by test_commands.py",
    r" *finish: str": "a key, likewise",
    r"pip install": "it made the environment that this test runs in",
    r"python -m venv": "likewise",
    r"\. \.venv": "likewise",
    r"pytest$": "it is running this test",
    r"\.ci/run$": "it runs the whole suite and more",
    r"python scripts/benchmark\.py": "minutes, and other programs; .ci/run runs it with --quick",
    r"git clone ": "likewise",
    r"(pip|rm) (wheel|uninstall|-r) ": "likewise, and a folder of the user's",
    r"sphinx-build ": "test_site.py builds the site",
    r"ssh -L ": "from another machine",
    r"sbatch ": "test_slurm.py runs them where a Slurm answers",
    r"srun ": "likewise",
    r"mpirun ": "tests/backend/test_ranks.py starts them",
    r"for n in 1 2 4; do mpirun |python scripts/scaling_model\.py": "test_scaling.py has what came of it",
    r"phasefield run -m .* hydra/launcher=slurm": "likewise",
    r"export PHASEFIELD_CACHE|squeue |tail |phasefield report runs/seeds": "before and after that sweep",
    r"\$ docker ": "scripts/container_check.sh and container_slurm.sh run images, where there is an engine",
    r"\$ cat > ~/bin/phasefield": "likewise",
    r"\$ apptainer ": "there was no Apptainer",
    r"python scripts/work_precision\.py": "an hour",
    r"phasefield verify pfhub": "minutes each; test_verify.py runs 7a",
    r"python examples/": "test_examples.py runs them",
    r"configs/\*\.yaml \+ overrides": "a diagram",
    r"uncertainty by the constants": "what a command prints",
    r"phasefield homogenize RUN_DIR\|IMAGE": "the synopsis of the page; the lines below it run",
    r"phasefield statistics \[SOURCE": "likewise",
    r"phasefield surrogate \w+ (SWEEP|MODEL)": "the synopsis of the page; the lines below it run",
    r"phasefield export SOURCE": "likewise",
    r"\*INCLUDE, INPUT": "of a deck for CalculiX; tests/upscale/test_cards.py includes a card",
    r"from phasefield\.mechanics\.properties import": "test_extending_homogenize.py runs it, in an interpreter of its own",
    r"from phasefield\.images\.formats import": "likewise",
}

#: How snippets of data are called where commands name them; others are models.
FILES = {
    "name: two phases": "material.yaml",
    "name: composite": "composite.yaml",
    "name: nanoporous gold": "pores.yaml",
    "name: uncertain": "uncertain.yaml",
    "label,phase,phi1,Phi,phi2": "labels.csv",
}


@dataclass(frozen=True)
class Snippet:
    """An indented or fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        return self.text.splitlines()[0]

    @property
    def kind(self) -> str:
        if self.language == "text":
            return "output"
        if self.language == "python" or re.match(r"(import|from) \w|\w+ = ", self.text):
            return "python"
        if re.match(r"(phasefield|pip|pytest|python|\.ci/run)\b", self.text):
            return "shell"
        if re.match(r"'?[\w.]+=", self.text):
            return "overrides"
        if re.match(r"\w+,\w+", self.text):
            return "table"
        return "yaml" if re.match(r"(#.*\n)?\w+: ", self.text) else "unknown"


def snippets(page: str) -> list[Snippet]:
    """All blocks of a page. Indented ones follow an empty line; they end with what is not indented."""
    found: list[Snippet] = []
    block: list[str] = []
    fence, language, start, before = "", "", 0, ""

    def end() -> None:
        while block and not block[-1].strip():
            block.pop()
        if block:
            found.append(Snippet(page, start, language, "\n".join(block)))
        block.clear()

    for number, line in enumerate([*(ROOT / page).read_text().splitlines(), ""], start=1):
        mark = re.match(r"\s*(```+|~~~+)\s*(\w*)", line)
        if fence:
            if mark and mark.group(1) == fence:
                end()
                fence = ""
            else:
                block.append(line)
        elif mark:
            end()
            fence, language, start = mark.group(1), mark.group(2), number
        elif line.startswith("    ") and (block or not before.strip()):
            if not block:
                language, start = "", number
            block.append(line[4:])
        elif block and not line.strip():
            block.append("")
        else:
            end()
        before = line
    end()
    return found


def commands(text: str) -> list[str]:
    """The commands of a block of shell lines, without comments and without what a synopsis says beside them."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    bare = (re.split(r"\s{2,}", line.strip())[0] for line in lines)
    return [part.strip() for line in bare for part in line.split(" && ") if part.strip()]


def reason(text: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, text)), None)


def shorter(command: str) -> str:
    return next(f"{command} {more}" for pattern, more, _ in SHORTER if re.search(pattern, command)).strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files that pages speak of: pictures of islands, grains, a scan of two phases."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    x, y = np.meshgrid(*2 * [np.arange(32)], indexing="ij")
    islands = np.clip(255 * (np.sin(x / 5) * np.sin(y / 5) + 0.3), 0, 255).astype(np.uint8)
    Image.fromarray(islands).save(tmp_path / "micrograph.png")
    tifffile.imwrite(tmp_path / "micrograph.tif", np.where(islands > 128, 255, 0).astype(np.uint8))
    labels = (x // 16 + 2 * (y // 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "grains.tif", labels)
    (tmp_path / "grains.csv").write_text("label,phi1,Phi,phi2\n0,0,45,0\n1,80,50,5\n2,10,20,30\n3,0,0,0\n")
    tifffile.imwrite(tmp_path / "labels.tif", np.where(labels % 2, 3, 7).astype(np.uint16))
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(ord(name)).integers(0, 2, (12, 12)))
    shutil.copy(ROOT / "tests/data/nanoporous_gold.png", tmp_path)
    np.save(tmp_path / "scan.npy", (islands[:, 4:] > 128).astype(np.int8))
    write_volume(tmp_path, islands[:24, :24])
    return tmp_path


def write_volume(folder: Path, map_: np.ndarray) -> None:
    """A volume as others write it: raw behind a header, in HDF5, as slices."""
    volume = np.where((map_ > 128)[..., None] & (np.arange(24) % 12 < 6), 60000, 0)
    (folder / "tomogram.raw").write_bytes(bytes(512) + volume.T.astype(">u2").tobytes())
    with h5py.File(folder / "volume.h5", "w") as file:
        file["exchange/data"], file["exchange/dark"] = volume.T.astype("u2"), volume[0].astype("u2")
    (folder / "slices").mkdir()
    for k, page in enumerate(volume.T):
        Image.fromarray((page[::-1] // 256).astype(np.uint8)).save(folder / "slices" / f"slice_{k}.png")


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says on its standard output; it must end well."""
    logging.getLogger("phasefield").handlers[:] = []  # bound to the standard error of an earlier test
    with pytest.raises(SystemExit) as exit_:
        cli.main(shlex.split(command)[1:])
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, f"{command}\n{err}"
    assert out or "resume" in command or "-m" in command, command
    return out


def prepare(page: str, found: list[Snippet], capsys: pytest.CaptureFixture[str]) -> None:
    """Files that the page shows, and the run it calls NAME."""
    for snippet in found:
        if snippet.kind in ("yaml", "table"):
            Path(FILES.get(snippet.first, "model.yaml")).write_text(snippet.text)
    if any("runs/NAME" in s.text for s in found):
        run("phasefield model=spinodal grid.shape=[48,48] time.end=200 output.dir=runs/NAME", capsys)


def slow(command: str) -> bool:
    return any(re.search(pattern, command) for pattern in SLOW)


def check(snippet: Snippet, capsys: pytest.CaptureFixture[str], names: dict[str, object], everything: bool) -> None:
    """Runs a snippet. ``names`` are those of the page's Python before it; ``everything`` includes what is slow."""
    if snippet.kind == "output" or (reason(snippet.first) and snippet.kind != "shell"):
        return
    if snippet.kind == "python":
        exec(compile(snippet.text, f"{snippet.page}:{snippet.line}", "exec"), names)
    elif snippet.kind == "shell":
        for line in commands(snippet.text):
            if reason(line) is None and (everything or not slow(line)):
                assert line.startswith("phasefield"), f"{snippet.page}:{snippet.line}: {line} is not run"
                run(shorter(line), capsys)
    elif snippet.kind == "overrides":
        for line in commands(snippet.text):
            (override,) = shlex.split(line)
            if slow(line) and not everything:
                continue
            model = "grain_growth" if override.startswith("initial.eta") else "cahn_hilliard"
            run(f"phasefield config validate model={model} grid.shape=[128,128] {shlex.quote(override)}", capsys)
    elif snippet.kind == "table":
        run(f"phasefield homogenize labels.tif material=ni_ni3al grains={FILES[snippet.first]}", capsys)
    elif snippet.first in FILES:
        run(f"phasefield homogenize micrograph.tif material={FILES[snippet.first]}", capsys)
    elif snippet.kind == "yaml":
        assert "fields" in yaml.safe_load(snippet.text)
        run("phasefield run model=model.yaml grid.shape=[16,16] time.end=1", capsys)
    else:
        pytest.fail(f"{snippet.page}:{snippet.line}: neither run nor listed with a reason:\n{snippet.text}")


EVERYTHING = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("everything", EVERYTHING)
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, everything: bool, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = snippets(page)
    prepare(page, found, capsys)
    names: dict[str, object] = {}
    for snippet in found:
        check(snippet, capsys, names, everything)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("everything", EVERYTHING)
@pytest.mark.parametrize("command", ["", "resume"])
def test_examples_of_the_help(command: str, everything: bool, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.strip() for line in usage.text(command).partition("examples:\n")[2].partition("\n\n")[0].splitlines()]
    assert lines
    if command:
        run("phasefield grid.shape=[16,16] time.end=1 output.dir=runs/NAME", capsys)
    for line in lines:
        (name,) = commands(line)
        if everything or not slow(name):
            run(shorter(name), capsys)


def test_nothing_is_listed_in_vain() -> None:
    """Every line of the tables is for something that a page says."""
    found = [s for page in PAGES for s in snippets(page)]
    said = [line for s in found for line in ([s.first] if s.kind != "shell" else commands(s.text))]
    assert len(found) > 15
    for pattern in NOT_RUN:
        assert any(re.match(pattern, line) for line in said), pattern
    for first in FILES:
        assert first in [s.first for s in found], first


def test_a_new_snippet_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = "    phasefield run x=1 \\\n        y=2   # why\n    pytest"
    text = f"Text.\n\n{block}\n\nText\n    not a block\n\n```json\n" + json.dumps({"a": 1}) + "\n```\n"
    (tmp_path / "page.md").write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    first, second = snippets("page.md")
    assert (first.line, first.kind, commands(first.text)) == (3, "shell", ["phasefield run x=1 y=2", "pytest"])
    assert (second.line, second.language, second.kind) == (10, "json", "unknown")
    assert reason(second.first) is None

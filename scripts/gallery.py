"""Runs the examples at their real size and writes docs/gallery.md with their pictures.

    python scripts/gallery.py               # all of them, some minutes
    python scripts/gallery.py spinodal fe2  # these; the others stay as they are in the gallery

An example is a file in examples/ that begins with its title, its equation, its run time and the name of its picture (`Example`
reads them), and whose last line of output is what it measured and what was expected. What this script found lies in
docs/gallery/measured.json, so that single examples can be run anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, PAGE, FOLDER = ROOT / "examples", ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"
MEASURED = FOLDER / "measured.json"
WIDTH, LARGEST = 600, 60_000  # of a picture: pixels, bytes

#: The order of the page. Every example is in one of these.
GROUPS = {
    "Phase separation": [
        "spinodal", "flory_huggins", "ripening", "coarsening_3d", "battery_particle", "sessile_drop", "wetting",
        "surface_diffusion", "dealloying", "quench", "double_layer",
    ],
    "Interfaces, nuclei and grains": [
        "shrinking_circle", "front", "nucleation", "grain_growth", "precipitate_growth", "temperature", "cuboid", "crystal",
        "rafting", "crystal_shape", "dendrite",
        "capillary_waves", "transformation",
    ],
    "Effective properties": ["laminate", "disk_array", "polycrystal", "expansion", "micrograph"],
    "Upward": ["rve", "real_inputs", "plate_with_hole", "fe2", "scales"],
    "Your own": ["own_model", "own_observable", "from_file", "paraview"],
    "Many runs, long runs": ["sweep", "resume", "exact_bits"],
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """What the head of an example says.

    Attributes:
        path: of the script. title: one sentence. equation: one line or more. seconds: run time on two cores. picture: the file's
            name. words: what stands between equation and run time.
    """

    path: Path
    title: str
    equation: str
    seconds: float
    picture: str
    words: str

    @classmethod
    def read(cls, path: Path) -> Example:
        """From a script of Python or bash.

        Raises:
            ValueError: the head has another form.
        """
        text = path.read_text()
        if path.suffix == ".py":
            head = text.partition('"""')[2].partition('"""')[0]
        else:
            lines = text.splitlines()[1:]
            count = next(i for i, line in enumerate(lines) if not line.startswith("#") or line.startswith("#SBATCH"))
            head = "\n".join(line[2:] for line in lines[:count])
        form = (
            r"(?P<title>\S[^\n]*\.)\n\n(?P<equation>(?: {4}[^\n]+\n)+)\n(?P<words>.+)\n\n"
            r"Run time: (?P<seconds>\d+) s on 2 cores\. Picture: (?P<picture>\w+\.png)\s*"
        )
        found = re.fullmatch(form, head, re.DOTALL)
        if found is None:
            raise ValueError(
                f"{path.name}: begins otherwise than examples do: a title that is a sentence, an indented equation, words, and "
                "'Run time: N s on 2 cores. Picture: NAME.png', with empty lines between"
            )
        parts = found.groupdict()
        equation = "\n".join(line.strip() for line in parts.pop("equation").splitlines())
        return cls(path=path, equation=equation, seconds=float(parts.pop("seconds")), **parts)


def scripts() -> list[Path]:
    """All examples, by name."""
    return sorted(p for p in EXAMPLES.iterdir() if p.suffix in (".py", ".sh"))


def run(example: Example, folder: Path, *words: str) -> tuple[str, float, float]:
    """Runs an example in a process of its own in ``folder``: the last line it prints, its real time and its CPU time.

    Raises:
        RuntimeError: it failed.
    """
    program = sys.executable if example.path.suffix == ".py" else "bash"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [program, str(example.path), *words],
        cwd=folder,
        env=os.environ | {"PATH": path, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{example.path.name}: exit code {done.returncode}\n{done.stdout}{done.stderr[-3000:]}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout.strip().splitlines()[-1], time.perf_counter() - start, seconds


def shrink(source: Path, target: Path) -> None:
    """A picture of the page: narrower, with as many colours as there is room for."""
    picture = Image.open(source).convert("RGB")
    picture = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)
    for colours in (256, 128, 64, 32, 16):
        picture.quantize(colours, dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            return
    raise RuntimeError(f"{target.name}: {target.stat().st_size} bytes with 16 colours")


def cell(text: str) -> str:
    """Text in a cell of a table."""
    return text.replace("|", "\\|")


def page(examples: dict[str, Example], measured: dict[str, str]) -> str:
    """docs/gallery.md."""
    lines = [
        "# Gallery",
        "",
        "Each picture is made by a script of some sixty lines in `examples/` that measures one number and",
        "compares it with theory, or with a calculation of another kind. Tests run all of them, smaller (`--quick`); the",
        "numbers here are of the real size.",
        "",
        "    python examples/spinodal.py",
        "",
        "makes `spinodal.png` in the folder it is started in, and a run in `runs/`. The head of each script says how long it",
        "takes: seconds of processor time, start-up included, on two cores that other work shared.",
        "`python scripts/gallery.py` made this page.",
    ]
    for group, names in GROUPS.items():
        lines += ["", f"## {group}", "", "| | |", "| --- | --- |"]
        for name in names:
            example = examples[name]
            title, _, rest = example.title.partition(": ")
            rest = rest[:1].upper() + rest[1:]
            shown = "<br>".join(f"`{cell(line)}`" for line in example.equation.splitlines())
            link = f"[{cell(title)}](../examples/{example.path.name})"
            picture = f"![{cell(title)}](gallery/{name}.png)"
            lines.append(f"| {picture} | **{link}**<br>{cell(rest)}<br><br>{shown}<br><br>{cell(measured[name])} |")
    lines += [
        "",
        "Workflows: [examples/workflow](../examples/workflow/Snakefile) goes from seeds to a card with snakemake.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="examples to run; all unless told. 'none' writes the page alone")
    wanted = parser.parse_args().names
    examples = {p.stem: Example.read(p) for p in scripts()}
    grouped = [name for names in GROUPS.values() for name in names]
    if sorted(grouped) != sorted(examples):
        raise SystemExit(f"GROUPS and examples/ differ: {sorted(set(grouped) ^ set(examples))}")
    FOLDER.mkdir(exist_ok=True)
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for name in [] if wanted == ["none"] else wanted or examples:
        with tempfile.TemporaryDirectory() as folder:
            said, seconds, busy = run(examples[name], Path(folder))
            shrink(Path(folder) / examples[name].picture, FOLDER / f"{name}.png")
        measured[name] = said
        MEASURED.write_text(json.dumps(measured, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        stated = examples[name].seconds
        print(f"{name}: {said}\n  {seconds:.0f} s, {busy:.0f} s of CPU; the head says {stated:.0f} s", flush=True)
    PAGE.write_text(page(examples, measured))


if __name__ == "__main__":
    main()

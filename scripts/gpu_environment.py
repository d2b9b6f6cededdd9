"""An environment for a machine without a network: this python's packages, wheels from a folder, and the checkout itself.

Only the standard library: nothing else may be there yet.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def requirements() -> list[str]:
    """What the package and its tests need, as pyproject.toml has it."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


def collect(folder: Path, without: Sequence[str] = ()) -> None:
    """Wheels of all requirements in a folder, but for projects the device has; what comes as sources only is built."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", str(folder), *requirements()], check=True
    )
    names = {_normal(name) for name in without}
    for wheel in folder.glob("*.whl"):
        if _normal(wheel.name.split("-")[0]) in names:
            wheel.unlink()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def complete() -> bool:
    """Whether this python runs the checkout as it is."""
    found = importlib.util.find_spec("phasefield")
    if found is None or not found.submodule_search_locations:
        return False
    modules = (Path(p, "__init__.py").resolve() for p in found.submodule_search_locations)
    here = CHECKOUT / "phasefield" / "__init__.py" in modules
    needed = ("phasefield.configs", "hydra", "pytest", "xdist", "pyfftw", "numba", "netCDF4", "h5netcdf", "xarray")
    return here and all(_there(name) for name in needed)


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def prepare(folder: Path, wheels: Path | None) -> str:
    """Makes (or finds) an environment in ``folder``; returns its python.

    It sees all packages of the python that runs this, also if that is a virtual environment itself, and pip puts before them what
    is missing or does not fit. The package is a folder of links into the checkout: building it would take setuptools.

    Raises:
        SystemExit: pip finds a requirement neither here nor among the wheels.
    """
    python = folder / "bin" / "python"
    if python.exists() and subprocess.run([str(python), __file__], check=False).returncode == 0:
        return str(python)  # of an earlier call
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)], check=True)
    own = Path(_ask(str(python), "import sysconfig; print(sysconfig.get_path('purelib'))"))
    parents = [*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, ("purelib", "platlib"))]
    parents += [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    # `addsitedir` also obeys the .pth files there, as a plain entry on the path would not.
    lines = [f"import site; site.addsitedir({p!r})" for p in dict.fromkeys(parents) if Path(p).is_dir()]
    (own / "parents.pth").write_text("\n".join(lines) + "\n")
    if not _there("pip"):
        subprocess.run([str(python), "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    source = ["--no-index", *(["--find-links", str(wheels.resolve())] if wheels else [])]
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *source, *requirements()]
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            "requirements are missing; gather them elsewhere with gpu_session.py --collect FOLDER, then --wheels FOLDER"
        )
    link(own)
    return str(python)


def link(target: Path) -> None:
    """The checkout as an importable package: its modules, and the configurations where an installed package has them."""
    package = target / "phasefield"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir()
    for each in (CHECKOUT / "phasefield").iterdir():
        if each.name != "__pycache__":
            (package / each.name).symlink_to(each)
    (package / "configs").symlink_to(CHECKOUT / "configs")


def _ask(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(not complete())

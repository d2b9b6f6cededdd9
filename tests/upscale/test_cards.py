"""Material cards give back the tensor they were written from: to CalculiX itself, and to readers of each format's documented order.

A rotated cubic stiffness is used, with a rotated conductivity and expansion: about the axes of a crystal wrong orders hide.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.mechanics import tensors
from phasefield.upscale.cards import FORMATS, ansys, calculix, card, symmetry, units
from phasefield.upscale.record import Provenance, Record, number, tensor

TURN = tensors.rotation_from_euler(0.4, 0.9, -0.3)
CRYSTAL = tensors.cubic_stiffness(246.5e9, 147.3e9, 124.7e9)
STIFFNESS = tensors.rotate(CRYSTAL, TURN)
OTHER = tensors.rotation_from_euler(-1.1, 0.5, 0.8)
CONDUCTIVITY = OTHER @ np.diag([20.0, 55.0, 90.0]) @ OTHER.T
EXPANSION = OTHER @ np.diag([5e-6, 11e-6, 23e-6]) @ OTHER.T


def record(
    stiffness: Any = STIFFNESS, conductivity: Any = CONDUCTIVITY, expansion: Any = EXPANSION, unit: bool = True
) -> Record:
    properties = {
        "stiffness": tensor("stiffness", tensors.to_voigt(stiffness), "Pa" if unit else None),
        "conductivity": tensor("conductivity", conductivity, "W/(m K)" if unit else None),
        "expansion": tensor("expansion", expansion, "1/K" if unit else None),
    }
    origin = Provenance("phasefield 0", "", "phasefield homogenize x", "", "", (), {})
    density, zero = number(8900.0, "kg/m^3" if unit else None), number(293.15, "K")
    return Record(
        "a crystal", "sample", "Ni", "", properties, density, zero, {"Ni": number(1.0, "1")}, "periodic", {}, (), origin
    )  # fmt: skip


def off(found: Any, right: Any) -> float:
    return float(np.linalg.norm(np.asarray(found) - right) / np.linalg.norm(right))


# -- the solver --------------------------------------------------------------------------------------------------------

CCX = shutil.which("ccx")
needs_ccx = pytest.mark.skipif(CCX is None, reason="CalculiX (ccx, Debian's calculix-ccx) is not installed")
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float)
#: The gradient of every corner's shape function, in the mean over a brick.
SLOPES = (2 * CORNERS - 1) / 4
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def bricks(count: int, kind: str, orientation: str) -> list[str]:
    """Unit cubes that share no node, of the material of card.inp."""
    lines = ["*NODE, NSET=ALL"]
    for b in range(count):
        lines += [f"{8 * b + k + 1}, {x + 2 * b:g}, {y:g}, {z:g}" for k, (x, y, z) in enumerate(CORNERS)]
    lines.append(f"*ELEMENT, TYPE={kind}, ELSET=E")
    lines += [f"{b + 1}, " + ", ".join(str(8 * b + k + 1) for k in range(8)) for b in range(count)]
    return [*lines, "*INCLUDE, INPUT=card.inp", f"*SOLID SECTION, ELSET=E, MATERIAL=NI{orientation}"]


def solve(folder: Path, lines: list[str], text: str) -> dict[int, Any]:
    """Numbers of the printed tables by node or element."""
    (folder / "card.inp").write_text(text)
    (folder / "job.inp").write_text("\n".join(lines) + "\n")
    done = subprocess.run([str(CCX), "job"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    rows: dict[int, Any] = {}
    for line in (folder / "job.dat").read_text().splitlines():
        words = line.split()
        if words and words[0].isdigit():
            rows.setdefault(int(words[0]), np.array([float(w) for w in words[1:]]))
    return rows


def mechanical(folder: Path, text: str, orientation: str = "") -> tuple[Any, Any]:
    """Stiffness (Voigt) and expansion that CalculiX takes from a card: six unit stress states, and one cube that is warmed.

    The cubes stand on three points, so that their stress is that of the loads, and a linear displacement solves it exactly.
    """
    lines = bricks(7, "C3D8", orientation)
    lines += ["*INITIAL CONDITIONS, TYPE=TEMPERATURE", "ALL, 300.", "*STEP", "*STATIC", "*BOUNDARY"]
    for b in range(7):
        lines += [f"{8 * b + 1}, 1, 3", f"{8 * b + 2}, 2, 3", f"{8 * b + 4}, 3, 3"]
    lines.append("*CLOAD")
    for b, (i, j) in enumerate(PAIRS):
        stress = np.zeros((3, 3))
        stress[i, j] = stress[j, i] = 1.0
        for k, force in enumerate(SLOPES @ stress):
            lines += [f"{8 * b + k + 1}, {d + 1}, {f!r}" for d, f in enumerate(map(float, force)) if f]
    lines += ["*TEMPERATURE"] + [f"{8 * 6 + k + 1}, 1300." for k in range(8)]
    moved = solve(folder, [*lines, "*NODE PRINT, NSET=ALL", "U", "*END STEP"], text)
    strains = []
    for b in range(7):
        x, y, z = (moved[8 * b + k] for k in (2, 4, 5))  # corners at the ends of the axes
        strains.append([x[0], y[1], z[2], z[1], z[0], y[0]])
    warmed = np.array(strains[6]) / 1000 / [1, 1, 1, 2, 2, 2]
    expansion = np.zeros((3, 3))
    for value, (i, j) in zip(warmed, PAIRS, strict=True):
        expansion[i, j] = expansion[j, i] = value
    return np.linalg.inv(np.array(strains[:6]).T), expansion


def thermal(folder: Path, text: str, orientation: str = "") -> Any:
    """The conductivity that CalculiX takes from a card: the fluxes of three unit gradients."""
    lines = [*bricks(3, "C3D8", orientation), "*INITIAL CONDITIONS, TYPE=TEMPERATURE", "ALL, 0."]
    lines += ["*STEP", "*HEAT TRANSFER, STEADY STATE", "*BOUNDARY"]
    for b in range(3):
        lines += [f"{8 * b + k + 1}, 11, 11, {corner[b]!r}" for k, corner in enumerate(CORNERS.tolist())]
    flux = solve(folder, [*lines, "*EL PRINT, ELSET=E, GLOBAL=YES", "HFL", "*END STEP"], text)
    return np.array([-flux[b + 1][1:4] for b in range(3)])


@needs_ccx
@pytest.mark.parametrize("axes", ["sample", "principal"])
def test_calculix_finds_the_tensors_again(axes: str, tmp_path: Path) -> None:
    system = units.system("mm-t-s")
    text = card(record(), "calculix", "mm-t-s", axes=axes)
    section = ", ORIENTATION=NI_AXES" if axes == "principal" else ""
    assert text.count("*MATERIAL") == 1
    assert ("\n*ORIENTATION" in text) == (axes == "principal")
    stiffness, expansion = mechanical(tmp_path, text, section)
    conductivity = thermal(tmp_path, text, section)
    assert off(stiffness / system.per_si("Pa"), tensors.to_voigt(STIFFNESS)) < 1e-6
    assert off(expansion, EXPANSION) < 1e-6
    assert off(conductivity / system.per_si("W/(m K)"), CONDUCTIVITY) < 1e-6


@needs_ccx
def test_calculix_tells_a_wrong_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each order that another program has is taken without a word, and found out by the answer."""
    from phasefield.upscale.cards import abaqus

    for wrong in ((0, 1, 2, 3, 4, 5), (0, 1, 2, 5, 3, 4)):  # Voigt's and MOOSE's; ANSYS's
        with monkeypatch.context() as patch:
            patch.setattr(calculix, "VOIGT", wrong)
            stiffness, _ = mechanical(tmp_path, card(record(), "calculix"))
        assert off(stiffness, tensors.to_voigt(STIFFNESS)) > 0.01
    foreign = card(record(), "abaqus").replace("ANISOTROPIC", "ANISO")
    assert off(thermal(tmp_path, foreign), CONDUCTIVITY) > 0.1
    with monkeypatch.context() as patch:  # engineering shear in the expansion
        doubled = EXPANSION * (2 - np.eye(3))
        _, expansion = mechanical(tmp_path, card(record(expansion=doubled), "calculix"))
    assert off(expansion, EXPANSION) > 0.1
    assert abaqus.CONDUCTION != calculix.ORDER


@needs_ccx
@pytest.mark.parametrize("kind", ["isotropic", "orthotropic"])
def test_calculix_finds_simpler_classes_again(kind: str, tmp_path: Path) -> None:
    if kind == "isotropic":
        given = record(tensors.isotropic_stiffness(80e9, 26e9), 3.0 * np.eye(3), 2e-5 * np.eye(3))
    else:
        c = (210e9, 140e9, 95e9, 60e9, 50e9, 40e9, 21e9, 34e9, 55e9)
        given = record(tensors.orthotropic_stiffness(*c), np.diag([1.0, 2.0, 3.0]), np.diag([1e-5, 2e-5, 3e-5]))
    text = card(given, "calculix", "m-kg-s")
    assert f"TYPE={calculix.TYPES[kind]}\n" in text
    stiffness, expansion = mechanical(tmp_path, text)
    assert off(stiffness, given.properties["stiffness"].value) < 1e-6
    assert off(expansion, given.properties["expansion"].value) < 1e-6
    assert off(thermal(tmp_path, text), given.properties["conductivity"].value) < 1e-6

"""Material cards give back the tensor they were written from: to CalculiX, and to readers of each format's documented order.

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
from phasefield.upscale.cards import FORMATS, abaqus, ansys, calculix, card, symmetry, units
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


# -- readers of the documented orders ----------------------------------------------------------------------------------
# Written from the manuals, with nothing of the writers: each gives the stiffness (3, 3, 3, 3), conductivity and expansion about
# the axes of the sample.


def fourth(pairs: Any) -> Any:
    """The tensor from its components by pairs of pairs of axes, ``((i, j), (k, l)) -> value``."""
    c = np.full((3, 3, 3, 3), np.nan)
    for ((i, j), (k, m)), value in pairs.items():
        for a, b in ((i, j), (j, i)):
            for d, e in ((k, m), (m, k)):
                c[a, b, d, e] = c[d, e, a, b] = value
    return np.nan_to_num(c)


def turned(c: Any, r: Any) -> Any:
    return np.einsum("im,jn,ko,lp,mnop->ijkl", r, r, r, r, c) if c.ndim == 4 else r @ c @ r.T


def digits(words: str) -> list[tuple[int, int]]:
    """``11 22 12`` as pairs of axes."""
    return [(int(w[0]) - 1, int(w[1]) - 1) for w in words.split()]


def second(order: str, values: Any) -> Any:
    out = np.zeros((3, 3))
    for (i, j), value in zip(digits(order), values, strict=True):
        out[i, j] = out[j, i] = value
    return out


def read_abaqus(text: str) -> tuple[Any, ...]:
    blocks: dict[str, tuple[str, list[float]]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("*") and not line.startswith("**"):
            name, _, rest = line[1:].partition(",")
            blocks[name] = (rest, [])
        elif name and not line.startswith("**"):
            assert len([w for w in line.split(",") if w.strip()]) <= 8
            blocks[name][1].extend(float(w) for w in line.split(",") if w.strip())
    # Abaqus Keywords Reference, *ELASTIC, TYPE=ANISOTROPIC.
    order = (
        "1111 1122 2222 1133 2233 3333 1112 2212 3312 1212 1113 2213 3313 1213 1313 1123 2223 3323 1223 1323 2323"
        if "ANISO" in blocks["ELASTIC"][0]
        else "1111 1122 2222 1133 2233 3333 1212 1313 2323"
    )
    values = blocks["ELASTIC"][1]
    pairs = {(digits(w[:2])[0], digits(w[2:])[0]): v for w, v in zip(order.split(), values, strict=True)}
    k = blocks["CONDUCTIVITY"][1]
    alpha = blocks["EXPANSION"][1]
    assert len(k) == len(alpha) == 6
    rows = np.array(blocks["ORIENTATION"][1]).reshape(2, 3)
    r = np.stack([*rows, np.cross(*rows)], axis=1)
    tensors_ = (fourth(pairs), second("11 12 22 13 23 33", k), second("11 22 33 12 13 23", alpha))
    return (*(turned(t, r) for t in tensors_), blocks["DENSITY"][1][0])


def read_moose(text: str) -> tuple[Any, ...]:
    blocks = {
        name: dict(re.findall(r"^ +(\w+) = '?([^'\n]*)'?$", body, re.M))
        for name, body in re.findall(r"^  \[(\w+)\]\n(.*?)^  \[\]", text, re.M | re.S)
    }
    elastic = blocks["NI_elasticity"]
    c = list(map(float, elastic["C_ijkl"].split()))
    # MOOSE, RankFourTensor: symmetric21 and symmetric9.
    order = {
        "symmetric21": "1111 1122 1133 1123 1113 1112 2222 2233 2223 2213 2212 3333 3323 3313 3312 2323 2313 2312 1313 1312 1212",
        "symmetric9": "1111 1122 1133 2222 2233 3333 2323 1313 1212",
    }[elastic["fill_method"]]
    c4 = fourth({(digits(w[:2])[0], digits(w[2:])[0]): v for w, v in zip(order.split(), c, strict=True)})
    if "rotation_matrix" in elastic:
        c4 = turned(c4, np.array(list(map(float, elastic["rotation_matrix"].split()))).reshape(3, 3))
    k = np.array(list(map(float, blocks["NI_conductivity"]["tensor_values"].split()))).reshape(3, 3)
    alpha = list(map(float, blocks["NI_expansion"]["eigen_base"].split()))
    density = float(blocks["NI_density"]["prop_values"])
    assert float(blocks["NI_warming"]["constant_expressions"]) == 293.15
    return c4, k, second("11 22 33 23 13 12", alpha), density


def read_ansys(text: str) -> tuple[Any, ...]:
    from scipy.spatial.transform import Rotation

    values = {m[0]: float(m[1]) for m in re.findall(r"^MP,(\w+),MATID,(.*)$", text, re.M)}
    if "TB,ANEL,MATID,1,21,0" in text:
        table = [float(w) for line in re.findall(r"^TBDATA,\d+,(.*)$", text, re.M) for w in line.split(",")]
        axes = digits("11 22 33 12 23 13")  # x y z xy yz xz; D11 D21 ... D61 D22 ...
        places = [(i, j) for j in range(6) for i in range(j, 6)]
        c4 = fourth({(axes[i], axes[j]): v for (i, j), v in zip(places, table, strict=True)})
    else:  # the compliance of the Theory Reference: -PRXY/EX couples x and y
        s = np.diag([1 / values[n] for n in ("EX", "EY", "EZ", "GYZ", "GXZ", "GXY")])
        s[0, 1] = s[1, 0] = -values["PRXY"] / values["EX"]
        s[0, 2] = s[2, 0] = -values["PRXZ"] / values["EX"]
        s[1, 2] = s[2, 1] = -values["PRYZ"] / values["EY"]
        c, axes = np.linalg.inv(s), digits("11 22 33 23 13 12")
        c4 = fourth({(axes[i], axes[j]): c[i, j] for i in range(6) for j in range(i, 6)})
    r = np.eye(3)
    if local := re.search(r"^LOCAL,CSID,0,0,0,0,(.*)$", text, re.M):
        # THXY about z, THYZ about the new x, THZX about the new y.
        r = Rotation.from_euler("ZXY", [float(a) for a in local[1].split(",")], degrees=True).as_matrix()
    out = [turned(c4, r)]
    for labels in (("KXX", "KYY", "KZZ"), ("ALPX", "ALPY", "ALPZ")):
        out.append(turned(np.diag([values[n] for n in labels]), r) if labels[0] in values else None)
    return (*out, values["DENS"])


def full(voigt: Any) -> Any:
    return fourth({(PAIRS[i], PAIRS[j]): voigt[i, j] for i in range(6) for j in range(i, 6)})


RIGHT = full(tensors.to_voigt(STIFFNESS))


def test_the_rotated_tensor_is_the_crystals() -> None:
    crystal = full(tensors.to_voigt(CRYSTAL))
    assert off(turned(crystal, TURN), RIGHT) < 1e-12


@pytest.mark.parametrize("axes", ["sample", "principal"])
@pytest.mark.parametrize(("format", "read"), [("abaqus", read_abaqus), ("moose", read_moose)])
def test_documented_orders(format: str, read: Any, axes: str) -> None:
    system = units.system("mm-t-s")
    stiffness, conductivity, expansion, density = read(card(record(), format, "mm-t-s", axes=axes))
    assert off(stiffness / system.per_si("Pa"), RIGHT) < 1e-10
    assert off(conductivity / system.per_si("W/(m K)"), CONDUCTIVITY) < 1e-10
    assert off(expansion, EXPANSION) < 1e-10
    assert density == pytest.approx(8.9e-9, rel=1e-12)


def test_documented_orders_of_ansys() -> None:
    stiffness, *_ = read_ansys(card(record(), "ansys", properties=("stiffness",)))
    assert off(stiffness, RIGHT) < 1e-10
    along = record(
        conductivity=TURN @ np.diag([20, 55, 90]) @ TURN.T, expansion=TURN @ np.diag([1e-6, 3e-6, 2e-6]) @ TURN.T
    )
    stiffness, conductivity, expansion, density = read_ansys(card(along, "ansys", axes="principal"))
    assert off(stiffness, RIGHT) < 1e-10
    assert off(conductivity, along.properties["conductivity"].value) < 1e-10
    assert off(expansion, along.properties["expansion"].value) < 1e-10
    assert density == 8900
    with pytest.raises(ConfigError, match=r"along the axes of the card only.*\n.*axes=principal"):
        card(along, "ansys")


def test_readers_tell_a_wrong_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one format's order would make of another's card is far off."""
    monkeypatch.setattr(abaqus, "CONDUCTION", calculix.ORDER)
    monkeypatch.setattr(ansys, "VOIGT", (0, 1, 2, 3, 4, 5))
    assert off(read_abaqus(card(record(), "abaqus"))[1], CONDUCTIVITY) > 0.1
    assert off(read_ansys(card(record(), "ansys", properties=("stiffness",)))[0], RIGHT) > 0.1
    monkeypatch.setattr(calculix, "VOIGT", ansys.VOIGT)
    assert off(read_abaqus(card(record(), "abaqus"))[0], RIGHT) > 0.1


# -- classes, axes, units ----------------------------------------------------------------------------------------------


def test_axes_of_symmetry_are_found() -> None:
    forms = {
        "cubic": CRYSTAL,
        "hexagonal": tensors.hexagonal_stiffness(160, 90, 66, 181, 46),
        "tetragonal": tensors.orthotropic_stiffness(210, 210, 95, 60, 50, 50, 34, 34, 55),
        "orthotropic": tensors.orthotropic_stiffness(210, 140, 95, 60, 50, 40, 21, 34, 55),
    }
    for turn in tensors.random_rotations(2, 4):
        for name, own in forms.items():
            seen = tensors.rotate(own, turn)
            axes = symmetry.principal_axes(seen)
            assert symmetry.nearest_orthotropic(seen)[1] > 0.01
            assert symmetry.nearest_orthotropic(tensors.rotate(seen, axes.T))[1] < 1e-12, name
            assert np.abs(axes @ axes.T - np.eye(3)).max() < 1e-12
            assert np.linalg.det(axes) > 0
        same = symmetry.principal_axes(tensors.rotate(CRYSTAL, turn))
        assert tensors.nearest_cubic(tensors.rotate(tensors.rotate(CRYSTAL, turn), same.T))[1] < 1e-12


def test_the_class_is_chosen_by_the_distance() -> None:
    nearly = tensors.isotropic_stiffness(80e9, 26e9)
    nearly[0, 0] *= 1.01
    nearly[0, 3] = nearly[3, 0] = 2e6
    given = record(nearly, np.eye(3), 1e-6 * np.eye(3))
    distance = tensors.nearest_isotropic(nearly)[1]
    assert 1e-3 < distance < 0.02
    for threshold, kind in ((0.02, "ISO"), (1e-3, "ORTHO"), (1e-6, "ANISO")):
        text = card(given, "calculix", threshold=threshold)
        assert f"*ELASTIC, TYPE={kind}\n" in text
        assert f"distance to isotropic {distance:.3g}" in text


def test_units_are_consistent() -> None:
    si, mm, fast, small = map(units.system, ("m-kg-s", "mm-t-s", "mm-kg-ms", "um-kg-s"))
    assert si.per_si("Pa") == 1
    assert mm.per_si("Pa") == pytest.approx(1e-6, rel=1e-14)
    assert fast.per_si("Pa") == pytest.approx(1e-9, rel=1e-14)
    assert small.per_si("Pa") == pytest.approx(1e-6, rel=1e-14)
    assert units.system("cm-g-s").per_si("Pa") == pytest.approx(10, rel=1e-14)
    assert mm.per_si("kg/m^3") == pytest.approx(1e-12, rel=1e-14)
    assert fast.per_si("W/(m K)") == pytest.approx(1e-6, rel=1e-14)
    assert small.per_si("W/(m K)") == pytest.approx(1e6, rel=1e-14)
    assert mm.per_si("1/K") == 1
    text = card(record(), "calculix", "mm-kg-ms")
    assert "** units: mm-kg-ms (length mm, mass kg, time ms, temperature K)" in text
    assert "stress 1 = 1e+09 Pa" in text
    for wrong in ("mm", "mm-s-t", "mm-t-K", "furlong-t-s", "t-mm-s"):
        with pytest.raises(ConfigError, match="units: is"):
            units.system(wrong)


def test_cards_that_are_refused() -> None:
    part = STIFFNESS.copy()
    part[2, :] = part[:, 2] = np.nan
    for format in FORMATS:
        with pytest.raises(ConfigError, match=r"of which xx zz, yy zz, zz zz, .*were not computed"):
            card(record(part), format)
        with pytest.raises(ConfigError, match="the units of the properties are not known"):
            card(record(unit=False), format)
    assert "units: not known" in card(record(unit=False), "calculix", "as-given")
    with pytest.raises(ConfigError, match="eigenvalues go down to"):
        card(record(np.diag([1e9, 1e9, 0.0, 1e9, 1e9, 1e9])), "calculix")
    with pytest.raises(ConfigError, match="axes: is 'other'"):
        card(record(), "calculix", axes="other")

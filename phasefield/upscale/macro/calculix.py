"""A linear elastic model in CalculiX, on the mesh and the elements of a scikit-fem model, with a material from a card.

The same mesh, shape functions and integration points, so that both answers are the same up to rounding and the six or seven
digits CalculiX prints: what differs is a mistake in one of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, PhasefieldError
from ...mechanics.tensors import Array, from_matrix
from .elements import Elements

#: Corners of a brick in CalculiX's order, and the pairs of corners whose edges hold the further nodes.
_BRICK = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
_BRICK_EDGES = [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
_TETRAHEDRON = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
_TETRAHEDRON_EDGES = [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)]


def _with_edges(corners: list[tuple[int, int, int]], edges: list[tuple[int, int]]) -> Array:
    points = np.array(corners, float)
    return np.concatenate([points, [(points[a] + points[b]) / 2 for a, b in edges]])


@dataclass(frozen=True)
class _Kind:
    """CalculiX's name of an element, its nodes on the reference element, and scikit-fem's number of integration points."""

    name: str
    nodes: Array
    points: int


#: By the scalar element of scikit-fem.
_KINDS = {
    "ElementHexS2": _Kind("C3D20", _with_edges(_BRICK, _BRICK_EDGES), 27),
    "ElementTetP2": _Kind("C3D10", _with_edges(_TETRAHEDRON, _TETRAHEDRON_EDGES), 4),
    "ElementTetP1": _Kind("C3D4", np.array(_TETRAHEDRON, float), 1),
}


@dataclass(frozen=True)
class Answer:
    """What CalculiX found.

    Attributes:
        values: nodal displacements in the order of scikit-fem's dofs, (dofs,). stress: at the integration points of all elements,
            Mandel, (elements, points, 6), the points in CalculiX's order.
    """

    values: Array
    stress: Array


def deck(basis: Any, card: str, values: Array, fixed: Array, load: Array) -> str:
    """The text of an input file.

    Args:
        basis: of scikit-fem in three dimensions: `ElementVector` of `ElementHexS2`, `ElementTetP2` or `ElementTetP1` with
            27, 4 or 1 integration points. card: text with one ``*MATERIAL``, in the units of the mesh and the load.
        values: (dofs,), prescribed for the dofs ``fixed``. load: nodal forces, (dofs,).

    Raises:
        ConfigError: an element or a number of integration points that CalculiX has not, or a card with no or several materials.
    """
    kind = _kind(basis)
    names = re.findall(r"^\*MATERIAL\s*,\s*NAME\s*=\s*([^,\s]+)", card, re.MULTILINE | re.IGNORECASE)
    if len(names) != 1:
        raise ConfigError("card", f"has {len(names)} materials; one is expected")
    axes = re.findall(r"^\*ORIENTATION\s*,\s*NAME\s*=\s*([^,\s]+)", card, re.MULTILINE | re.IGNORECASE)
    orientation = f", ORIENTATION={axes[0]}" if axes else ""
    nodes, elements = _nodes(basis), _elements(basis, kind)
    lines = ["*NODE, NSET=ALL"]
    lines += [
        f"{i + 1}, " + ", ".join(f"{v:.12e}" for v in place) for i, place in enumerate(basis.doflocs.T[nodes[:, 0]])
    ]
    lines.append(f"*ELEMENT, TYPE={kind.name}, ELSET=BODY")
    for i, own in enumerate(elements):
        words = [str(i + 1), *(str(n + 1) for n in own)]
        rows = [words[k : k + 15] for k in range(0, len(words), 15)]
        lines += [", ".join(row) + ("," if row is not rows[-1] else "") for row in rows]
    lines += [card.strip(), f"*SOLID SECTION, ELSET=BODY, MATERIAL={names[0]}{orientation}", "*BOUNDARY"]
    place = np.empty((basis.N, 2), int)  # node and direction of every dof
    place[nodes] = np.stack(np.broadcast_arrays(np.arange(len(nodes))[:, None], np.arange(3)), axis=-1)
    lines += [f"{place[d, 0] + 1}, {place[d, 1] + 1}, {place[d, 1] + 1}, {values[d]:.12e}" for d in np.unique(fixed)]
    lines += ["*STEP", "*STATIC"]
    loaded = np.flatnonzero(load)
    if len(loaded):
        lines += ["*CLOAD", *(f"{place[d, 0] + 1}, {place[d, 1] + 1}, {load[d]:.12e}" for d in loaded)]
    lines += ["*NODE PRINT, NSET=ALL", "U", "*EL PRINT, ELSET=BODY", "S", "*END STEP"]
    return "\n".join(lines) + "\n"


def solve(basis: Any, card: str, values: Array, fixed: Array, load: Array, folder: str | Path) -> Answer:
    """Writes the input file into a folder, runs ``ccx`` there and reads what it prints; see `deck`.

    Raises:
        PhasefieldError: no CalculiX, or it failed.
    """
    program = shutil.which("ccx")
    if program is None:
        raise PhasefieldError("CalculiX (ccx) is not installed\n  e.g. apt install calculix-ccx")
    folder = Path(folder)
    (folder / "model.inp").write_text(deck(basis, card, values, fixed, load))
    (folder / "model.dat").unlink(missing_ok=True)
    threads = {"OMP_NUM_THREADS": "1", **{k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}}
    done = subprocess.run([program, "model"], cwd=folder, capture_output=True, text=True, env=threads, check=False)
    errors = [line.strip() for line in done.stdout.splitlines() if "*ERROR" in line]
    if done.returncode or errors or not (folder / "model.dat").exists():
        raise PhasefieldError(
            f"CalculiX failed in {folder}: {errors[0] if errors else done.stdout[-300:] + done.stderr[-300:]}"
        )
    return _read(folder / "model.dat", basis)


def _kind(basis: Any) -> _Kind:
    name = type(getattr(basis.elem, "elem", basis.elem)).__name__
    points = basis.X.shape[-1]
    kind = _KINDS.get(name)
    if kind is None or not Elements(basis).elastic:
        raise ConfigError(
            "basis", f"is of {type(basis.elem).__name__} {name}; ElementVector of {', '.join(_KINDS)} is expected"
        )
    if points != kind.points:
        raise ConfigError(
            "basis", f"has {points} integration points an element; CalculiX's {kind.name} has {kind.points}"
        )
    return kind


def _nodes(basis: Any) -> Array:
    """The three dofs of every node, (nodes, 3)."""
    local = basis.element_dofs.T.reshape(-1, 3)
    return np.unique(local, axis=0)


def _elements(basis: Any, kind: _Kind) -> Array:
    """Nodes of every element in CalculiX's order, (elements, n)."""
    reference = np.asarray(basis.elem.elem.doflocs)
    number = np.full(basis.N, -1)
    nodes = _nodes(basis)
    number[nodes[:, 0]] = np.arange(len(nodes))
    own = number[basis.element_dofs[::3].T]
    straight, mirrored = (_order(reference, kind.nodes, turned) for turned in (False, True))
    places = basis.doflocs.T[nodes[:, 0]]
    corners = places[own[:, straight]]
    sides = corners[:, [1, 3, 4]] - corners[:, [0]] if len(kind.nodes) == 20 else corners[:, 1:4] - corners[:, [0]]
    right = np.linalg.det(sides) > 0
    return np.where(right[:, None], own[:, straight], own[:, mirrored])


def _order(reference: Array, wanted: Array, mirrored: bool) -> Array:
    """Positions of CalculiX's nodes among those of the reference element; mirrored in the first two axes' diagonal."""
    wanted = wanted[:, [1, 0, 2]] if mirrored else wanted
    distance = np.abs(reference[None] - wanted[:, None]).sum(axis=-1)
    return np.asarray(distance.argmin(axis=1))


def _read(path: Path, basis: Any) -> Answer:
    """Displacements and stresses out of a .dat file."""
    tables: dict[str, list[list[float]]] = {}
    current: list[list[float]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0] in ("displacements", "stresses"):
            current = tables.setdefault(words[0], [])
        elif words:
            current.append([float(w) for w in words])
    u, s = np.array(tables["displacements"]), np.array(tables["stresses"])
    values = np.empty(basis.N)
    nodes = _nodes(basis)
    values[nodes[u[:, 0].astype(int) - 1]] = u[:, 1:4]
    xx, yy, zz, xy, xz, yz = s[:, 2:8].T
    stress = from_matrix(np.moveaxis(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]), -1, 0))
    return Answer(values, stress.reshape(basis.mesh.nelements, -1, 6))

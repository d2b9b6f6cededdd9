"""The grains of a polycrystal: the phase and the orientation of every label of an image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, unknown
from ..images.hdf5 import DREAM3D, features
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.tensors import Array
from ..tables import is_number, read_table

_ANGLES = ("phi1", "phi", "phi2")
_COLUMNS = ("label", "phase", "phi1", "Phi", "phi2")
_FORM = (
    f"a table with the header {','.join(_COLUMNS)} (Bunge, degrees), or three angles a line in the order of the labels"
)


@dataclass(frozen=True)
class Grains:
    """What is known of the grains, one row each.

    Attributes:
        rotations: crystal to sample, (3, 3); None where it is not known.
        labels: values of the image; None if the rows are in their order.
        phases: names or numbers (from 0) in the material; None if it has one only.
        source: for messages.
    """

    rotations: Sequence[Array | None]
    labels: Sequence[float] | None = None
    phases: Sequence[str] | None = None
    source: str = "the grains"


def read_grains(path: str) -> Grains:
    """Grains from a text file: with a header the columns label, phase, phi1, Phi, phi2, of which phase and the angles can be
    missing, or the angles alone; without one three Euler angles (Bunge, degrees) a line. Rows without labels are in the order
    of the labels. Commas, blanks or semicolons separate; between semicolons decimals may have a comma or a point. Of a file of
    DREAM.3D the features are the grains, their phases the material's in its order.

    Raises:
        ConfigError: the file cannot be read; an unknown or missing column; a row of another length; a label given twice.
    """
    if Path(path).suffix.lower() == DREAM3D:
        return _of_dream3d(Path(path).expanduser())
    try:
        rows = read_table(Path(path).expanduser())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("grains", f"{path} cannot be read: {error}", f"expected: {_FORM}") from error
    if not rows:
        raise ConfigError("grains", f"{path} is empty", f"expected: {_FORM}")
    head = [c.lower() for c in rows[0][1]]
    if any(is_number(c) for c in head):
        head = list(_ANGLES)
    else:
        rows = rows[1:]
        for name in head:
            if name not in map(str.lower, _COLUMNS):
                raise unknown("grains", name, list(_COLUMNS), f"column in {path}:")
        angles = [a for a in _ANGLES if a in head]
        labelled = "label" in head or set(head) == set(_ANGLES)
        if not labelled or len(set(head)) < len(head) or len(angles) not in (0, 3):
            raise ConfigError("grains", f"{path} has the columns {', '.join(head)}", f"expected: {_FORM}")
    table: dict[str, list[str]] = {name: [] for name in head}
    for n, cells in rows:
        if len(cells) != len(head):
            raise ConfigError("grains", f"line {n} of {path} has {len(cells)} values for {len(head)} columns")
        for name, cell in zip(head, cells, strict=True):
            if name != "phase" and not is_number(cell) and (cell or name == "label"):
                raise ConfigError("grains", f"line {n} of {path}: {name} is {cell!r}; a number is expected")
            table[name].append(cell)
    triples = list(zip(*(table.get(a, [""] * len(rows)) for a in _ANGLES), strict=True))
    for (n, _), triple in zip(rows, triples, strict=True):
        if any(triple) and not all(triple):
            raise ConfigError("grains", f"line {n} of {path} lacks an angle; give all three or none")
    labels = [float(v) for v in table["label"]] if "label" in head else None
    twice = [label for label, times in Counter(labels or ()).items() if times > 1]
    if twice:
        raise ConfigError("grains", f"{path} has the label {twice[0]:g} twice")
    rotations = [tensors.rotation_from_euler(*(math.radians(float(c)) for c in t)) if t[0] else None for t in triples]
    return Grains(rotations, labels, table.get("phase"), path)


def _of_dream3d(path: Path) -> Grains:
    """Grains from the means over features of DREAM.3D, whose angles are Bunge's in radians; its phases count from 1.

    Raises:
        ConfigError: the file cannot be read, or has no mean angles of its features.
    """
    try:
        angles, phases = features(path)
    except ConfigError:
        raise
    except Exception as error:  # the library raises almost anything on a damaged file
        raise ConfigError("grains", f"{path} cannot be read: {error}") from error
    rotations = [tensors.rotation_from_euler(*map(float, row)) for row in angles]
    several = phases is not None and len(set(phases)) > 1
    numbers = [str(int(p) - 1) for p in phases] if phases is not None and several else None
    return Grains(rotations, [float(k) for k in range(1, len(rotations) + 1)], numbers, str(path))


def match(
    grains: Grains | None,
    labels: Sequence[float],
    system: MaterialSystem,
    seed: int,
    drawn: Sequence[int] | None = None,
) -> tuple[tuple[int, ...], Array]:
    """Phase number and rotation of every label of an image: the grain's own, else that of its phase, else a random one.

    Args:
        grains: None for random orientations of a material of one phase.
        drawn: which of the random orientations of ``seed`` each label gets; by default they are in the order of the labels.

    Returns:
        Phase numbers, and rotations (labels, 3, 3).

    Raises:
        ConfigError: a label without a row, a phase that the material has not.
    """
    count = len(labels)
    rows = list(range(count))
    if grains is not None and grains.labels is None and len(grains.rotations) < count:
        raise ConfigError("grains", f"{grains.source} has {len(grains.rotations)} rows for {count} grains")
    if grains is not None and grains.labels is not None:
        place = {float(label): row for row, label in enumerate(grains.labels)}
        missing = [f"{v:g}" for v in labels if float(v) not in place]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ConfigError(
                "grains",
                f"{grains.source} has no row for the label {', '.join(missing[:5])}{more} of the image",
                "the labels are the values of an image, or the numbers 1, 2, ... of a field's components",
            )
        rows = [place[float(v)] for v in labels]
    if grains is None or grains.phases is None:
        if len(system.phases) > 1:
            source = "the grains" if grains is None else grains.source
            known = ", ".join(p.name for p in system.phases)
            raise ConfigError("grains", f"{source} has no column 'phase', but the material has the phases {known}")
        phases = [0] * count
    else:
        phases = [_phase(grains.phases[row], system, grains.source) for row in rows]
    which = list(range(count)) if drawn is None else list(drawn)
    rotations = tensors.random_rotations(max(which, default=-1) + 1, seed)[which]
    for k, (row, phase) in enumerate(zip(rows, phases, strict=True)):
        own = grains.rotations[row] if grains is not None else None
        known_rotation = own if own is not None else system.phases[phase].rotation
        if known_rotation is not None:
            rotations[k] = known_rotation
    return tuple(phases), np.asarray(rotations)


def _phase(name: str, system: MaterialSystem, source: str) -> int:
    names = [p.name for p in system.phases]
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise unknown("grains", name, names, f"phase for {source}:")

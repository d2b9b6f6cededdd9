"""What goes on a card: tensors of a class of symmetry, converted, about the axes of the card; and the heading that tells it."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...errors import ConfigError
from ...mechanics import tensors
from ...mechanics.properties import PROPERTIES
from ...mechanics.tensors import Array
from ..record import PARTS, Quantity, Record
from . import symmetry
from .units import AS_GIVEN, System, system

#: What cards can hold.
CARRIED = ("stiffness", "conductivity", "expansion")
#: Largest relative distance to a class of symmetry at which a tensor is written as one of it.
THRESHOLD = 1e-3
#: Axes that a card's constants are about.
AXES = ("sample", "principal")
#: Principal axes of tensors that differ by less than this from those of the sample, in degrees, are no others.
_TURNED = 1e-4


@dataclass(frozen=True)
class Entry:
    """A tensor of a card.

    Attributes:
        tensor: in the units and about the axes of the card, (6, 6) Mandel stiffness or (3, 3), of the class ``symmetry``.
        sample: the same about the axes of the sample.
    """

    tensor: Array
    symmetry: str
    sample: Array

    @property
    def voigt(self) -> Array:
        """A stiffness in Voigt form, order 11 22 33 23 13 12."""
        return tensors.to_voigt(self.tensor)

    @property
    def engineering(self) -> dict[str, float]:
        """Young's moduli, Poisson's ratios nu_ij = -S_ij E_i and shear moduli about the axes of the card."""
        s = np.linalg.inv(self.voigt)
        e = 1 / np.diagonal(s)
        out = {f"E{k + 1}": e[k] for k in range(3)}
        out |= {f"nu{i + 1}{j + 1}": -s[i, j] * e[i] for i, j in ((0, 1), (0, 2), (1, 2))}
        return {n: float(v) for n, v in (out | {"G23": e[3], "G13": e[4], "G12": e[5]}).items()}


@dataclass(frozen=True)
class Card:
    """What a format writes.

    Attributes:
        name: of the material. heading: lines of comment. entries: by property. density: None if unknown.
        rotation: axes of the card in the sample frame (columns), None where they are the sample's.
        zero: reference temperature in K, None if unknown.
    """

    name: str
    heading: list[str]
    entries: dict[str, Entry]
    density: float | None
    rotation: Array | None
    zero: float | None


def content_of(record: Record, units: str, name: str, axes: str, threshold: float, properties: tuple[str, ...]) -> Card:
    """The content of a card; arguments and what is raised as for `cards.card`."""
    if axes not in AXES:
        raise ConfigError("axes", f"is {axes!r}; expected one of {', '.join(AXES)}")
    if not 0 <= threshold < 1:
        raise ConfigError("threshold", f"is {threshold:g}; a relative distance from 0 to 1 is expected")
    chosen = _chosen(record, properties)
    into = None if units == AS_GIVEN else system(units)
    if into is not None and not record.united:
        raise ConfigError(
            "units",
            "the units of the properties are not known, for the constants of the phases came without",
            f"give the constants of the material units, or write the numbers as they are with units={AS_GIVEN}",
        )
    turned = _axes_of(record, chosen)
    rotation = turned if axes == "principal" else None
    entries = {n: _entry(record.properties[n], n, into, rotation, threshold) for n in chosen}
    density, zero = record.density, record.reference_temperature
    title = _name(name or record.material)
    heading = [
        *_about(record, title),
        *(into.heading if into else ["units: not known; the numbers are as they were given"]),
    ]
    heading += _axes_told(record, chosen, axes, turned)
    for n in chosen:
        heading += _told(record.properties[n], n, entries[n], rotation, turned)
    if density is None:
        heading.append("density: not known")
    left = [n for n in record.properties if n not in chosen]
    if left:
        heading.append(f"not on this card: {', '.join(left)}")
    heading += [line for note in notes_of(record, chosen) for line in _wrapped(f"note: {note}")]
    per = into.per_si(density.unit or "1") if into and density else 1.0
    return Card(
        title,
        heading,
        entries,
        None if density is None else float(density.value) * per,
        rotation,
        None if zero is None else float(zero.value),
    )


def _chosen(record: Record, properties: tuple[str, ...]) -> list[str]:
    """The properties to write, each whole."""
    for n in properties:
        if n not in CARRIED:
            raise ConfigError("properties", f"has {n!r}; a card holds {', '.join(CARRIED)}")
        if n not in record.properties:
            raise ConfigError("properties", f"has {n}, but the record has {', '.join(record.properties)}")
    chosen = [n for n in CARRIED if n in (properties or record.properties)]
    if not chosen:
        has = ", ".join(record.properties)
        raise ConfigError("properties", f"a card holds {', '.join(CARRIED)}; the record has {has}", "use format=json")
    for n in chosen:
        q = record.properties[n]
        if not q.whole:
            missing = _missing(q)
            hint = (
                "a sheet (plane=stress) or uniform traction on a 2-D image leave components open; compute all of them"
            )
            raise ConfigError(
                "format",
                f"needs all of {PROPERTIES[n].title}, of which {missing} were not computed",
                f"{hint}, or use format=json",
            )
        lowest, highest = np.linalg.eigvalsh(q.mandel)[[0, -1]]
        if PROPERTIES[n].positive and (lowest < -1e-10 * highest or (n == "stiffness" and lowest <= 1e-10 * highest)):
            raise ConfigError(
                "format",
                f"needs a {PROPERTIES[n].title} that resists every load, but its eigenvalues go down to {lowest:.4g}",
                "solvers take none such; voids may cut the solid",
            )
    return chosen


def _missing(q: Quantity) -> str:
    rows, columns = np.nonzero(~np.isfinite(q.value))
    names = [f"{q.components[i]} {q.components[j]}" for i, j in zip(rows, columns, strict=True) if i <= j]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _axes_of(record: Record, chosen: list[str]) -> Array:
    """Principal axes of the first property that has some."""
    for n in chosen:
        t = record.properties[n].mandel
        if tensors.nearest_isotropic(t)[1] > 1e-9:
            return symmetry.principal_axes(t)
    return np.eye(3)


def _entry(q: Quantity, name: str, into: System | None, rotation: Array | None, threshold: float) -> Entry:
    t = q.mandel * (into.per_si(q.unit or "1") if into else 1.0)
    kind, near = symmetry.classed(t if rotation is None else tensors.rotate(t, rotation.T), threshold)
    return Entry(near, kind, near if rotation is None else tensors.rotate(near, rotation))


# -- heading -----------------------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    """A name that every solver takes: letters, digits and _, a letter first."""
    text = unicodedata.normalize("NFKD", text)  # letters without their accents
    text = "".join(c for c in text if not unicodedata.combining(c))
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").upper() or "MATERIAL"
    return (name if name[0].isalpha() else f"M_{name}")[:40]


def _about(record: Record, title: str) -> list[str]:
    at = record.provenance
    shares = ", ".join(f"{n} {100 * float(q.value):.4g} %" for n, q in record.phases.items())
    lines = [
        f"material {title}: {record.title}",
        f"phases: {shares or 'not known'}; boundary {record.boundary or 'not known'}",
        f"by {at.source}{f', commit {at.commit[:12]}' if at.commit else ''}",
    ]
    zero = record.reference_temperature
    lines.append(f"reference temperature: {f'{float(zero.value):g} K' if zero else 'not known'}")
    return [plain(line) for line in lines]


def notes_of(record: Record, chosen: Iterable[str]) -> list[str]:
    """What the reader of a record must know: its notes and those of some properties, of the density and the temperature."""
    named = {"density": record.density, "reference temperature": record.reference_temperature}
    out = [*record.notes, *(note for n in chosen for note in record.properties[n].notes)]
    out += [f"{name} {note}" for name, q in named.items() if q is not None for note in q.notes]
    return list(dict.fromkeys(out))


def _wrapped(text: str, width: int = 110) -> list[str]:
    """Lines of plain characters."""
    return textwrap.wrap(plain(text, len(text)), width, subsequent_indent="  ")


def plain(text: str, width: int = 110) -> str:
    """One line of plain characters."""
    return " ".join(text.encode("ascii", "replace").decode().split())[:width]


def _axes_told(record: Record, chosen: list[str], axes: str, turned: Array) -> list[str]:
    angle = np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
    if angle < _TURNED:
        return ["axes: those of the sample x, y, z, which are principal"]
    rows = [f"  axis {k + 1}: {' '.join(f'{v:.12f}' for v in turned[:, k])}" for k in range(3)]
    if axes == "principal":
        return ["axes: principal, in the frame of the sample; the section must name the orientation", *rows]
    return ["axes: those of the sample x, y, z; principal ones (axes=principal writes about them) are", *rows]


def _told(q: Quantity, name: str, entry: Entry, rotation: Array | None, turned: Array) -> list[str]:
    """Class, distances and uncertainty of a property."""
    t = q.mandel
    seen = symmetry.distances(t if rotation is None else tensors.rotate(t, rotation.T))
    text = f"{name}: written as {entry.symmetry}; distance to {', '.join(f'{n} {d:.3g}' for n, d in seen.items())}"
    lines = [text]
    if rotation is None and np.abs(turned - np.eye(3)).max() > 1e-6:
        best = symmetry.nearest_orthotropic(tensors.rotate(t, turned.T))[1]
        lines.append(f"  distance to orthotropic about the principal axes {best:.3g}")
    norm = float(np.linalg.norm(q.value))
    parts = []
    for part in PARTS:
        estimate = q.uncertainty.get(part)
        known = None if estimate is None or not norm else np.nanmax(estimate.std) / np.abs(q.value).max()
        parts.append(f"{part} {'no estimate' if known is None else f'{100 * known:.2g} %'}")
    lines.append(f"  standard uncertainty, of the largest component: {', '.join(parts)}")
    return lines

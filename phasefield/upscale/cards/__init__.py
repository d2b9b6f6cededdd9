"""Material cards that solvers read, from a property record: one line of `FORMATS` a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..record import Record
from . import abaqus, ansys, calculix, moose
from .content import THRESHOLD, Card, content_of


@dataclass(frozen=True)
class Format:
    """A format of cards.

    Attributes:
        title: of the solver. suffix: of its files. comment: what begins a line of comment. write: the lines below the heading.
    """

    title: str
    suffix: str
    comment: str
    write: Callable[[Card], list[str]]


FORMATS = {
    "calculix": Format("CalculiX", ".inp", "**", calculix.lines),
    "abaqus": Format("Abaqus", ".inp", "**", abaqus.lines),
    "moose": Format("MOOSE", ".i", "#", moose.lines),
    "ansys": Format("ANSYS (MAPDL)", ".mac", "!", ansys.lines),
}
#: How every card begins behind the sign of a comment; it is known by this.
MARK = "material card by phasefield"


def card(
    record: Record,
    format: str,
    units: str = "m-kg-s",
    name: str = "",
    axes: str = "sample",
    threshold: float = THRESHOLD,
    properties: tuple[str, ...] = (),
) -> str:
    """The text of a card.

    Args:
        format: out of `FORMATS`. units: base units LENGTH-MASS-TIME, see `units.system`. name: of the material.
        axes: ``sample``: constants about the axes of the sample, right without any orientation; ``principal``: about the axes in
            which the tensor is closest to orthotropic, with an orientation that the section must name.
        threshold: largest relative distance to a class of symmetry at which the tensor is written as one of that class.
        properties: which to write; by default all that the format knows.

    Raises:
        ConfigError: units that are none; a tensor that is partly computed, has unknown units, or is not positive definite; what
            the format cannot say.
    """
    form = FORMATS[format]
    content = content_of(record, units, name, axes, threshold, properties)
    heading = [f"{MARK} for {form.title}", *content.heading]
    body = [line if line else form.comment for line in form.write(content)]
    return "\n".join([*(f"{form.comment} {line}".rstrip() for line in heading), *body]) + "\n"

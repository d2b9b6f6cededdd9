"""What is homogenized: an image, the material of its phases and the settings, brought together once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..images import Image, Voxels
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES, STRAINS
from ..mechanics.tensors import Array
from .assignment import Assignment, assign, resolved
from .loads import MeanFields, respond
from .settings import Settings


@dataclass(frozen=True)
class Problem:
    """An image whose phases are known.

    Attributes:
        image: as `resolved` made it. material: its phases and their properties. settings: what is wanted, and how.
        assignment: which phase of the material every phase of the image is, and how it is turned.
    """

    image: Image
    material: MaterialSystem
    settings: Settings
    assignment: Assignment

    @classmethod
    def of(cls, image: Image, material: MaterialSystem, settings: Settings) -> Problem:
        """Decides what the image is and which phase is which, with all complaints that need no solve; of these only the image's
        kind, levels and number of axes matter.

        Raises:
            ConfigError: phases and image do not fit, a property is missing, or settings are not for such an image.
        """
        dim = len(image.shape)
        if settings.plane == "stress" and dim != 2:
            problem = f"is stress, which is for images of two axes, but {image.source} has {dim}"
            raise ConfigError("plane", problem, "leave it out")
        image = resolved(image, material, settings)
        made = cls(image, material, settings, assign(image, material, settings))
        for name in settings.properties:
            made._check(name)
        return made

    def _check(self, name: str) -> None:
        if name in STRAINS and self.settings.plane == "stress":
            raise ConfigError("plane", f"is stress, for which {name} is not available", "use plane=strain")
        for each in ("stiffness", name) if name in STRAINS else (name,):
            self.strain(each) if each in STRAINS else self.pure(each)
        self.response(name, np.eye(6 if PROPERTIES[name].order == 4 else 3))

    # -- phases ----------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """What to call the phases of the image."""
        return self.assignment.names(self.image)

    def pure(self, name: str) -> tuple[Array, NDArray[np.bool_]]:
        """Tensors of the image's phases, (phases, n, n), and which of them are void or rigid."""
        return self.assignment.pure(name)

    def strain(self, name: str) -> Array:
        """Stress-free strains (phases, 6) Mandel; zero for voids."""
        return self.assignment.strain(name)

    @cached_property
    def voxels(self) -> Voxels:
        """The image's voxels, without any property."""
        return self.image.voxels(self.settings.voxel)

    # -- loads -----------------------------------------------------------------------------------------------------

    def sheet(self, name: str) -> bool:
        """Whether a property is that of a thin sheet."""
        return self.settings.plane == "stress" and len(self.image.shape) == 2 and PROPERTIES[name].order == 4

    @property
    def boundary(self) -> str:
        """The boundary condition that the result has; others may stand beside it."""
        return "periodic" if self.settings.boundary == "all" else self.settings.boundary

    @property
    def axes(self) -> list[int]:
        """The axes that anything varies along."""
        return varying(self.image.shape)

    def components(self, name: str) -> list[int]:
        """Component numbers of a property's unit loads: of tractions only those on faces that the image has."""
        axes = self.axes if self.settings.boundary == "static" else [0, 1, 2]
        if self.sheet(name):
            axes = [d for d in axes if d < 2]
        return components_within(axes, 6 if PROPERTIES[name].order == 4 else 3)

    def response(self, name: str, tensor: Array) -> MeanFields | None:
        """The effective body under the load of the settings, see `respond`."""
        return respond(self.settings.load, PROPERTIES[name], tensor, self.components(name), self.material.united)

    # -- others ----------------------------------------------------------------------------------------------------

    def coarse(self) -> Problem:
        """The same phases on half as many voxels per axis."""
        return replace(self, image=self.image.coarse())

    def with_material(self, material: MaterialSystem) -> Problem:
        """The same image, and voxels, of phases with other constants."""
        made = replace(self, material=material, assignment=replace(self.assignment, system=material))
        made.__dict__["voxels"] = self.voxels  # geometry alone, which takes as long as a small solve
        return made

    @property
    def outline(self) -> Problem:
        """The same without the room that the image's values take."""
        return replace(self, image=self.image.outline)


def varying(shape: Sequence[int]) -> list[int]:
    """The axes that anything varies along."""
    return [d for d, n in enumerate(shape) if n > 1]


def components_within(axes: Sequence[int], size: int) -> list[int]:
    """Component numbers, of ``size``, of the loads within some axes."""
    return [k for k, pair in enumerate(tensors.PAIRS) if set(pair) <= set(axes)] if size == 6 else list(axes)

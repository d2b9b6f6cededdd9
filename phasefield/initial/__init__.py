"""Initial conditions: from a few lines of configuration to the values of a field in every cell.

A specification is an expression (a string or a number), a list with one expression per component, an array of values in the
cells, or a mapping with a ``kind`` and the keys of that kind; the kinds are the functions decorated with
``register_kind``. A number may also be written as an expression of the parameters, and a key that is null counts as not given.

Noise depends on the seed, the field and the global cell index alone, so that any part of the grid can be generated
anywhere. Random positions depend on the seed alone: the same circles or grains can be asked for in several fields.

With the signed distance ``d`` to the interface, all interfaces have the profile of a double well in equilibrium,
``outside + (inside - outside) * (1 - tanh(d / (sqrt(2) width))) / 2`` (Cahn and Hilliard 1958,
doi:10.1063/1.1744102); ``width: 0`` is sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..grid import Grid
from . import files, shapes, voronoi  # noqa: F401 - the kinds register themselves
from .noise import cell_noise
from .options import Array, Rows, Spec, Target, is_random, kind_name, read_field, slabs, unheeded
from .sample import Sample

__all__ = [
    "Rows",
    "Sample",
    "cell_noise",
    "initial_field",
    "initial_rows",
    "is_random",
    "merge_initial",
    "slabs",
    "unheeded",
]


def initial_rows(
    name: str,
    spec: Spec,
    components: int | None,
    grid: Grid,
    seed: int,
    parameters: Mapping[str, float],
    base: Path | None = None,
) -> Rows:
    """The values of `initial_field` for part of the grid at a time: no second copy of a large field is ever held.

    Returns:
        A function of a slice of the first axis, which gives the values there, shape ``(components or 1, rows, *grid.shape[1:])``,
        and raises a ConfigError where they are not finite real numbers. `slabs` cuts a grid into such slices.
    """
    target = Target(f"initial.{name}", name, components, grid, seed, parameters, base or Path())
    return read_field(target, spec)


def initial_field(
    name: str,
    spec: Spec,
    components: int | None,
    grid: Grid,
    seed: int,
    parameters: Mapping[str, float],
    base: Path | None = None,
) -> Array:
    """Values of a field at the cell centres at time zero.

    Args:
        name: name of the field; errors name the key ``initial.<name>`` and those below it.
        spec: the specification, see the module.
        components: number of components, ``None`` for a scalar field.
        grid: the grid; coordinates and distances are in its unit of length.
        seed: any integer, taken modulo 2**64.
        parameters: constants that expressions may use.
        base: folder that relative paths start from; default is the working directory.

    Returns:
        C-contiguous array of shape ``(components or 1, *grid.shape)``, in the unit of the field.

    Raises:
        ConfigError: the specification is not understood, does not fit the field or the grid, or gives values that are
            not finite real numbers; an ExpressionError points at the fault in an expression.
    """
    rows = initial_rows(name, spec, components, grid, seed, parameters, base)
    out = np.empty((components or 1, *grid.shape))
    for slab in slabs(grid):
        out[:, slab] = rows(slab)
    return out


def merge_initial(default: Spec | None, override: Spec | None) -> Spec | None:
    """Combine two specifications of a field: one with a ``kind`` replaces the other, one without changes keys of it.

    Args:
        default: what a model proposes.
        override: what the user asks for; ``None`` keeps the default.

    Returns:
        ``default`` updated with ``override`` if both are mappings and the override has no ``kind``; otherwise the override
        alone.
    """
    if override is None:
        return default
    if isinstance(default, Mapping) and isinstance(override, Mapping) and kind_name(override) is None:
        return {**default, **{k: v for k, v in override.items() if k != "kind"}}
    return override

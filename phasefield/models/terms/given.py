"""A key that holds an expression in the coordinates, t and the fields: one for all components of a field, or one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import Reader


def read(name: str, key: str, given: Mapping[str, Any], reader: Reader) -> tuple[Any, ...] | None:
    """The expressions of key ``name``, one or as many as components; None where there is nothing but zeros.

    Args:
        key: of the field. given: what stands there.
    """
    if given.get(name) is None:
        return None
    parsed = reader.expressions(f"{key}.{name}", given[name], given.get("components") or 1)
    return tuple(parsed) if any(parsed) else None


def check(name: str, field: str, value: Any, expressions: Sequence[Any], grid: Grid) -> None:
    """Refuses coordinates that the grid has not, which kernels would take for 0.

    Args:
        value: as it is written, one text or one for every component. expressions: of every component, None for none.

    Raises:
        ExpressionError: there is such a coordinate.
    """
    texts = list(value) if isinstance(value, list | tuple) else [value]
    for text, expression in zip(texts * len(expressions), expressions, strict=False):  # one may serve all components
        if expression is not None:
            names = (symbol.name for symbol in expression.free_symbols)
            grid.check_coordinates(names, f"model.fields.{field}.{name}", str(text))

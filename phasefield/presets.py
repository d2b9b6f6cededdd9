"""The presets that come with the package: configs/GROUP/NAME.yaml. Nothing is imported here, so that help comes at once."""

from __future__ import annotations

from pathlib import Path


def folder(group: str = "") -> Path:
    """Where they lie, in a checkout and in an installed package."""
    here = Path(__file__).resolve().parent
    inside = here / "configs"
    return (inside if inside.is_dir() else here.parent / "configs") / group


def names(group: str) -> list[str]:
    """Names of the presets of a group: ``model``, ``experiment`` or ``material``."""
    root = folder(group)
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))

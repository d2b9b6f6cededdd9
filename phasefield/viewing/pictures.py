"""PNG pictures of snapshots, one pixel a cell and nothing else, x to the right and y upwards."""

from __future__ import annotations

import glob
import os
from io import BytesIO
from pathlib import Path

from ..errors import ConfigError
from ..formats import holds, make_parent, replaceable
from ..report.drawing import Array
from ..signals import check
from ..store import expanded, write_bytes
from .frames import Frames, enlarged
from .settings import FieldKeys
from .source import opened

MARK = "written by phasefield export, png"


def write(source: str | Path, keys: FieldKeys) -> tuple[list[Path], str]:
    """Writes one picture for each snapshot into a folder, or one file for the one of a time.

    Raises:
        ConfigError: a key that will not do, a target that is another's. OutputError: nothing to draw, or it cannot be written.
    """
    with opened(source) as there:
        frames = Frames.of(there, keys)
        stem = frames.view.field.name.replace(os.sep, "_")
        if keys.time is None:
            folder = expanded(keys.output) if keys.output else there.path.with_name(f"{there.path.stem}_png")
            if folder.exists() and not folder.is_dir():
                raise ConfigError(
                    "output", f"{folder} is a file", "give a folder: there is one picture for each snapshot"
                )
            digits = max(4, len(str(frames.indices[-1])))
            targets = {k: folder / f"{stem}_{k:0{digits}d}.png" for k in frames.indices}
        else:
            (index,) = frames.indices
            beside = there.path.with_name(f"{there.path.stem}_{stem}_{index:04d}.png")
            targets = {index: expanded(keys.output) if keys.output else beside}
        for target in targets.values():
            replaceable(target, MARK.encode(), "picture", there.path)
        if keys.time is None:
            _remove_stale(folder, stem, set(targets.values()))
        for index, target in targets.items():
            check()
            make_parent(target)
            write_bytes(target, png_of(enlarged(frames.colors(index), keys.scale or 1), frames.when(index)))
        return _told(list(targets.values())), frames.told


def png_of(colors: Array, title: str) -> bytes:
    """A PNG file of pixels, shape (rows, columns, 3), uint8."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    known = PngInfo()
    known.add_text("Software", MARK)
    known.add_text("Title", title)
    out = BytesIO()
    Image.fromarray(colors).save(out, "png", pnginfo=known)
    return out.getvalue()


def _remove_stale(folder: Path, stem: str, kept: set[Path]) -> None:
    """Pictures of the same field from an earlier export, of other colours; other people's stay."""
    for path in folder.glob(f"{glob.escape(stem)}_*.png"):
        if path not in kept and path.stem.removeprefix(f"{stem}_").isdigit() and holds(path, MARK.encode()):
            path.unlink()


def _told(files: list[Path]) -> list[Path]:
    """Files to name: of many the first and the last."""
    return files if len(files) < 3 else [files[0], files[-1]]

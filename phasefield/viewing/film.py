"""Films of snapshots: MP4 with H.264 in 4:2:0, which browsers play, by the ffmpeg that comes with imageio-ffmpeg."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError, PhasefieldError
from ..formats import make_parent, replaceable
from ..report.drawing import Array
from ..signals import check
from ..store import expanded, replacing
from .frames import Frames, enlarged
from .settings import FieldKeys
from .source import opened

MARK = "written by phasefield export, mp4"
#: Pixels that the longer side of a small grid is enlarged to have: players smear single pixels.
_SIDE = 480


def write(source: str | Path, keys: FieldKeys) -> tuple[list[Path], str]:
    """Writes a film.

    Raises:
        PhasefieldError: imageio-ffmpeg is not installed. ConfigError: a key that will not do, a target that is another's.
        OutputError: nothing to draw, or it cannot be written.
    """
    encoder = _encoder()
    with opened(source) as there:
        frames = Frames.of(there, keys)
        stem = frames.view.field.name.replace("/", "_")
        target = expanded(keys.output) if keys.output else there.path.with_name(f"{there.path.stem}_{stem}.mp4")
        replaceable(target, MARK.encode(), "film", there.path)
        scale = keys.scale or math.ceil(_SIDE / max(frames.shape))
        wide, tall = (scale * n + scale * n % 2 for n in frames.shape)  # 4:2:0 wants even sides
        make_parent(target)
        with replacing(target) as file:
            stream = encoder.write_frames(
                file.name,
                (wide, tall),
                fps=keys.fps,
                codec="libx264",
                pix_fmt_out="yuv420p",
                quality=None,
                macro_block_size=1,
                ffmpeg_log_level="error",
                output_params=[
                    "-crf", "16", "-movflags", "+faststart", "-metadata", f"comment={MARK}", "-f", "mp4",
                ],
            )  # fmt: skip
            _encode(stream, frames, scale, (wide, tall))
            if (found := _frames_in(encoder, file.name)) != len(frames.indices):
                raise OutputError(
                    f"{target}: cannot be written: the film came out with {found} of {len(frames.indices)} frames\n"
                    "  make room, then try again"
                )
        size = f"{wide} x {tall} pixels, {len(frames.indices) / keys.fps:.3g} s"
        return [target], f"{frames.told}; {size}"


def _encoder() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise PhasefieldError(
            "format=mp4 needs imageio-ffmpeg, which is not installed\n"
            "  pip install 'phasefield[film]', or write format=png and make a film of the pictures"
        ) from error
    return imageio_ffmpeg


def _encode(stream: Any, frames: Frames, scale: int, size: tuple[int, int]) -> None:
    try:
        stream.send(None)
        for index in frames.indices:
            check()
            stream.send(_even(enlarged(frames.colors(index), scale), size))
        stream.close()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"the film cannot be written: {error}") from error
    finally:
        stream.close()


def _frames_in(encoder: Any, path: str) -> int:
    """How many frames a film has, none if it is no film: ffmpeg does not say that it failed in the end."""
    try:
        return int(encoder.count_frames_and_secs(path)[0])
    except (RuntimeError, OSError):
        return 0


def _even(colors: Array, size: tuple[int, int]) -> Array:
    """Pixels with the last column and row doubled where a side is odd."""
    tall, wide = colors.shape[:2]
    if (wide, tall) == size:
        return colors
    return np.ascontiguousarray(np.pad(colors, ((0, size[1] - tall), (0, size[0] - wide), (0, 0)), "edge"))

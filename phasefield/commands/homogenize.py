"""homogenize RUN_DIR|IMAGE material=NAME [key=value ...]     effective properties of a microstructure

Effective properties of the last snapshot of a run, or of an image: TIFF, PNG,
JPEG, BMP, a folder of slices, NetCDF, npy, raw, MetaImage, HDF5, DREAM.3D, VTK.
Prints a table, and above it what the image was taken for; writes properties.nc
into the run folder, or NAME_properties.nc beside the image; an earlier such
file is replaced whole.

With -m (--multirun) every combination of the values is computed, into the
folders 0, 1, ... below output=DIR, without it below runs/TIME_sweep:
  phasefield homogenize RUN_DIR material=cu,al voxel=laminate,sharp -m
"""

from __future__ import annotations

from ..command import Call, Command


def homogenize(call: Call) -> int:
    from .. import display
    from ..homogenize import command
    from ..homogenize.settings import SOLVING, request_of

    request = request_of(call.config)
    after: command.After | None = None
    if request.uncertainty in SOLVING:
        from ..upscale.uncertainty import refine

        after = refine
    with display.working() as show:
        made = command.execute(call.words[0], request, call.line, show, call.folder, after)
    print(made.text, flush=True)
    if made.failure is not None:
        raise made.failure
    return 0


def validate(call: Call) -> str:
    from ..homogenize import command
    from ..homogenize.settings import request_of

    return command.check(call.words[0] if call.words else None, request_of(call.config))


COMMAND = Command(
    "phasefield.homogenize.settings:Request",
    homogenize,
    words={"RUN_DIR|IMAGE": "the run folder or image"},
    sweeps=True,
    folder="output",
    validate=validate,
    ranks=True,
)

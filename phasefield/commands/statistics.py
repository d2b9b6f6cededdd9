"""statistics [SOURCE ...] material=NAME [key=value ...]     properties of many samples, how they scatter and depend on size
statistics model=NAME members=N sizes=[L,...] material=NAME ...     the same of samples that are simulated for it

SOURCE is the folder of a sweep, runs, images (or a folder of them), files of effective properties (properties.nc, then without
material), or one large image that sizes=[64,128] cuts into windows that do not overlap. Prints a table and writes a NetCDF
file, a picture and the samples' own file beside it: samples that are in it are not computed again.

Without a SOURCE the keys that are not listed here are those of run, and samples are simulated below the folder that the output
is named after (output=F.nc: F/0, F/1, ...), members of each size; given again, the command goes on where it was stopped.

With -m (--multirun) every combination of the values is computed, into statistics.nc in the folders 0, 1, ... below output=DIR.

With reconstructions=N periodic samples of the two-point function of an image of two phases are made, and compared with it.

examples:
  phasefield statistics scan.tif sizes=[64,128,256] material=epoxy_glass error=2%
  phasefield statistics spins material=ni_ni3al properties=[stiffness,conductivity] output=spins.nc
  phasefield statistics model=spinodal members=32 sizes=[64,128] time.end=500 material=ni_ni3al output=spinodal.nc
  phasefield statistics scan.tif reconstructions=16 material=epoxy_glass
"""

from __future__ import annotations

import sys
from dataclasses import replace

from ..command import Call, Command
from ..console import messages
from ..errors import ConfigError


def statistics(call: Call) -> int:
    messages()
    from .. import display, sweep
    from ..upscale import statistics_command
    from ..upscale.simulate import simulate

    request = _request(call)
    words, code = list(call.words), 0
    if not words:
        folder = statistics_command.target_of(words, request).with_suffix("")
        code = simulate(request, call.rest, folder, call.line)
        if sweep.stops(code):
            print("stopped; the same command goes on", file=sys.stderr)
            return code
        words = [str(folder)]
    with display.working() as show:
        made = statistics_command.execute(words, request, call.line, show)
    print(made.text, flush=True)
    return 1 if made.failed and not request.skip else 0


def _request(call: Call):  # type: ignore[no-untyped-def]
    """The request; its keys may name presets of one's own, as the run's may."""
    from .. import config
    from ..upscale.statistics_command import target_of
    from ..upscale.statistics_settings import request_of

    if call.folder is not None:  # of a sweep
        request = request_of(call.config, bare=bool(call.words))
        return replace(request, output=str(call.folder / "statistics.nc"))
    where = [o for o in call.rest if o.lstrip("+").startswith("hydra.searchpath=")]
    others = [o for o in call.rest if o not in where]
    if call.words and others:
        raise ConfigError(
            others[0].partition("=")[0], "is a key of run, but the samples are given",
            "leave it out, or leave the samples out: they are simulated then; phasefield statistics --help lists the keys",
        )  # fmt: skip
    request = request_of(config.compose([*call.overrides, *where], call.language), bare=bool(call.words))
    if call.words and any(o.lstrip("+").startswith("members=") for o in call.overrides):
        raise ConfigError("members", f"is {request.members}, but the samples are given", "it is of those to simulate")
    if not call.words and request.output is None:
        raise ConfigError(
            "output",
            "is not given, nor are samples",
            "output=FILE.nc, beside whose folder FILE the samples are simulated",
        )
    if not call.words:
        target_of([], request)
    return request


def validate(call: Call) -> str:
    from ..upscale.simulate import jobs_of
    from ..upscale.statistics_command import check

    request = _request(call)
    if not call.words:
        return f"{len(jobs_of(request, call.rest))} runs; {check(call.words, request)}"
    return check(call.words, request)


COMMAND = Command(
    "phasefield.upscale.statistics_settings:Request",
    statistics,
    more="a sweep's folder, runs, images or files of effective properties",
    others="run",
    sweeps=True,
    folder="output",
    validate=validate,
)

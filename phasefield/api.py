"""The same from Python: compose, run, resume, open."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config as configuration
from . import schedule
from .backend import together
from .callbacks import Callback, Callbacks
from .models.resolution import Resolution
from .problem import resolution_of
from .running import How, begin, effective, go_on
from .runs import Run
from .specs import RunSpec
from .store import RunFolder, expanded

if TYPE_CHECKING:
    from .explaining import Explanation


def run(*overrides: str, progress: bool = False, callbacks: Sequence[Callback] = (), **keys: Any) -> Run:
    """Runs a configuration.

    May be called in any thread, and in several at a time. Signals that ask to stop are heeded in the main thread alone.

    Args:
        overrides: as on the command line, e.g. ``"model=spinodal", "grid.shape=[128,128]"``.
        progress: show progress on standard error.
        callbacks: pairs ``(every, f)``: f is called with a `Moment` between steps whenever ``every`` says so, which is anything
            that ``output.every`` takes; steps land on its times. See `phasefield.callbacks` for what f may do.
        keys: keys at the top, e.g. ``seed=3``, ``model="allen_cahn"`` or ``grid={"shape": [64, 64], "length": 32.0}``. An initial
            condition may be an array of values in the cells, ``initial={"c": array}``, shape ``(nx, ny, nz)``, before them one
            axis for components; the run folder keeps it as ``initial_c.npy``.

    Raises:
        PhasefieldError: see `phasefield.errors`.
    """
    more, arrays = configuration.overrides_of(keys)
    everything = [*overrides, *more]
    return run_config(
        configuration.compose(everything),
        command=f"phasefield.run({', '.join(map(repr, everything))})",
        progress=progress,
        arrays=arrays,
        callbacks=callbacks,
    )


def live(*what: str | Run, every: float = 1.0, **keys: Any) -> Run:
    """Runs a configuration, or goes on with a run, and shows it meanwhile: in a notebook a picture and curves that are drawn anew
    in their place, elsewhere the line that `run` shows with ``progress=True``.

    Args:
        what: overrides as for `run`; or first a `Run`, which is continued as by `resume`, with the overrides that follow.
        every: seconds between two pictures, more where drawing them would take over a fifth of the time.
        keys: as for `run`.

    Raises:
        PhasefieldError: as `run` and `resume`. ConfigError: ``every`` is no positive number.
    """
    schedule.build({"wall": every}, "every")  # refuses what is no time
    first, overrides = (what[0], what[1:]) if what and isinstance(what[0], Run) else (None, what)
    given = tuple(map(str, overrides))

    def go(**more: Any) -> Run:
        return run(*given, **more, **keys) if first is None else resume(first.path, *given, **more, **keys)

    from .notebook import Live, in_notebook

    if not in_notebook():
        return go(progress=True)
    more, _ = configuration.overrides_of(keys)
    known = [*given, *more]
    config = (
        configuration.compose(known) if first is None else configuration.of_run(RunFolder(first.path).config, known)
    )
    view = Live(configuration.to_spec(config))
    done = go(callbacks=[({"wall": every}, view)])
    view.finish(done.path)
    return done


def run_config(
    config: Any,
    command: str = "",
    folder: str | Path | None = None,
    progress: bool = False,
    arrays: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
) -> Run:
    """Runs a composed configuration in ``folder`` (default: output.dir, else a time-stamped one under runs/).

    With ``output.resume=auto`` a run that is in the folder goes on as by `resume`, if it is of the same problem.

    Of several processes that call this together rank 0 does it with the help of the others (`phasefield.backend.ranks`): what is
    handed in counts there, what comes of it is known to all.

    Args:
        arrays: initial values by field, in place of what the configuration says. callbacks: see `run`.
        began: since when ``time.wall`` counts, by the monotonic clock; None is now.
    """
    how = _how(command, progress, callbacks, began)
    return together(lambda: begin(config, folder, arrays or {}, how))


def _how(command: str, progress: bool, callbacks: Sequence[Callback], began: float | None) -> How:
    return How(command, progress, Callbacks(callbacks), time.monotonic() if began is None else began)


def resume(
    path: str | Path,
    *overrides: str,
    progress: bool = False,
    command: str = "",
    new_files: bool = False,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    **keys: Any,
) -> Run:
    """Continues a stopped run from its checkpoint, to the same bits an unbroken run gives.

    A run that has ended is left as it is, unless an override such as a later ``time.end`` lets it go on.

    Args:
        overrides: changes to its configuration, e.g. ``"time.end=2000"``; what defines the problem cannot change.
        keys: the same by name, e.g. ``time={"end": 2000}``.
        new_files: begin a new fields.nc or history.nc at the checkpoint where the run's own is missing, damaged or another's,
            which is put aside.
        callbacks: see `run`; they are no part of a run's folder, and what was due by the checkpoint has been called.
        began: since when ``time.wall`` counts, by the monotonic clock; None is now.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or of another problem. OutputError: the folder holds no run.
        ConfigError: a key that resuming cannot change.
    """
    changed = (*overrides, *configuration.overrides_of(keys)[0])
    how = _how(command, progress, callbacks, began)
    return together(lambda: go_on(RunFolder(expanded(path)), changed, new_files, how))


def spec_of(*overrides: str) -> RunSpec:
    """The checked specification of a configuration, without running it."""
    return configuration.to_spec(configuration.compose(overrides))


def resolution(*overrides: str) -> Resolution | None:
    """Width of interfaces and growing waves against the grid of a configuration, without running it.

    >>> import phasefield as pf
    >>> print(pf.resolution("model=spinodal").summary)                        # doctest: +SKIP
    interface width (5 to 95 %) in cells: c 6.58; fastest wavelength 14 cells, 18.2 of them in the domain
    """
    return resolution_of(spec_of(*overrides))


def explain(*overrides: str, measure: bool = True, **keys: Any) -> Explanation:
    """What a configured run is in theory and what it will cost, without running it: equations, phases, interfaces, growth, ...

    Args:
        overrides, keys: as for `run`. measure: whether the run is built and a few steps of this copy are timed, for stabiliser,
            memory and the time of a step. Nothing is written in any case.

    Returns:
        An `Explanation`: ``print`` it, let a notebook show it, or take its numbers (``.theory``, ``.to_dict()``).

    Raises:
        PhasefieldError: the configuration cannot be run; what does not fit into memory is explained all the same.
    """
    more, arrays = configuration.overrides_of(keys)
    return explain_config(configuration.compose([*overrides, *more]), arrays, measure)


def explain_config(config: Any, arrays: Mapping[str, Any] | None = None, measure: bool = True) -> Explanation:
    """`explain` of a composed configuration; ``arrays``: initial values by field, in place of what it says."""
    from .explaining import explanation

    spec = configuration.to_spec(config)
    spec.initial.update(arrays or {})
    return explanation(spec, lambda: effective(spec), measure)

"""The files that a run's records go into: what is declared in them, and whether those that are there are this run's."""

from __future__ import annotations

import itertools
import logging
import math
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .backend import cells_of
from .errors import CheckpointMismatch, OutputError
from .problem import PROBLEM, check_problem
from .simulation import Simulation
from .store import RecordFile, RunFolder, Variable

log = logging.getLogger("phasefield")

#: Coordinates and growing variables of a file, see `RecordFile.create`.
Declared = tuple[dict[str, tuple[np.ndarray, dict[str, Any]]], list[Variable]]


@dataclass(frozen=True)
class Kept:
    """The records that a checkpoint counts on: how many, and the time of the last (NaN in those of earlier versions)."""

    count: int
    time: float


class RunFiles:
    """history.nc and fields.nc of a simulation in its folder.

    Args:
        attrs: attributes of both. rare: variables that not every row of the history holds.
        kept: the rows and the snapshots that a checkpoint counts on, further ones are dropped; None for a new folder.
        new_files: whether a file that is missing or another's is replaced by a new one, which begins with the state at hand.

    Attributes:
        history, fields: the files. renewed: which of them, by these names, are new in a run that is not.

    Raises:
        OutputError, CheckpointMismatch: a file is missing, unreadable or another run's.
    """

    def __init__(
        self,
        simulation: Simulation,
        folder: RunFolder,
        attrs: Mapping[str, Any],
        rare: set[str],
        kept: tuple[Kept, Kept] | None,
        new_files: bool,
    ) -> None:
        self.simulation, self.folder, self._attrs, self._new_files = simulation, folder, attrs, new_files
        compression = simulation.spec.output.compression
        self.renewed: set[str] = set()
        rows, snapshots = (None, None) if kept is None else kept
        self.history = self._file("history", folder.history, self._history(rare), rows, 0)
        self.fields = self._file("fields", folder.fields, self._fields(), snapshots, compression)

    def _file(self, name: str, path: Path, declared: Declared, kept: Kept | None, compression: int) -> RecordFile:
        found = None if kept is None else self._continued(path, declared, kept)
        if found is None and kept is not None:
            self.renewed.add(name)
        return found or RecordFile.create(path, *declared, self._attrs, compression)

    def _continued(self, path: Path, declared: Declared, kept: Kept) -> RecordFile | None:
        """The file with the records that the checkpoint counts on; None, with what is there put aside, for a new one."""
        try:
            file = RecordFile.open(path)
            self._check_file(file, declared, kept)
        except (OutputError, CheckpointMismatch) as error:
            if not self._new_files:
                raise type(error)(
                    f"{error}\n  put the file of this run back, or go on with a new one that begins at the checkpoint: "
                    f"phasefield resume {shlex.quote(str(self.folder.path))} --new-files"
                ) from error
            self._put_aside(path, error)
            return None
        file.truncate(kept.count)
        return file

    def _check_file(self, file: RecordFile, declared: Declared, kept: Kept) -> None:
        coords, variables = declared
        count = kept.count
        sizes = {name: len(values) for name, (values, _) in coords.items()}
        meant = [v for v in variables if v.name in file.shapes or not v.later]
        expected = {v.name: tuple(sizes[d] for d in v.dims[1:]) for v in meant}
        if file.shapes != expected:
            found = {n for n in {*file.shapes, *expected} if file.shapes.get(n) != expected.get(n)}
            raise CheckpointMismatch(
                f"{file.path}: is of another run, or output.observables was changed: it differs in {', '.join(sorted(found))}"
            )
        for key in ("model_energy", "boundary", "seed"):
            if key in file.attrs and str(np.squeeze(file.attrs[key])) != str(self._attrs[key]):
                raise CheckpointMismatch(
                    f"{file.path}: is of another run: its {key} is {np.squeeze(file.attrs[key])}, not {self._attrs[key]}"
                )
        if PROBLEM in file.attrs:
            try:
                check_problem(self.simulation.identity, str(file.attrs[PROBLEM]))
            except CheckpointMismatch as error:
                raise CheckpointMismatch(f"{file.path}: is of another run: it {error}") from None
        if len(file) < count:
            raise CheckpointMismatch(
                f"{file.path}: holds {len(file)} records, the checkpoint knows of {count}; the file was changed after the run"
            )
        if count and file.time(count - 1) > self.simulation.carry.t * (1 + 1e-12):
            raise CheckpointMismatch(
                f"{file.path}: is of another run: its record {count} is of a time after the checkpoint's"
            )
        if count and not math.isnan(kept.time) and file.time(count - 1) != kept.time:
            raise CheckpointMismatch(
                f"{file.path}: is of another run: its record {count} is of time {file.time(count - 1):.9g}, "
                f"that of this run of {kept.time:.9g}"
            )

    def _put_aside(self, path: Path, why: Exception) -> None:
        log.warning("%s\n  a new file is begun, as was asked for", why)
        if os.path.lexists(path):
            log.warning("  what was there is now %s", put_aside(path))

    def _component_axes(self) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
        return {
            f"component_{f.name}": (np.arange(1, f.components + 1), {"long_name": f"component of {f.name}"})
            for f in self.simulation.model.order_parameters
            if f.components is not None
        }

    def _time(self) -> Variable:
        units = self.simulation.spec.time.units
        return Variable("time", ("time",), "float64", {"long_name": "simulated time", "units": units, "axis": "T"})

    def _history(self, rare: set[str]) -> Declared:
        sim = self.simulation
        variables = [
            self._time(),
            # Not an integer: ParaView 5.11 reads none of 64 bits, and 32 are too few.
            Variable("step", ("time",), "float64", {"long_name": "number of steps", "units": "1"}),
            Variable("dt", ("time",), "float64", {"long_name": "size of the last step", "units": sim.spec.time.units}),
        ]
        for name, attributes in sim.observer.attrs.items():
            of = sim.observer.fields.get(name)
            own = sim.observer.axes.get(name, ())
            dims = ("time", *own) if of is None else ("time", f"component_{of}")
            comment = {"comment": "of the snapshots; NaN in other rows"} if name in rare else {}
            late = name in sim.observer.later
            variables.append(Variable(name, dims, "float64", {**attributes, **comment}, late))
        labels: dict[str, tuple[np.ndarray, dict[str, Any]]]
        labels = {axis: (np.array(names), {}) for axis, names in sim.observer.labels.items()}
        return self._component_axes() | labels, variables

    def _fields(self) -> Declared:
        sim = self.simulation
        coords: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
            name: (
                axis.centers,
                {"long_name": f"{name} of the cell centre", "units": sim.spec.grid.units},
            )
            for name, axis in zip(sim.grid.names, sim.grid.axes, strict=True)
        }
        variables = [self._time()]
        for f in sim.model.order_parameters:
            dims = ("time", *(() if f.components is None else (f"component_{f.name}",)), *sim.grid.names)
            attributes = {"long_name": f.description or f.name, "units": f.units}
            variables.append(Variable(f.name, dims, sim.backend.dtype, attributes))
        for name, about in sim.derived.variables.items():
            variables.append(Variable(name, ("time", *sim.grid.names), sim.backend.dtype, dict(about)))
        return coords | self._component_axes(), variables

    def append_rows(self, rows: Mapping[str, Any]) -> None:
        """Appends rows of the history, what the file has no place for left out."""
        missing = self.simulation.observer.later - set(self.history.shapes)
        self.history.append({name: values for name, values in rows.items() if name not in missing})

    def append_fields(self, time: float, arrived: Callable[[], Any], *derived: Callable[[], Any]) -> None:
        """Appends a snapshot, which may still be on its way from the device; in the writer's thread, but for `Boxes`.

        Args:
            arrived: waits for the state. derived: for what is derived from it.
        """
        model, layout = self.simulation.model, self.simulation.layout
        host = cells_of(layout, arrived())
        record: dict[str, Any] = {"time": np.array([time])}
        for f in model.order_parameters:
            part = host[model.slices()[f.name]]
            record[f.name] = part if f.components is None else part[None]
        parts = [part for wait in derived for whole in (cells_of(layout, wait()),) for part in _each(whole)]
        record |= dict(zip(self.simulation.derived.variables, parts, strict=True))
        self.fields.append(record)


def _each(whole: Any) -> list[Any]:
    """The components of cells, each with an axis in front for time."""
    return [whole[i : i + 1] for i in range(whole.shape[0])]


def put_aside(path: Path) -> Path:
    """Gives a file that is in the way another name, which it returns. Raises OutputError."""
    aside = next(p for n in itertools.count(1) if not os.path.lexists(p := path.with_name(f"{path.name}.{n}")))
    try:
        os.replace(path, aside)
    except OSError as error:
        raise OutputError(f"{path}: cannot be put aside: {error.strerror or error}") from error
    return aside

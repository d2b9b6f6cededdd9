"""Opening our NetCDF files, and writing whole datasets like them: the one place where their layout meets xarray."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutputError, Unreadable
from .files import replacing
from .layout import (
    PART_AT,
    PART_AXES,
    PART_OF,
    TEXT,
    WHOLE,
    disk_order,
    named_order,
    parts_of,
    put_attrs,
    put_characters,
    readable,
)
from .streams import Unfailing

if TYPE_CHECKING:
    import xarray as xr


def open_dataset(path: str | Path, **options: Any) -> xr.Dataset:
    """A NetCDF file as an `xarray.Dataset`, read lazily: parts put together, axes in the order time, others, x, y, z.

    Times stay numbers, whatever their units. Files of any origin and of earlier versions can be read.

    Args:
        options: of `xarray.open_dataset`.

    Raises:
        Unreadable: there is no such file, or it is no NetCDF file, or a damaged one; the last also later, when values are read.
    """
    import xarray as xr

    path = os.fspath(path)
    try:
        path.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:  # in a locale without UTF-8, where the netCDF library opens no such name
        options = {"engine": "h5netcdf", **options}
    try:
        return _guarded(joined(xr.open_dataset(path, **{"decode_times": False, **options})), path)
    except Exception as error:  # the readers raise whatever their library raises for a broken file
        hint = "restore it, or make it again" if os.path.exists(path) else "is its name right?"
        raise Unreadable(path, _reason(Path(path), error), hint) from error


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be opened. Where no reader takes it, what is raised is a manual of readers."""
    if not path.exists():
        return "there is no such file"
    if path.is_file() and not path.stat().st_size:
        return "is empty"
    if isinstance(error, ValueError):
        return "is no NetCDF file, or a damaged one"
    if (
        isinstance(error, OSError) and (error.errno or 0) < 0 and error.strerror
    ):  # of the NetCDF library, not of the system
        return f"cannot be read: it is damaged or incomplete ({error.strerror})"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"cannot be read: {lines[0][:160]}"


def _guarded(data: xr.Dataset, path: str) -> xr.Dataset:
    """The same dataset, which says of values that cannot be read which file they are of."""
    import xarray as xr
    from xarray.core import indexing

    def guard(variable: xr.Variable) -> xr.Variable:
        def read(key: tuple[Any, ...]) -> np.ndarray:
            try:
                return np.asarray(variable[key].values)
            except Exception as error:  # again whatever the library raises
                raise Unreadable(path, f"is damaged: {str(error).strip() or type(error).__name__}") from error

        lazy = _lazy_array()(variable.shape, variable.dtype, read)
        return xr.Variable(variable.dims, indexing.LazilyIndexedArray(lazy), variable.attrs, variable.encoding)

    lazy = {name: v.variable for name, v in data.data_vars.items() if not isinstance(v.variable._data, np.ndarray)}
    result = data.assign({name: guard(variable) for name, variable in lazy.items()})
    result.set_close(data.close)
    return result


def joined(data: xr.Dataset) -> xr.Dataset:
    """A dataset as it lies in our files as one with whole variables, still read lazily."""
    wholes: dict[str, dict[tuple[int, ...], Hashable]] = {}
    for name, variable in data.data_vars.items():
        if PART_OF in variable.attrs and PART_AT in variable.attrs:
            at = tuple(int(k) for k in np.atleast_1d(variable.attrs[PART_AT]))
            wholes.setdefault(str(variable.attrs[PART_OF]), {})[at] = name
    variables: dict[Hashable, Any] = {}
    seen: set[str] = set()
    for name, variable in data.data_vars.items():
        whole = str(variable.attrs.get(PART_OF, ""))
        if whole not in wholes:
            dims = tuple(
                map(str, variable.dims)
            )  # of a file of another origin those without our names keep their order
            ours = dims == disk_order(dims)
            variables[name] = reordered(variable.variable, named_order(dims)) if ours else variable.variable
        elif whole not in seen:
            seen.add(whole)
            variables[whole] = _whole(whole, {at: data[part].variable for at, part in wholes[whole].items()})
    result = data.drop_vars(list(data.data_vars)).assign(variables)
    result.set_close(data.close)
    return result


def reordered(variable: xr.Variable, dims: Sequence[str]) -> xr.Variable:
    """A variable with its dimensions in another order, still read lazily.

    `xarray.Variable.transpose` of what is not read yet asks the file for every number by its indices, which takes an order of
    magnitude more memory and time than the numbers themselves.
    """
    import xarray as xr
    from xarray.core import indexing

    before = tuple(map(str, variable.dims))
    dims = tuple(dims)
    if dims == before:
        return variable
    if isinstance(variable._data, np.ndarray):
        return variable.transpose(*dims)

    def read(key: tuple[Any, ...]) -> np.ndarray:
        """Reads in the file's order, turns what has been read."""
        asked = dict(zip(dims, key, strict=True))
        kept = [d for d in dims if not isinstance(asked[d], int | np.integer)]
        return np.asarray(variable[tuple(asked[d] for d in before)].load().transpose(*kept).values)

    lazy = _lazy_array()(tuple(variable.sizes[d] for d in dims), variable.dtype, read)
    return xr.Variable(dims, indexing.LazilyIndexedArray(lazy), variable.attrs, variable.encoding)


@cache
def _lazy_array() -> Any:
    """An array for xarray that calls a function to read what an index asks for.

    One class for all: a class of its own for each would be a cycle of references, which keeps a file open until it is collected.
    """
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class LazyArray(BackendArray):
        def __init__(
            self, shape: tuple[int, ...], dtype: np.dtype, read: Callable[[tuple[Any, ...]], np.ndarray]
        ) -> None:
            self.shape, self.dtype, self._read = shape, dtype, read

        def __getitem__(self, key: Any) -> Any:
            return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    return LazyArray


def _whole(name: str, parts: Mapping[tuple[int, ...], Any]) -> Any:
    """A variable put together of its parts, by their places."""
    import xarray as xr
    from xarray.core import indexing

    first = parts[min(parts)]
    axes = str(first.attrs[PART_AXES]).split()
    sizes = tuple(1 + max(at[d] for at in parts) for d in range(len(axes)))
    if len(parts) != math.prod(sizes):
        raise ValueError(f"{name}: holds {len(parts)} of {math.prod(sizes)} parts")
    inner = named_order(first.dims)
    lead = inner[:1] if inner[0] == "time" else ()
    dims = (*lead, *axes, *inner[len(lead) :])
    ordered = {at: reordered(part, inner) for at, part in parts.items()}

    def read(key: tuple[Any, ...]) -> np.ndarray:
        """Reads of the parts what an index asks for."""
        before, places, after = key[: len(lead)], key[len(lead) : len(lead) + len(axes)], key[len(lead) + len(axes) :]
        chosen = [np.arange(n)[k] for n, k in zip(sizes, places, strict=True)]
        shape = tuple(c.size for c in chosen if np.ndim(c))
        values = [
            np.asarray(ordered[tuple(int(k) for k in at)][(*before, *after)].values)
            for at in np.stack(np.meshgrid(*chosen, indexing="ij"), -1).reshape(-1, len(axes))
        ]
        kept = sum(not isinstance(k, int | np.integer) for k in before)
        stacked = np.stack(values, kept)
        return stacked.reshape(*stacked.shape[:kept], *shape, *stacked.shape[kept + 1 :])

    attrs = {k: v for k, v in first.attrs.items() if k not in (PART_OF, PART_AXES, PART_AT, WHOLE)}
    if WHOLE in first.attrs:
        attrs["long_name"] = first.attrs[WHOLE]
    whole = (*(first.sizes[d] for d in lead), *sizes, *(first.sizes[d] for d in inner[len(lead) :]))
    return xr.Variable(dims, indexing.LazilyIndexedArray(_lazy_array()(whole, first.dtype, read)), attrs)


@contextmanager
def new_hdf5(path: Path) -> Iterator[Any]:
    """A new HDF5 file (an `h5py.File`) that takes the place of ``path`` in one step when the block ends well.

    Raises:
        OutputError: it cannot be written; an older one is untouched.
    """
    import h5py

    with replacing(path) as target:
        stream = Unfailing(target)
        with h5py.File(stream, "w") as file:
            yield file
        stream.check()


def write_dataset(data: xr.Dataset, path: str | Path, groups: Mapping[str, xr.Dataset] | None = None) -> None:
    """Writes a dataset as a NetCDF-4 file in the layout of our files, in place of any file at ``path`` in one step.

    Args:
        groups: further datasets by the names of their groups.

    Raises:
        OutputError: the file cannot be written; an older one is untouched.
    """
    import h5netcdf
    import h5py

    texts: dict[str, Mapping[str, Any]] = {}
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    with replacing(Path(path)) as target:
        stream = Unfailing(target)
        with h5netcdf.File(stream, "w") as file:
            texts |= _put(file, "/", data.assign_attrs({"Conventions": "CF-1.11", **data.attrs}))
            for name, each in (groups or {}).items():
                texts |= _put(file.create_group(name), f"/{name}/", each)
        if stream.error is None:
            with h5py.File(stream, "r+") as raw:
                for name, text in texts.items():
                    put_attrs(raw[name], text)
        stream.check()


def _put(group: Any, path: str, data: xr.Dataset) -> dict[str, Mapping[str, Any]]:
    """Writes a dataset's variables into a group of a file. Attributes, by the paths of what has them, are left to write."""
    labels = {str(d): data[d].values.tolist() if d in data.coords else range(n) for d, n in data.sizes.items()}
    texts: dict[str, Mapping[str, Any]] = {path: data.attrs}
    besides = {str(n): set(c.dims) for n, c in data.coords.items() if n not in data.dims}
    group.dimensions = {str(d): n for d, n in data.sizes.items()}
    for key, variable in data.variables.items():
        name, dims = str(key), tuple(map(str, variable.dims))
        attrs = dict(variable.attrs)
        if variable.dtype.kind in "UOS":
            put_characters(group, name, dims, variable.values)
            texts[path + name] = {**attrs, **TEXT}
            continue
        for part in parts_of(name, dims, labels, attrs, list(map(str, data.variables))):
            others = [d for d in named_order(dims) if d not in part.dims]
            values = variable.isel(dict(zip(others, part.at, strict=True))).transpose(*part.dims).values
            values = readable(values)
            group.create_variable(part.name, part.dims, values.dtype, data=values)
            known = [c for c, d in besides.items() if key not in data.coords and d <= set(part.dims)]
            texts[path + part.name] = {**part.attrs, **({"coordinates": " ".join(known)} if known else {})}
    return texts

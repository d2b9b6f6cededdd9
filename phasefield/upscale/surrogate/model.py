"""The surrogate: prediction, and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, Unreadable
from ...mechanics.properties import PROPERTIES
from ...mechanics.tensors import Array
from ...store import open_dataset, write_dataset
from .blocks import Block, assembled, blocks
from .bracket import Mixture, expit
from .features import Estimate, Query, material_class, outside
from .process import Process

#: How the title of the file begins; the file is known by it.
TITLE = "Surrogate of effective"
FORMAT = 1
#: A query whose standard deviation is so much above that of any sample, of those held out too, is of a kind not seen.
STRANGE = 2.0


@dataclass(frozen=True)
class Learnt:
    """Of one block: the process of its scalars, and per orbit of entries the coefficients of the rest (orbits, terms)."""

    process: Process
    coefficients: Array

    def free(self, estimate: Estimate) -> Array:
        """The free matrix S."""
        block = estimate.block
        out = estimate.middle + block.isotropic(self.process.mean(estimate.inputs) * estimate.scale)
        if self.coefficients.any():
            terms = estimate.terms()
            for row, orbit in zip(self.coefficients, block.orbits, strict=True):
                for a, b in orbit:
                    out[a, b] += row @ terms[:, a, b]
                    if a != b:
                        out[b, a] += row @ terms[:, a, b]
        return out


@dataclass(frozen=True)
class Prediction:
    """A predicted tensor.

    Attributes:
        tensor: (6, 6) Mandel stiffness or (3, 3). std: standard deviation of its components, from the errors of the test part.
        voigt, reuss: bounds. surprise: standard deviation of the process over the largest of any sample's.
        outside: what lies beyond the training.
    """

    tensor: Array
    std: Array
    voigt: Array
    reuss: Array
    surprise: float
    outside: list[str]


@dataclass
class Surrogate:
    """A surrogate of an effective property of two isotropic phases.

    Attributes:
        prop: its name. dim: axes of its images. learnt: by the name of the block. ranges: of the samples, those held out too,
            see `Query.ranges`. surprise: largest standard deviation of the process at any sample, by block.
        spread: root mean square errors of the test part over the norm of Voigt - Reuss, (n, n).
        about: the rest, for people: how labels were made, error of the parts, where it comes from.
    """

    prop: str
    dim: int
    learnt: dict[str, Learnt]
    ranges: dict[str, tuple[float, float]]
    surprise: dict[str, float]
    spread: Array
    about: dict[str, Any] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)

    @property
    def order(self) -> int:
        return PROPERTIES[self.prop].order

    @property
    def blocks(self) -> tuple[Block, ...]:
        return blocks(self.order, self.dim)

    def tensor(self, query: Query) -> Array:
        """The tensor alone, whatever the ranges."""
        return self._tensor(query, self._estimates(query))

    def _estimates(self, query: Query) -> dict[str, Estimate]:
        return {} if query.uniform else {b.name: query.estimate(b) for b in self.blocks}

    def _tensor(self, query: Query, estimates: Mapping[str, Estimate]) -> Array:
        if query.uniform:
            return np.array(query.second if query.moments.fraction > 0.5 else query.first)
        found = {name: expit(self.learnt[name].free(e)) for name, e in estimates.items()}
        return assembled(query.first, query.second, query.moments.fraction, self.dim, found)

    def predict(self, query: Query, extrapolate: bool = False) -> Prediction:
        """The tensor with its uncertainty.

        Raises:
            ConfigError: the query is of another kind, or lies outside the training range and ``extrapolate`` is not said.
        """
        self.check_kind(query)
        beyond = outside(self.ranges, query)
        estimates = self._estimates(query)
        stds = {name: self.learnt[name].process.std(e.inputs).max() for name, e in estimates.items()}
        surprise = max((float(std) / self.surprise[name] for name, std in stds.items()), default=0.0)
        if surprise > STRANGE:
            beyond.append(
                f"the image is unlike those of the training: the process is {surprise:.2g} times as uncertain as of any of them"
            )
        if beyond and not extrapolate:
            raise ConfigError(
                "extrapolate",
                "is not true, and the query lies outside what the surrogate was trained with: " + "; ".join(beyond),
                "compute it with phasefield homogenize, train with such samples, or trust it blindly with extrapolate=true",
            )
        mixture = Mixture(query.first, query.second, query.moments.fraction)
        width = float(np.linalg.norm(mixture.voigt - mixture.reuss))
        tensor = self._tensor(query, estimates)
        return Prediction(tensor, self.spread * width, mixture.voigt, mixture.reuss, surprise, beyond)

    def check_kind(self, query: Query) -> None:
        """Raises ConfigError for a query of another property or another number of axes."""
        if (query.order, query.moments.dim) != (self.order, self.dim):
            raise ConfigError(
                "material",
                f"is asked for {material_class(query.moments.dim, query.order)}; the surrogate is of "
                f"{material_class(self.dim, self.order)}",
            )

    # -- the file --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, attributes: Mapping[str, Any] | None = None) -> None:
        """Writes arrays and JSON into one NetCDF file.

        Raises:
            OutputError: it cannot be written.
        """
        import xarray

        variables: dict[str, Any] = {}
        for block in self.blocks:
            learnt = self.learnt[block.name]
            for name, value in (learnt.process.arrays | {"coefficients": learnt.coefficients}).items():
                key = f"{_key(block)}_{name}"
                dims = tuple(f"{_key(block)}_{_DIMS.get(name, ('input',))[d]}" for d in range(value.ndim))
                variables[key] = (dims, value)
        variables["spread"] = (("component_row", "component_column"), self.spread)
        variables["image_hash"] = (("image",), np.array(self.images or [""]))
        told = {
            "format": FORMAT,
            "property": self.prop,
            "dim": self.dim,
            "class": material_class(self.dim, self.order),
            "ranges": {k: list(v) for k, v in self.ranges.items()},
            "surprise": self.surprise,
            "about": self.about,
        }
        attrs = {"title": f"{TITLE} {self.prop}", **(attributes or {}), "surrogate": json.dumps(told)}
        write_dataset(xarray.Dataset(variables, attrs=attrs), path)

    @classmethod
    def load(cls, path: str | Path) -> Surrogate:
        """Reads the file of `save`.

        Raises:
            ConfigError: there is none, it is another's, of a newer format or damaged.
        """
        where = Path(path)
        if not where.is_file():
            raise ConfigError(
                str(path), "there is no such file", "phasefield surrogate fit SWEEP output=FILE.nc makes one"
            )
        try:
            with open_dataset(where) as data:
                if not str(data.attrs.get("title", "")).startswith(TITLE):
                    raise ConfigError(str(path), "holds no surrogate", "give the file that surrogate fit has written")
                told = json.loads(data.attrs["surrogate"])
                arrays = {str(k): np.asarray(v.values) for k, v in data.variables.items()}
        except Unreadable as error:
            raise ConfigError(str(path), error.reason, "give the file that surrogate fit has written") from error
        except (KeyError, ValueError) as error:
            raise ConfigError(str(path), f"is damaged: {error}") from error
        if told.get("format", 0) > FORMAT:
            raise ConfigError(
                str(path), f"is of format {told['format']}; this version reads up to {FORMAT}", "update phasefield"
            )
        try:
            return cls._of(told, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(str(path), f"is damaged: {error!r}") from error

    @classmethod
    def _of(cls, told: dict[str, Any], arrays: dict[str, Array]) -> Surrogate:
        order, learnt = PROPERTIES[told["property"]].order, {}
        for block in blocks(order, told["dim"]):
            start = f"{_key(block)}_"
            own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            coefficients = own.pop("coefficients")
            learnt[block.name] = Learnt(Process.from_arrays(own), coefficients)
        return cls(
            told["property"],
            told["dim"],
            learnt,
            {k: (v[0], v[1]) for k, v in told["ranges"].items()},
            told["surprise"],
            arrays["spread"],
            told["about"],
            [str(h) for h in arrays["image_hash"].tolist()],
        )


_DIMS = {
    "points": ("sample", "input"),
    "noise": ("sample", "channel"),
    "weights": ("sample", "channel"),
    "offset": ("channel",),
    "unit": ("channel",),
    "coefficients": ("orbit", "term"),
}


def _key(block: Block) -> str:
    return block.name.replace("-", "_")

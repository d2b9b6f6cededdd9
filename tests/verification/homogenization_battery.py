"""A battery of media with exact effective properties, to see how often the printed uncertainty covers the truth.

    python tests/verification/homogenization_battery.py [NAME.md]

computes them all (some minutes on two cores) and writes the table; tests take a part. Every case is drawn at random
from its own seed: arrays of disks, spheres and fibres, squares, checkerboards, inclined layers, coated cylinders and spheres;
conductivity and stiffness; contrasts from 1e-6 to 1e6, voids and rigid phases; labels and tanh profiles 1 to 4 voxels wide;
centres anywhere; voxels of unequal edges. Even cases are those that the estimate was made with, odd ones were kept aside.
From 416 on they are what a grid of half the voxels does not show: structures as fine as the voxels, and phases that are nearly
incompressible.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from phasefield.homogenize import (
    Image,
    MaterialSystem,
    Options,
    Result,
    Settings,
    build,
    from_array,
    homogenize,
)
from phasefield.mechanics import tensors
from phasefield.mechanics.mixing import mix
from phasefield.verify.exact_media import CUBIC, disks, fibres, obnosov, spheres

Array = np.ndarray
ROOT = Path(__file__).parents[2]
INF = math.inf


@dataclass
class Case:
    """An image, its phases, and what is known of its tensor.

    Attributes:
        known: from the tensor (Voigt for stiffness) to the numbers that are known. exact: these numbers.
        contrast: of the phases, 0 with voids and inf with rigid ones. group: for the table.
    """

    number: int
    group: str
    image: Image
    material: MaterialSystem
    prop: str
    known: Callable[[Array], Array]
    exact: Array
    contrast: float
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, **more: Any) -> Result:
        options = more.pop("solver", Options(threads=1))
        (result,) = homogenize(
            self.image, self.material, Settings(properties=(self.prop,), solver=options, **self.settings, **more)
        )
        return result

    def error(self, tensor: Array) -> float:
        """Largest relative error of what is known."""
        found = self.known(tensors.to_voigt(tensor) if tensor.shape == (6, 6) else tensor)
        return float(np.abs(found / self.exact - 1).max())


# -- images ------------------------------------------------------------------------------------------------------------


def _grid(shape: tuple[int, ...], lengths: tuple[float, ...], shift: Array) -> Array:
    axes = [
        ((np.arange(n) + 0.5) / n - 0.5) * length + s * length / n
        for n, length, s in zip(shape, lengths, shift, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _image(distance: Array, step: float, width: float | None, spacing: tuple[float, ...]) -> Image:
    """From the signed distance; labels if there is no width, else a tanh profile of ``width`` voxels."""
    if width is None:
        return from_array((distance > 0).astype(int), spacing=spacing)
    return from_array(0.5 * (1 + np.tanh(distance / (step * width))), spacing=spacing, levels=[0, 1])


def _word(k: float) -> float | str:
    return "void" if k == 0 else "rigid" if math.isinf(k) else k


def _conductors(*values: float) -> MaterialSystem:
    return build(
        {
            "phases": {
                f"p{i}": v if isinstance(v := _word(k), str) else {"conductivity": v} for i, k in enumerate(values)
            }
        }
    )


def _elastic(*values: Any) -> MaterialSystem:
    phases = {}
    for i, v in enumerate(values):
        if isinstance(v, np.ndarray):
            phases[f"p{i}"] = {"stiffness": {"matrix": tensors.to_voigt(v).tolist()}}
        else:
            phases[f"p{i}"] = v if isinstance(v, str) else {"stiffness": {"E": v[0], "nu": v[1]}}
    return build({"phases": phases})


def _contrast(rng: np.random.Generator, most: float = 6.0, extreme: bool = True) -> float:
    draw = rng.uniform()
    if extreme and draw < 0.24:
        return 0.0 if draw < 0.12 else INF
    return float(10 ** (rng.choice([-1, 1]) * rng.uniform(0.3, most)))


def _width(rng: np.random.Generator) -> float | None:
    return None if rng.uniform() < 0.3 else float(rng.choice([0.5, 1.0, 2.0, 3.0, 4.0]) / 2)


def _diagonal(axes: int) -> Callable[[Array], Array]:
    return lambda t: np.diag(t)[:axes]


# -- families ----------------------------------------------------------------------------------------------------------


def _square_disks(number: int, rng: np.random.Generator) -> Case:
    n, f, k = int(rng.choice([32, 48, 64, 96, 128])), rng.uniform(0.05, 0.7), _contrast(rng)
    x = _grid((n, n), (1, 1), rng.uniform(-0.5, 0.5, 2))
    image = _image(math.sqrt(f / math.pi) - np.hypot(*x), 1 / n, _width(rng), (1.0, 1.0))
    return Case(number, "disks", image, _conductors(1, k), "conductivity", _diagonal(2), np.array(disks(f, k)), k)


def _other_disks(number: int, rng: np.random.Generator) -> Case:
    """Rectangular and hexagonal cells; voxels need not be squares."""
    n, k, width = int(rng.choice([32, 48, 64, 96])), _contrast(rng), _width(rng)
    centred = rng.uniform() < 0.5
    ratio = math.sqrt(3) if centred else float(rng.uniform(1.1, 1.7))
    m = round(n * ratio * rng.choice([0.8, 1.0, 1.25]))
    f = rng.uniform(0.05, 0.65 if centred else 0.7 * math.pi / 4 / ratio)
    x, y = _grid((n, m), (1, ratio), rng.uniform(-0.5, 0.5, 2))
    radius = math.sqrt(f * ratio / (2 if centred else 1) / math.pi)
    away = np.hypot(x, y)
    if centred:
        away = np.minimum(away, np.hypot(np.abs(x) - 0.5, np.abs(y) - ratio / 2))
    image = _image(radius - away, max(1 / n, ratio / m), width, (1 / n, ratio / m))
    exact = np.array(disks(f, k, ratio, centred))
    return Case(number, "disks, other cells", image, _conductors(1, k), "conductivity", _diagonal(2), exact, k)


def _squares(number: int, rng: np.random.Generator) -> Case:
    n, k = int(rng.choice([32, 48, 64, 96, 128])), _contrast(rng, 4.0)
    x, y = _grid((n, n), (1, 1), rng.integers(0, 9, 2) if rng.uniform() < 0.5 else rng.uniform(-0.5, 0.5, 2))
    image = _image(0.25 - np.maximum(np.abs(x), np.abs(y)), 1 / n, _width(rng), (1.0, 1.0))
    exact = np.full(2, 1 / math.sqrt(3) if k == 0 else obnosov(k))
    return Case(number, "squares", image, _conductors(1, k), "conductivity", _diagonal(2), exact, k)


def _checkerboard(number: int, rng: np.random.Generator) -> Case:
    n, k = int(rng.choice([32, 64, 96, 128])), _contrast(rng, 2.5, False)
    i = np.arange(n) // (n // 2)
    image = from_array(np.add.outer(i, i) % 2)
    return Case(
        number, "checkerboards", image, _conductors(1, k), "conductivity", _diagonal(2), np.full(2, math.sqrt(k)), k
    )


def _to_spheres(x: Array, kind: str, fraction: float) -> Array:
    """Distance to the spheres of a cubic lattice, positive inside."""
    radius = (3 * fraction / len(CUBIC[kind]) / (4 * math.pi)) ** (1 / 3)
    away = [x - np.array(c)[:, None, None, None] for c in CUBIC[kind]]
    return np.asarray(radius - np.min([np.linalg.norm(a - np.rint(a), axis=0) for a in away], axis=0))


def _spheres(number: int, rng: np.random.Generator) -> Case:
    kind = str(rng.choice(list(CUBIC)))
    n, k = int(rng.choice([16, 24, 32, 40, 48])), _contrast(rng)
    f = rng.uniform(0.05, {"sc": 0.45, "bcc": 0.58, "fcc": 0.62}[kind])
    stretched = rng.uniform() < 0.3
    shape = (n, n, round(0.75 * n)) if stretched else (n, n, n)
    x = _grid(shape, (1, 1, 1), rng.uniform(-0.5, 0.5, 3))
    spacing = tuple(1 / s for s in shape)
    image = _image(_to_spheres(x, kind, f), max(spacing), _width(rng), spacing)
    return Case(
        number, "spheres", image, _conductors(1, k), "conductivity", _diagonal(3), np.full(3, spheres(kind, f, k)), k
    )


_NORMALS: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (2, 1), (1, 3), (3, 2)],
    3: [(1, 1, 0), (1, 1, 1), (2, 1, 1), (1, 0, 2)],
}


def _layers(number: int, rng: np.random.Generator, prop: str) -> Case:
    """Inclined layers: the smallest eigenvalue is off the axes, and what is known is the whole tensor."""
    dim = 2 if rng.uniform() < 0.6 else 3
    n = int(rng.choice([32, 48, 64, 96] if dim == 2 else ([16, 24, 32] if prop == "conductivity" else [16, 24])))
    normal = np.array(_NORMALS[dim][int(rng.integers(4))])
    f, k = rng.uniform(0.2, 0.8), _contrast(rng, 6.0 if prop == "conductivity" else 4.0, False)
    phase = np.tensordot(normal, np.stack(np.meshgrid(*[np.arange(n) + 0.5] * dim, indexing="ij")), 1) / n
    size = float(np.linalg.norm(normal))
    distance = (f / 2 - np.abs((phase + rng.uniform()) % 1 - 0.5)) * n / size
    image = _image(distance, 1.0, _width(rng), (1.0,) * dim)
    unit = np.zeros((1, 3))
    unit[0, :dim] = normal / size
    if prop == "conductivity":
        pure = [np.eye(3), k * np.eye(3)]
        material = _conductors(1, k)
    else:
        pure = [
            tensors.isotropic_stiffness(*rng.uniform(0.5, 2, 2)),
            k * tensors.isotropic_stiffness(*rng.uniform(0.5, 2, 2)),
        ]
        material = _elastic(*pure)
    exact = mix("laminate", pure[0][None], pure[1][None], np.array([1 - f]), unit)[0]
    values, vectors = np.linalg.eigh(exact)
    whiten = vectors / np.sqrt(values)

    def known(found: Array) -> Array:
        """1 plus the largest relative difference of the energies."""
        tensor = tensors.from_voigt(found) if len(found) == 6 else found
        return 1 + np.abs(np.linalg.eigvalsh(whiten.T @ (tensor - exact) @ whiten)).max(keepdims=True)

    return Case(number, f"layers, {prop}", image, material, prop, known, np.ones(1), k)


def _fibres(number: int, rng: np.random.Generator) -> Case:
    n, f, plane = int(rng.choice([32, 48, 64, 96])), rng.uniform(0.08, 0.6), str(rng.choice(["strain", "stress"]))
    k = _contrast(rng, 4.0, True)
    matrix, inner = (1.0, float(rng.uniform(0.1, 0.42))), (k, float(rng.uniform(0.05, 0.42)))
    fibre: Any = w if isinstance(w := _word(k), str) else inner
    x = _grid((n, n), (1, 1), rng.uniform(-0.5, 0.5, 2))
    image = _image(math.sqrt(f / math.pi) - np.hypot(*x), 1 / n, _width(rng), (1.0, 1.0))
    exact = np.array(fibres(f, matrix, fibre, plane))

    def known(c: Array) -> Array:
        return np.array([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]])

    return Case(number, "fibres", image, _elastic(matrix, fibre), "stiffness", known, exact, k, {"plane": plane})


def _coated(number: int, rng: np.random.Generator) -> Case:
    """A coated cylinder or sphere in a matrix of its own conductivity, or bulk modulus (Hashin 1962)."""
    dim = 2 if rng.uniform() < 0.6 else 3
    n = int(rng.choice([48, 64, 96] if dim == 2 else [24, 32, 40]))
    share, outer, width = rng.uniform(0.2, 0.6), 0.42, float(rng.choice([1.0, 1.5, 2.0]))
    r = np.linalg.norm(_grid((n,) * dim, (1,) * dim, rng.uniform(-0.5, 0.5, dim)), axis=0)
    inside, both = (0.5 * (1 + np.tanh((a - r) * n / width)) for a in (outer * share ** (1 / dim), outer))
    fields = np.array([inside, np.clip(both - inside, 0, 1), 1 - both])
    image = Image("fields", fields, (1.0,) * dim, ("periodic",) * dim)
    k = _contrast(rng, 4.0, True)
    if rng.uniform() < 0.5:
        beta = 1.0 if math.isinf(k) else (k - 1) / (k + dim - 1)
        exact = (1 + (dim - 1) * share * beta) / (1 - share * beta)
        material = _conductors(k, 1, exact)
        return Case(number, "coated", image, material, "conductivity", _diagonal(dim), np.full(dim, exact), k)
    shell, nu = rng.uniform(0.5, 2, 2), rng.uniform(0.2, 1)
    outer_bulk = shell[0] + (shell[1] / 3 if dim == 2 else 0)
    stiff = shell[1] * (1.0 if dim == 2 else 4 / 3)
    core = (k * 1.0, k * nu) if k < INF else (1.0, nu)
    plane = core[0] + (core[1] / 3 if dim == 2 else 0)
    slope = 0.0 if math.isinf(k) else 1 / (plane - outer_bulk)
    bulk = outer_bulk + share / (slope + (1 - share) / (outer_bulk + stiff))
    shear = rng.uniform(0.3, 1.2) * bulk
    inner: Any = w if isinstance(w := _word(k), str) else tensors.isotropic_stiffness(*core)
    outside = tensors.isotropic_stiffness(bulk - (shear / 3 if dim == 2 else 0), shear)
    material = _elastic(inner, tensors.isotropic_stiffness(*shell), outside)

    def known(c: Array) -> Array:
        return np.array([c[:dim, :dim].sum() / dim**2])

    return Case(number, "coated", image, material, "stiffness", known, np.array([bulk]), k)


def _filtered(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Noise that is as good as white, or correlated over one or two voxels."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(rng.standard_normal(shape), rng.choice([0.1, 0.5, 1.0]), mode="wrap"))


def _noise_in_bulk(number: int, rng: np.random.Generator) -> Case:
    """Phases of one shear modulus in any arrangement: isotropic, and K is Hill's (J. Mech. Phys. Solids 11 (1963) 357)."""
    dim = 2 if rng.uniform() < 0.5 else 3
    n = int(rng.choice([32, 64, 128] if dim == 2 else [12, 16, 24]))
    noise = _filtered((n,) * dim, rng)
    shares = rng.dirichlet(np.full(int(rng.integers(2, 5)), 4.0))
    labels = np.searchsorted(np.quantile(noise, np.cumsum(shares)[:-1]), noise)
    bulk = 10 ** rng.uniform(0, rng.choice([1, 2, 3]), len(shares))
    fractions = np.bincount(labels.ravel(), minlength=len(bulk)) / labels.size
    exact = 1 / (fractions / (bulk + 4 / 3)).sum() - 4 / 3

    def known(c: Array) -> Array:
        return np.array([c[:3, :3].sum() / 9])

    material = _elastic(*(tensors.isotropic_stiffness(k, 1.0) for k in bulk))
    return Case(
        number, "noise in K alone", from_array(labels.reshape((n,) * dim)), material, "stiffness", known, np.array([exact]),
        float(bulk.max() / bulk.min()),
    )  # fmt: skip


def _noise_self_dual(number: int, rng: np.random.Generator) -> Case:
    """Noise whose phases a quarter turn exchanges: the geometric mean along both axes (Keller, J. Math. Phys. 5 (1964) 548)."""
    n, k = int(rng.choice([32, 64, 96])), _contrast(rng, 3.0, False)
    noise = _filtered((n, n), rng)
    turned = [noise]
    for _ in range(3):  # mirrored at the diagonal and moved by half a cell, which twice is not nothing
        turned.append(np.roll(turned[-1].T, n // 2, 0))
    labels = (turned[0] - turned[1] + turned[2] - turned[3] > 0).astype(int)
    return Case(
        number, "noise, self-dual", from_array(labels), _conductors(1, k), "conductivity", _diagonal(2),
        np.full(2, math.sqrt(k)), k,
    )  # fmt: skip


def _voxel_by_voxel(number: int, rng: np.random.Generator) -> Case:
    """Checkerboards and layers along an axis of single voxels."""
    n, k = int(rng.choice([16, 32])), _contrast(rng, 2.5, False)
    i = np.arange(n)
    if rng.uniform() < 0.5:
        labels, exact = np.add.outer(i, i) % 2, np.full(2, math.sqrt(k))
    else:
        every = int(rng.choice([2, 4, 8]))
        labels = np.broadcast_to((i % every == 0)[:, None], (n, n)).astype(int)
        f = 1 / every
        exact = np.array([1 / (1 - f + f / k), 1 - f + f * k])
    return Case(number, "single voxels", from_array(labels), _conductors(1, k), "conductivity", _diagonal(2), exact, k)


def _incompressible(number: int, rng: np.random.Generator) -> Case:
    n, f, k = int(rng.choice([32, 48, 64])), rng.uniform(0.1, 0.5), float(10 ** rng.uniform(-2, 2))
    nu = [0.5 - 10 ** -rng.uniform(1.3, 3.5), float(rng.uniform(0.1, 0.4))]
    if rng.uniform() < 0.5:
        nu.reverse()
    matrix, fibre = (1.0, nu[0]), (k, nu[1])
    x = _grid((n, n), (1, 1), rng.uniform(-0.5, 0.5, 2))
    image = _image(math.sqrt(f / math.pi) - np.hypot(*x), 1 / n, _width(rng), (1.0, 1.0))

    def known(c: Array) -> Array:
        return np.array([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]])

    exact = np.array(fibres(f, matrix, fibre, "strain"))
    return Case(number, "nearly incompressible", image, _elastic(matrix, fibre), "stiffness", known, exact, k)


FAMILIES: list[Callable[[int, np.random.Generator], Case]] = [
    _square_disks, _other_disks, _fibres, _spheres, lambda n, r: _layers(n, r, "stiffness"), _squares, _coated, _fibres,
    lambda n, r: _layers(n, r, "conductivity"), _square_disks, _spheres, _checkerboard, _fibres,
]  # fmt: skip
#: Of the cases from `RESOLVED` on.
UNRESOLVED = [_noise_in_bulk, _noise_self_dual, _incompressible, _noise_in_bulk, _voxel_by_voxel]
RESOLVED, COUNT = 416, 476


def cases(numbers: Iterator[int] | range = range(COUNT)) -> Iterator[Case]:
    for number in numbers:
        families = FAMILIES if number < RESOLVED else UNRESOLVED
        yield families[number // 2 % len(families)](number, np.random.default_rng([20, number]))


# -- the whole battery -------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What was found for a case: relative error, and what was printed as the uncertainty of the voxel size."""

    number: int
    group: str
    prop: str
    sharp: bool
    contrast: float
    finest: bool
    error: float
    estimate: float
    seconds: float

    @property
    def covered(self) -> bool:
        return self.estimate >= self.error or self.error < 1e-6  # which the solver's tolerance covers


def outcome(case: Case) -> Outcome:
    start = time.perf_counter()
    result = case.run(mixing=False)
    shape = case.image.shape
    return Outcome(
        case.number,
        case.group,
        case.prop,
        case.image.kind == "labels",
        case.contrast,
        min(shape) >= (96 if len(shape) == 2 else 40),
        case.error(result.tensor),
        result.evidence.get("discretisation", 0.0),
        time.perf_counter() - start,
    )


def _part(numbers: range) -> list[Outcome]:
    return [outcome(case) for case in cases(numbers)]


def _row(name: str, some: list[Outcome]) -> str:
    cells = [name]
    for half in (0, 1):
        part = [o for o in some if o.number % 2 == half]
        if part:
            share = sum(o.covered for o in part)
            ratio = float(np.median([o.estimate / o.error for o in part if o.error > 1e-6]))
            cells.append(f"{share} of {len(part)}, {100 * share / len(part):.0f} %, {ratio:.1f}")
        else:
            cells.append("")
    cells.append(f"{100 * float(np.median([o.error for o in some])):.2g} %")
    return f"| {' | '.join(cells)} |"


def table(found: list[Outcome]) -> str:
    """The table of the documentation."""
    far = [o for o in found if not 0.1 <= o.contrast <= 10]
    rows = [
        ("all", found),
        ("as fine as voxels, or nearly incompressible", [o for o in found if o.number >= RESOLVED]),
        ("conductivity", [o for o in found if o.prop == "conductivity"]),
        ("stiffness", [o for o in found if o.prop == "stiffness"]),
        ("labels", [o for o in found if o.sharp]),
        ("fields", [o for o in found if not o.sharp]),
        ("contrast above 10", far),
        ("contrast above 10, finest grids", [o for o in far if o.finest]),
        ("voids", [o for o in found if o.contrast == 0]),
        ("rigid phases", [o for o in found if math.isinf(o.contrast)]),
        *((group, [o for o in found if o.group == group]) for group in sorted({o.group for o in found})),
    ]
    missed = [o for o in found if not o.covered]
    lines = [
        "# Does the printed uncertainty cover the truth?",
        "",
        f"{len(found)} media with exact effective properties, drawn at random, each homogenized with the defaults: how often the",
        "printed uncertainty of the voxel size was at least the error, and the median of uncertainty over error. The factors",
        "of the estimate were found on the even cases; the odd ones were kept aside. Made by",
        "`python tests/verification/homogenization_battery.py`, which says what the cases are; tests take a part.",
        "",
        "| cases | made with: covered, ratio | kept aside: covered, ratio | median error |",
        "|---|---|---|---|",
        *(_row(name, some) for name, some in rows if some),
        "",
        "Not covered:",
        "",
        "| case | medium | contrast | error | uncertainty |",
        "|---|---|---|---|---|",
        *(
            f"| {o.number} | {o.group}, {'labels' if o.sharp else 'field'} | {o.contrast:.2g} | {100 * o.error:.2g} % "
            f"| {100 * o.estimate:.2g} % |"
            for o in missed
        ),
        "",
    ]
    return "\n".join(lines)


_RULES = (
    "Conductivity, fields with a tanh profile of 4 voxels, errors in %: root mean square over disks f = 0.2, 0.5, 0.65 at 48^2, "
    "64^2 and 96^2, and over cubic arrays of spheres f = 0.2 to 0.6 at 24^3 and 32^3."
)
#: Contrasts of the table of rules.
CONTRASTS = (0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 10.0, 100.0, 1e3, 1e4, 1e6, INF)


def _errors(contrast: float, dim: int, rule: str) -> float:
    """Root mean square over some arrays of the relative error of the conductivity along x."""
    if dim == 2:
        media = [("", f, n) for f in (0.2, 0.5, 0.65) for n in (48, 64, 96)]
    else:
        media = [("sc", 0.2, 24), ("sc", 0.45, 32), ("bcc", 0.4, 32), ("fcc", 0.6, 32)]
    squares = []
    for kind, fraction, n in media:
        x = _grid((n,) * dim, (1,) * dim, np.full(dim, 0.3))
        if dim == 2:
            distance, exact = math.sqrt(fraction / math.pi) - np.hypot(*x), disks(fraction, contrast)[0]
        else:
            distance, exact = _to_spheres(x, kind, fraction), spheres(kind, fraction, contrast)
        settings = Settings(properties=("conductivity",), voxel=rule, two_grid=False, mixing=False)
        (result,) = homogenize(_image(distance, 1 / n, 2.0, (1.0,) * dim), _conductors(1, contrast), settings)
        squares.append((result.tensor[0, 0] / exact - 1) ** 2)
    return 100 * math.sqrt(float(np.mean(squares)))


def rules() -> str:
    """Errors of sharp voxels, of laminates alone, and of the default, by contrast."""
    from phasefield.homogenize import merging

    kept = merging._LAMINATES
    rows = []
    for k in CONTRASTS:
        cells = ["void" if k == 0 else "rigid" if math.isinf(k) else f"{k:g}"]
        for dim in (2, 3):
            cells.append(f"{_errors(k, dim, 'sharp'):.2f}")
            merging._LAMINATES = 1e30
            slow = dim == 3 and not 1e-4 <= k <= 1e4
            cells.append("" if slow or k in (0, INF) else f"{_errors(k, dim, 'laminate'):.2f}")
            merging._LAMINATES = kept
            cells.append(f"{_errors(k, dim, 'laminate'):.2f}")
        rows.append(f"| {' | '.join(cells)} |")
    head = [
        "| contrast | disks: sharp | laminates alone | default | spheres: sharp | laminates alone | default |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def main() -> None:
    from concurrent.futures import ProcessPoolExecutor

    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "results" / "homogenization_battery.md"
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(_part, [range(i, min(i + 8, COUNT)) for i in range(0, COUNT, 8)]))
    found = [o for part in parts for o in part]
    by_contrast = "\n".join(["## Sharp voxels, laminates and the default", "", _RULES, "", rules()])
    target.write_text(f"{table(found)}\n{by_contrast}")
    print(target.read_text())
    print(f"{sum(o.seconds for o in found):.0f} s")


if __name__ == "__main__":
    main()

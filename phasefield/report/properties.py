"""Pictures of effective properties, from the ``properties.nc`` of a run folder: what the report shows of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Unreadable
from ..store import open_dataset
from ..units import scaled
from .drawing import (
    COLORMAP,
    COLORS,
    Array,
    Panel,
    Picture,
    Strip,
    blank,
    columns_of,
    draw_line,
    draw_strips,
    finish_axes,
    finite_range,
    log_time,
    png_of,
    safe,
    span_of,
    times_of,
    title_of,
    unit_of,
    when_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "directional_modulus",
    "property_facts",
    "property_pictures",
    "property_provenance",
    "series_of",
    "tensors_of",
]

SECTION = "Effective properties"
_FLUXES = ("stress", "heat_flux", "current", "diffusion_flux", "displacement")
_PLANES = (("x", "y"), ("x", "z"), ("y", "z"))
_AXES = ("x", "y", "z")
_COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
#: In-plane components of a sheet, the only ones of its stiffness that are computed.
_SHEET = [0, 1, 5]
#: A direction softer than this part of the stiffest one carries nothing: there is no modulus to draw.
_NOTHING = 1e-9
#: Values that differ by less, relative to the largest, are one.
_CONSTANT = 1e-3


def property_pictures(path: Path) -> tuple[list[Picture], list[tuple[str, str]], list[str]]:
    """Pictures, key figures and warnings of a file of effective properties; nothing where there is none."""
    if not path.is_file():
        return [], [], []
    try:
        with open_dataset(path) as data:
            data.load()
            return _pictures(data)
    except (Unreadable, OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [], [], [f"{path.name} cannot be shown ({reason[:160]}); run phasefield homogenize again."]


def property_provenance(path: Path) -> dict[str, str]:
    """Where a file of effective properties comes from, by what it is called in the report; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        with open_dataset(path) as data:
            return {f"{path.name}: {key}": str(value) for key, value in data.attrs.items() if str(value)}
    except Unreadable:
        return {}  # the pictures say why


def directional_modulus(stiffness: Array, directions: Array) -> Array:
    """Young's modulus ``1 / (nn : S : nn)`` along unit vectors.

    Args:
        stiffness: Voigt form, (6, 6), NaN for what was not computed; of a sheet (only xx, yy, xy) only directions in its plane
            make sense.
        directions: (..., 3).
    """
    x, y, z = np.moveaxis(np.asarray(directions, float), -1, 0)
    n = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=-1)
    n = n[..., _known(stiffness)]
    return np.asarray(1 / np.einsum("...i,ij,...j", n, np.linalg.inv(_block(stiffness)), n))


def _known(tensor: Array) -> list[int]:
    """Numbers of the components that were computed."""
    return [int(k) for k in np.flatnonzero(np.isfinite(np.diag(tensor)))]


def _block(tensor: Array) -> Array:
    """The part of a tensor that was computed."""
    known = _known(tensor)
    return tensor[np.ix_(known, known)]


def _principal(tensor: Array) -> Array:
    """Principal values of the part that was computed, the largest first."""
    block = _block(tensor)
    return np.asarray(np.linalg.eigvalsh((block + block.T) / 2)[::-1])


def _positive(tensor: Array) -> bool:
    values = _principal(tensor)
    return bool(len(values) and values[-1] > _NOTHING * values[0])


def property_facts(path: Path) -> list[tuple[str, str]]:
    """Key figures alone of a file of effective properties, which need no drawing; nothing where there is none.

    Raises:
        Unreadable: a damaged file.
    """
    if not path.is_file():
        return []
    with open_dataset(path) as data:
        return _facts(data, *tensors_of(data))


def tensors_of(data: xr.Dataset) -> tuple[list[str], list[str]]:
    """Names of the stiffnesses and of the other tensors."""
    stiffness = [str(n) for n, v in data.data_vars.items() if v.dims == ("time", "row", "column") and "_" not in str(n)]
    others = [str(n) for n, v in data.data_vars.items() if v.dims == ("time", "i", "j") and f"{n}_iterations" in data]
    return stiffness, others


def _is_sheet(data: xr.Dataset, known: list[int]) -> bool:
    return data.attrs.get("plane") == "stress" and known == _SHEET


def _facts(data: xr.Dataset, stiffness: list[str], tensors: list[str]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name in stiffness:
        values = np.asarray(data[name].values[-1], float)
        factor, unit = _scaled(unit_of(data[name].attrs), values)
        facts += _moduli(data, name, factor, unit)
        known = _known(values)
        if len(known) < len(values) and not _is_sheet(data, known):
            # What is held along the other axes hides Young's modulus.
            listed = ", ".join(_COMPONENTS[k] for k in known)
            facts.append(("Young's modulus", f"not known, of the stiffness only {listed} were computed"))
        elif not _positive(values):
            facts.append(("Young's modulus", "zero in some direction"))
    for name in tensors:
        values = np.asarray(data[name].values[-1], float)
        factor, unit = _scaled(unit_of(data[name].attrs), values)
        if not (known := _known(values)):
            continue
        among = f" among {', '.join(_AXES[k] for k in known)}" if len(known) < len(values) else ""
        principal = "  ".join(f"{v:.4g}" for v in _principal(values) / factor)
        facts.append((f"Principal {_spelled(name)}{among}", f"{principal} {unit}".strip()))
    return facts


def _pictures(data: xr.Dataset) -> tuple[list[Picture], list[tuple[str, str]], list[str]]:
    pictures: list[Picture] = []
    when = _when(data)
    material = str(data.attrs.get("material", ""))
    of = "".join((f" of {material}" if material else "", f" at {when}" if when else ""))
    stiffness, tensors = tensors_of(data)
    for name in stiffness:
        values = np.asarray(data[name].values[-1], float)
        factor, unit = _scaled(unit_of(data[name].attrs), values)
        known = _known(values)
        sheet = _is_sheet(data, known)
        if (len(known) == len(values) or sheet) and _positive(values):
            axes = "" if sheet else "over all directions, and "
            caption = (
                f"Young's modulus{of}: {axes}in the planes of the axes, 0° along the first one. A circle is isotropic."
            )
            pictures.append(
                Picture(f"{name}_directions", SECTION, caption, png_of(_modulus(values / factor, unit, sheet)))
            )
    drawn = []
    for name in tensors:
        values = np.asarray(data[name].values[-1], float)
        factor, unit = _scaled(unit_of(data[name].attrs), values)
        if len(_known(values)) > 1 and _positive(values):
            drawn.append((name, values / factor, unit))
    if drawn:
        names = ", ".join(_spelled(name) for name, _, _ in drawn)
        where = "in the planes of the axes, 0° along the first one"
        caption = f"{names[0].upper()}{names[1:]}{of} along the direction n, n·T·n, {where}."
        pictures.append(Picture("tensor_directions", SECTION, caption, png_of(_sections(drawn))))
    if data.sizes["time"] > 1:
        curves = [*filter(None, (_curve(data, name) for name in (*stiffness, *tensors)))]
        if curves:
            caption = "Effective properties over time."
            pictures.append(Picture("properties_time", SECTION, caption, png_of(_curves(data, curves))))
    for name in (*stiffness, *tensors):
        pictures += _local(data, name)
    return pictures, _facts(data, stiffness, tensors), _warnings(data, [*stiffness, *tensors])


def _warnings(data: xr.Dataset, names: list[str]) -> list[str]:
    found = [w for w in str(data.attrs.get("notes", "")).split("\n") if w]
    found += [w for n in names for w in str(data[n].attrs.get("warnings", "")).split("\n") if w]
    return [f"Effective properties: {w}." for w in dict.fromkeys(found)]


def _when(data: xr.Dataset) -> str:
    if "time" not in data.coords:  # an image
        return ""
    last = float(times_of(data)[-1])
    return when_of(last, data) if np.isfinite(last) else ""


def _spelled(name: str) -> str:
    return name.replace("_", " ")


def _scaled(unit: str, values: Array) -> tuple[float, str]:
    """What values are divided by to be shown, and their unit then."""
    return (1e-6, "10⁻⁶/K") if unit == "1/K" else scaled(unit, values)


def _moduli(data: xr.Dataset, name: str, factor: float, unit: str) -> list[tuple[str, str]]:
    labels = {"K": "Bulk modulus", "G": "Shear modulus", "E": "Young's modulus", "nu": "Poisson's ratio"}
    out = []
    for key, label in labels.items():
        if f"{name}_{key}" in data:
            value = float(data[f"{name}_{key}"].values[-1])
            text = f"{value:.4g}" if key == "nu" else f"{value / factor:.5g} {unit}".strip()
            out.append((f"{label}, nearest isotropic", text))
    return out


# -- directions --------------------------------------------------------------------------------------------------------


def _circle(plane: tuple[str, str], angle: Array) -> Array:
    out = np.zeros((len(angle), 3))
    out[:, _AXES.index(plane[0])], out[:, _AXES.index(plane[1])] = np.cos(angle), np.sin(angle)
    return out


def _polar(axes: Any, curves: list[tuple[str, Array]], angle: Array, title: str) -> None:
    """Closed curves around a centre of value 0, so that a circle stays one."""
    styles = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
    for i, (label, radius) in enumerate(curves):
        axes.plot(angle, radius, color=COLORS[i], linestyle=styles[i], label=label)
    axes.set_rlim(0, 1.1 * max(float(radius.max()) for _, radius in curves))
    axes.set_rlabel_position(68)
    axes.set_thetagrids(range(0, 360, 45))
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.spines["polar"].set_color("#bbbbbb")
    axes.tick_params(labelsize=9, pad=1)
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.set_title(safe(title), pad=12)
    if len(curves) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(curves), handlelength=2.4)


def _modulus(stiffness: Array, unit: str, sheet: bool) -> Figure:
    angle = np.linspace(0, 2 * np.pi, 361)
    label = f"Young's modulus ({unit})" if unit else "Young's modulus"
    planes = _PLANES[:1] if sheet else _PLANES
    sections = [(f"{a}{b} plane", directional_modulus(stiffness, _circle((a, b), angle))) for a, b in planes]
    if sheet:
        figure = blank(5.0, 4.6)
        _polar(
            figure.add_axes((0.12, 0.1, 0.76, 0.76), projection="polar"), sections, angle, f"{label}, {sections[0][0]}"
        )
        return figure
    figure = blank(11.0, 4.9)
    _surface(figure, stiffness, label)
    _polar(figure.add_axes((0.62, 0.17, 0.34, 0.68), projection="polar"), sections, angle, label)
    return figure


def _surface(figure: Figure, stiffness: Array, label: str) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LightSource, Normalize

    theta, phi = np.meshgrid(np.linspace(0, np.pi, 61), np.linspace(2 * np.pi, 0, 121), indexing="ij")
    n = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    modulus = directional_modulus(stiffness, n)
    points = modulus[..., None] * n
    axes: Any = figure.add_axes((0.0, 0.0, 0.47, 1.0), projection="3d")
    low, high = finite_range([modulus])
    if high - low < _CONSTANT * high:  # isotropic to the eye: no colours out of rounding
        low, high = 0.95 * low, 1.05 * high
    scale = Normalize(low, high)
    colors = colormaps[COLORMAP](scale(modulus))
    axes.plot_surface(
        *np.moveaxis(points, -1, 0), facecolors=colors, rstride=1, cstride=1, lightsource=LightSource(170, 45),
        linewidth=0, antialiased=False,
    )  # fmt: skip
    reach = 1.02 * float(modulus.max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.25)
    axes.set_axis_off()
    axes.view_init(24, -52)
    # The axes as three arrows from the surface outwards: ticks of the box would hide the shape.
    for k, axis in enumerate(_AXES):
        start = float(modulus_along(stiffness, k))
        ends = np.zeros((2, 3))
        ends[:, k] = start, reach * 1.25
        axes.plot(*ends.T, color="#444444", linewidth=1.2, zorder=10)
        axes.text(*(ends[1] * 1.08), axis, ha="center", va="center", zorder=11)
    bar = figure.colorbar(ScalarMappable(scale, COLORMAP), cax=figure.add_axes((0.45, 0.22, 0.014, 0.56)))
    bar.set_label(safe(label))


def modulus_along(stiffness: Array, axis: int) -> float:
    """Young's modulus along one of the axes."""
    return float(directional_modulus(stiffness, np.eye(3)[axis]))


def _sections(drawn: list[tuple[str, Array, str]]) -> Figure:
    angle = np.linspace(0, 2 * np.pi, 361)
    wide = 4.6
    figure = blank(wide * len(drawn), 4.9)
    for i, (name, tensor, unit) in enumerate(drawn):
        axes = figure.add_axes(((i + 0.12) / len(drawn), 0.17, 0.76 / len(drawn), 0.68), projection="polar")
        curves = []
        known = _known(tensor)
        for plane in _PLANES:
            if all(_AXES.index(axis) in known for axis in plane):
                n = _circle(plane, angle)[:, known]
                curves.append((f"{''.join(plane)} plane", np.einsum("ai,ij,aj->a", n, _block(tensor), n)))
        title = f"{_spelled(name)} ({unit})" if unit else _spelled(name)
        _polar(axes, curves, angle, f"{title}, {curves[0][0]}" if len(curves) == 1 else title)
    return figure


# -- time --------------------------------------------------------------------------------------------------------------


def series_of(data: xr.Dataset, name: str) -> tuple[str, list[tuple[str, Array]]]:
    """A property over time: moduli of the nearest isotropic stiffness, or the diagonal of another tensor.

    Returns:
        The label of the axis, and curves by their names; none where nothing was computed.
    """
    series: list[tuple[str, Array]] = []
    if data[name].dims[1:] == ("i", "j"):
        values = np.asarray(data[name].values, float)
        series = [(f"{a}{a}", values[:, k, k]) for k, a in enumerate(_AXES)]
    else:
        moduli = ("K", "G", "E")
        series = [(key, columns_of(data[f"{name}_{key}"])[:, 0]) for key in moduli if f"{name}_{key}" in data]
        if not series:  # a sheet has no bulk modulus: its components
            stack = np.asarray(data[name].values, float)
            series = [(f"C{a + 1}{a + 1}", stack[:, a, a]) for a in range(stack.shape[-1])]
    series = [(key, values) for key, values in series if np.isfinite(values).any()]
    if not series:
        return _spelled(name), []
    factor, unit = _scaled(unit_of(data[name].attrs), np.concatenate([v for _, v in series]))
    label = _spelled(name)
    return f"{label} ({unit})" if unit else label, [(key, values / factor) for key, values in series]


def _curve(data: xr.Dataset, name: str) -> Callable[[Axes], None] | None:
    """One panel of `series_of`; none where nothing was computed."""
    label, series = series_of(data, name)
    if not series:
        return None

    def draw(axes: Axes) -> None:
        times, styles = times_of(data), ("-", (0, (5, 2)), (0, (1.5, 1.5)))
        for i, (key, values) in enumerate(series):
            draw_line(axes, times, values, key, color=COLORS[i], linestyle=styles[i % len(styles)])
        log_time(axes, [times])
        stack = np.concatenate([v for _, v in series])
        low, high = float(np.nanmin(stack)), float(np.nanmax(stack))
        largest = max(abs(low), abs(high))
        if high - low < _CONSTANT * largest:  # constant to the eye: no axis of what the solver leaves
            axes.set_ylim(low - 0.05 * largest, high + 0.05 * largest)
        axes.set_ylabel(safe(label))
        axes.legend()

    return draw


def _curves(data: xr.Dataset, draw: list[Callable[[Axes], None]]) -> Figure:
    columns = min(len(draw), 3)
    rows = -(-len(draw) // columns)
    figure = blank(4.4 * columns if columns > 1 else 6.4, 3.6 * rows, "constrained")
    for i, function in enumerate(draw):
        axes = figure.add_subplot(rows, columns, i + 1)
        function(axes)
        axes.set_xlabel(safe(title_of(data["time"], "time")))
        finish_axes(axes)
    return figure


# -- local fields ------------------------------------------------------------------------------------------------------


def _local(data: xr.Dataset, name: str) -> list[Picture]:
    """Local stress as von Mises' measure, or the length of the flux, for loads along the axes and in shear."""
    key = next((f"{name}_{flux}" for flux in _FLUXES if f"{name}_{flux}" in data), None)
    if key is None:
        return []
    array = data[key]
    load, component = (str(d) for d in array.dims if d not in _AXES)
    space = [d for d in _AXES if d in array.dims]
    array = array.transpose(load, component, *space)
    elastic = array.sizes[component] == 6
    loads = [str(n) for n in data[load].values]
    varying = [d for d in space if array.sizes[d] > 1]
    if len(varying) < 2:
        return []
    where = ""
    if len(space) == 3:
        across = min(reversed(space), key=lambda d: array.sizes[d])  # z of a cube
        array = array.isel({across: array.sizes[across] // 2})
        where = f" in the mid-plane normal to {across}" if across in varying else ""
        space.remove(across)
    a, b = space
    wanted = [k for k, n in enumerate(loads) if (n in (a + a, b + b, a + b) if elastic else n in varying)]
    images = []
    for k in wanted:
        values = np.asarray(array.isel({load: k}).values, float)
        images.append(_mises(values) if elastic else np.sqrt((values**2).sum(axis=0)))
    factor, unit = _scaled(unit_of(data[name].attrs), np.array([float(np.abs(i).max()) for i in images]))
    panels = []
    for k, image in zip(wanted, images, strict=True):
        title = f"unit {'strain' if elastic else 'gradient'} {loads[k]}"
        # Of its own: shear and tension differ by more than the phases do under either.
        low, high = _local_range(image / factor)
        shown = np.clip(image / factor, low, high)
        panels.append(Panel(shown, span_of(data[key], a), span_of(data[key], b), title, (low, high)))
    what = "von Mises stress" if elastic else _spelled(key.removeprefix(f"{name}_"))
    label = f"{what} ({unit})" if unit else what
    caption = (
        f"{what[0].upper()}{what[1:]}{where} under unit loads, each on a colour scale of its own; the last snapshot."
    )
    figure = draw_strips([Strip(panels, label, None, True)], cap=3.6)
    return [Picture(f"{name}_local", SECTION, caption, png_of(figure))]


def _local_range(image: Array) -> tuple[float, float]:
    """The range of colours: up to where all but one voxel in a thousand are, for a few corners carry singular values."""
    low, high = finite_range([np.minimum(image, np.percentile(image, 99.9))])
    if high - low < _CONSTANT * high:  # uniform to the eye: no colours out of what the solver leaves
        return 0.95 * low, 1.05 * high
    return low, high


def _mises(stress: Array) -> Array:
    xx, yy, zz, yz, xz, xy = stress
    normal = ((xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2) / 2
    return np.asarray(np.sqrt(normal + 3 * (yz**2 + xz**2 + xy**2)))

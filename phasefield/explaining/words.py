"""An explanation in words: sections of lines, printed as text or as HTML."""

from __future__ import annotations

import html as markup
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..models.resolution import CELLS, WAVES
from ..models.theory import Interface, Phases
from .explanation import Explanation

#: Columns of the text where nothing says how many there are, and those before what is said.
WIDTH, _INDENT = 110, 22


@dataclass
class Section:
    """A heading with lines, each a name and what is said of it."""

    title: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, said: str) -> None:
        self.lines.append((name, said))


def text(e: Explanation, width: int = WIDTH) -> str:
    """As `phasefield explain` prints it, in ``width`` columns but for formulas."""
    out: list[str] = []
    for section in sections(e):
        title = textwrap.fill(section.title, width, subsequent_indent="  ")
        out.append(f"\n{title}" if out else title)
        for name, said in section.lines:
            room = " " * (_INDENT + 2)
            head = f"  {name:<{_INDENT}}" if len(name) < _INDENT else f"  {name}\n{room}"
            # Formulas are not broken: they are copied from here.
            broken = [said] if " = " in said and name in _FORMULAS else textwrap.wrap(said, width - len(room))
            out.append((head + f"\n{room}".join(broken)).rstrip())
    return "\n".join(out)


def html(e: Explanation) -> str:
    """As a notebook shows it; everything that comes from the configuration is escaped, and nothing is loaded."""
    out = ['<div style="font-size:0.92em">']
    for section in sections(e):
        rows = "".join(
            '<tr><th style="text-align:left;vertical-align:top;font-weight:500;white-space:nowrap">'
            f'{markup.escape(name)}</th><td style="text-align:left">{_cell(name, said)}</td></tr>'
            for name, said in section.lines
        )
        out.append(f'<details open><summary style="font-weight:600">{markup.escape(section.title)}</summary>')
        out.append(f"<table>{rows}</table></details>")
    return "\n".join([*out, "</div>"])


#: Lines that hold formulas.
_FORMULAS = ("energy", "motion", "potential")


def _cell(name: str, said: str) -> str:
    return f"<code>{markup.escape(said)}</code>" if name in _FORMULAS else markup.escape(said)


def sections(e: Explanation) -> Iterator[Section]:
    """What is said, in order; a section without lines is left out."""
    made = (_model, _fields, _phases, _interfaces, _start, _grid, _time, _cost, _outputs, _warnings)
    yield from (section for make in made if (section := make(e)).lines)


def _model(e: Explanation) -> Section:
    found = Section(f"{e.model}: {e.description}" if e.description else e.model)
    found.add("energy", f"f = {e.energy}")
    if e.parameters:
        found.add(
            "parameters", ", ".join(f"{n} = {v if isinstance(v, str) else f'{v:g}'}" for n, v in e.parameters.items())
        )
    for equation in e.theory.equations:
        found.add("motion", equation.rate)
        found.add("potential", equation.potential)
        if equation.alike:
            shown = ", ".join(equation.alike[:4]) + (", ..." if len(equation.alike) > 4 else "")
            found.add("", f"and alike for {shown}")
    forced = ", less the force" if any(equation.forced for equation in e.theory.equations) else ""
    found.add(
        "",
        f"lap is the Laplacian; the potential mu is the variational derivative of F = int f + gradient terms dV{forced}",
    )
    return found


def _fields(e: Explanation) -> Section:
    found = Section("Fields")
    for f in e.fields:
        what = " ".join(filter(None, (f.description, f"({f.units})" if f.units else "")))
        kind = {"conserved": "conserved (Cahn-Hilliard)", "nonconserved": "nonconserved (Allen-Cahn)"}.get(
            f.kinetics, f.kinetics
        )
        kappas = f.anisotropy or (
            f"{f.kappas[0]:g}" if len(f.kappas) == 1 else f"[{', '.join(f'{k:g}' for k in f.kappas)}] along the axes"
        )
        parts = [what, kind, f"M_{f.name} = {f.law or format(f.mobility, 'g')}", f"kappa_{f.name} = {kappas}"]
        parts.insert(1, f"{f.components} components" if f.components is not None else "")
        parts += [
            f"thermal noise, kT = {f.noise}" if f.noise else "",
            f"nuclei: {f.nucleation}" if f.nucleation else "",
        ]
        found.add(f.name, "; ".join(filter(None, parts)))
        if f.directions:
            found.add("", f.directions)
        found.add("", f"starts as {f.initial}")
        if f.walls:
            found.add("", f"walls hold {f.walls}{f'; {f.supply}' if f.supply else ''}")
    return found


def _phases(e: Explanation) -> Section:
    found = Section("Phases")
    for p in e.theory.phases:
        gap = p.high - p.low
        ends = f"{_near(p.low, gap)} and {_near(p.high, gap)}"
        if p.conserved:
            found.add("binodal", f"{p.field} = {ends}, the phases that share a tangent of f")
        else:
            found.add("wells", f"{p.field} = {ends}, {_depths(p)}")
        found.add("spinodal" if p.conserved else "unstable range", _spinodal(p))
        found.add("mean of the start", _standing(p))
    _say_missing(e, found, "phases", "spinodal")
    return found


def _depths(p: Phases) -> str:
    low, high = p.energies
    if p.level:
        return "minima of f, equally deep"
    deeper = _near(p.low if low < high else p.high, p.high - p.low)
    return f"minima of f; the one at {deeper} is deeper by {abs(high - low):.6g} (energy density)"


def _spinodal(p: Phases) -> str:
    gap = p.high - p.low
    shown = " and ".join(f"{_near(low, gap)} < {p.field} < {_near(high, gap)}" for low, high in p.unstable)
    return f"{shown}, where f'' < 0" if shown else "none: f'' is not negative between them"


def _standing(p: Phases) -> str:
    where = {
        ("unstable", True): "inside the spinodal: unstable, fluctuations grow at once",
        ("metastable", True): "between binodal and spinodal: metastable, it decomposes by nuclei alone",
        ("stable", True): "outside the binodal: a homogeneous state of this mean is stable",
        ("unstable", False): "in the unstable range: fluctuations grow at once",
        ("metastable", False): "in the basin of the less deep well: metastable",
        ("stable", False): f"in the basin of {'one of the wells' if p.level else 'the deeper well'}: stable",
    }[p.standing, p.conserved]
    gap, share = p.high - p.low, ""
    if p.fraction is not None:
        share = f"; in equilibrium {p.fraction:.4g} of the volume is {_near(p.high, gap)} (lever rule)"
    return f"{_near(p.mean, gap)}, {where}{share}"


def _near(value: float, gap: float) -> str:
    """A value of a field, with as many digits as tell apart what differs by parts of ``gap``, and 0 for round-off of it.

    What is smaller still is none: a phase that a logarithm keeps from 0.
    """
    if 1e-24 * gap < abs(value) < 1e-12 * gap or value == 0:
        return "0"
    more = math.ceil(math.log10(abs(value) / gap)) if 0 < gap < abs(value) else 0
    return f"{value:.{min(6 + more, 16)}g}"


def _interfaces(e: Explanation) -> Section:
    found = Section("Interfaces")
    unit = e.grid.length_unit()
    for i in e.theory.interfaces:
        changed = [n for n in i.start if n in i.widths]
        scale = {n: abs(i.end[n] - i.start[n]) for n in changed}
        pairs = ", ".join(f"{n} {_near(i.start[n], scale[n])} to {_near(i.end[n], scale[n])}" for n in changed)
        found.add("between", pairs)
        found.add("energy sigma", _sigma(i, unit))
        for name in changed:
            found.add(f"width of {name}" if len(i.start) > 1 else "width", _width(e, i, name))
        if i.stretch != 1:
            found.add("", f"in the direction of the least kappa; up to {i.stretch:.4g} times as much in others")
    _nucleus(e, found)
    _say_missing(e, found, "interfaces", "nucleus")
    return found


def _sigma(i: Interface, unit: str) -> str:
    if i.energy is None:
        return "not known: the phases on its sides are not in equilibrium along a straight path between them"
    known = f"{i.energy:.6g} energy density x {unit}"
    if i.bound:
        known = f"at most {known}: the integral along the straight path, of which sigma is the least over all paths"
    else:
        known += ", int sqrt(2 kappa (f - tangent)) du"
    return known + (f"; driven by a difference of f of {abs(i.driven):.4g}, levelled out here" if i.driven else "")


def _width(e: Explanation, i: Interface, name: str) -> str:
    spacing = max(a.spacing for a in e.grid.axes)
    cells = i.widths[name] / spacing
    verdict = f", below the {CELLS:g} that it needs" if cells < CELLS else ""
    return f"{i.widths[name]:.4g}{_unit(e)} from 5 to 95 %, {cells:.3g} cells{verdict}"


def _nucleus(e: Explanation, found: Section) -> None:
    n = e.theory.nucleus
    if n is None:
        return
    width = min(w for i in e.theory.interfaces for w in i.widths.values())
    gap = abs(n.phase - n.matrix)
    by = "the parallel tangent" if e.theory.phases[0].conserved else "the wells"
    trust = ""
    if n.radius < width:
        trust = "; it is smaller than the interface is wide, so that it is diffuse: no more than an order of magnitude"
    found.add(
        "critical radius",
        f"{n.radius:.4g}{_unit(e)} of a nucleus of {_near(n.phase, gap)} in {_near(n.matrix, gap)}, by the "
        f"sharp-interface estimate (d - 1) sigma/|dF| with d = {e.grid.dim} and |dF| = {n.driving:.6g} from {by}{trust}",
    )


def _start(e: Explanation) -> Section:
    found = Section("Growth of fluctuations about the mean of the start")
    r = e.resolution
    if r is None:
        found.add("", "not known: the energy cannot be followed there")
    elif r.rate is None:
        found.add("", f"none: {r.still}")
    else:
        if r.wavelength is not None:
            few = f", below the {WAVES:g} that it takes" if (r.waves or 0) < WAVES else ""
            found.add(
                "fastest wavelength",
                f"{r.wavelength:.4g}{_unit(e)}, {r.wavelength / r.spacing:.3g} cells; "
                f"the domain holds {r.waves:.3g} of them{few}",
            )
        else:
            found.add("fastest wavelength", "none: the mean itself grows fastest")
        found.add("growth time", f"{1 / r.rate:.4g}{_time_unit(e)} for a factor e in amplitude (linear theory)")
        if r.cutoff is not None:
            found.add("shortest unstable", f"{r.cutoff:.4g}{_unit(e)}; shorter waves decay")
    return found


def _grid(e: Explanation) -> Section:
    g, found = e.grid, Section("Grid")
    found.add(
        "cells",
        f"{' x '.join(map(str, g.shape))} = {g.cells}, of {' x '.join(f'{a.spacing:.4g}' for a in g.axes)}{_unit(e)}",
    )
    found.add("domain", f"{' x '.join(f'{v:.6g}' for v in g.lengths)}{_unit(e)}")
    if e.seen != g.shape:
        found.add("", f"the start was looked at on {' x '.join(map(str, e.seen))} cells of the same domain")
    found.add("boundary", ", ".join(f"{x} {b}" for x, b in zip(g.names, g.boundary, strict=True)))
    return found


def _time(e: Explanation) -> Section:
    t, found = e.stepping, Section("Time stepping")
    found.add("scheme", f"{t.scheme}, order {t.order}" + (f" ({t.reference})" if t.reference else ""))
    kind = f"adaptive, tolerance {t.tolerance:g}" if t.adaptive else f"fixed, dt = {t.dt:g}{_time_unit(e)}"
    found.add("steps", f"{kind}; to time {t.end:g}{_time_unit(e)}")
    if t.steps is not None:
        found.add("number of steps", str(t.steps))
    else:
        bounds = [f"at least {t.least} by time.dt_max"] * (t.least > 0)
        bounds += [f"at most {t.most} by time.max_steps"] * (t.most is not None)
        found.add("number of steps", "; ".join(["not known beforehand: the error of each decides", *bounds]))
    for name, value in (e.cost.stabilizers or {}).items():
        who = (
            f"set by model.fields.{name}.stabilizer"
            if name in e.cost.chosen
            else "from the largest f'' of the states that the run visits"
        )
        found.add(
            "stabiliser" if len(e.fields) == 1 else f"stabiliser of {name}", f"S = {value:.6g} (energy density), {who}"
        )
    return found


def _cost(e: Explanation) -> Section:
    c, found = e.cost, Section("Cost")
    found.add("device", f"{c.device}, {c.precision} precision")
    if c.need is not None:
        have = f"; {_bytes(c.free)} are free" if c.free is not None else ""
        found.add(
            "memory", f"{_bytes(c.need)} beyond the program's own ({c.need / e.grid.cells:.0f} bytes a cell){have}"
        )
        if c.host_free is not None:
            found.add("memory of the host", f"{_bytes(c.host_need)} besides; {_bytes(c.host_free)} are free")
    if c.step is not None:
        found.add("a step", f"{_duration(c.step)}, the median of {c.measured} steps of a copy of the run")
        found.add("the whole run", _whole(e, c.step))
    if c.why:
        found.add("not known", c.why)
    return found


def _whole(e: Explanation, step: float) -> str:
    t = e.stepping
    if t.steps is not None:
        return f"about {_duration(step * t.steps)}: {t.steps} steps at that pace; building and output come on top"
    parts = [
        f"not known beforehand, as the number of steps is not; 1000 steps take {_duration(1000 * step)} at that pace"
    ]
    if t.least:
        parts.append(f"at least {_duration(step * t.least)}")
    if t.most is not None:
        parts.append(f"at most {_duration(step * t.most)}")
    return "; ".join(parts)


def _outputs(e: Explanation) -> Section:
    found = Section("Files")
    for o in e.outputs:
        size = "" if o.size is None else f", {_bytes(o.size)} each" if o.records != 1 else f", {_bytes(o.size)}"
        count = "" if o.records in (None, 1) else f"{o.records} "
        unknown = ", their number is not known beforehand" if o.records is None else ""
        total = f", {_bytes(o.size * o.records)} in all" if o.size is not None and o.records not in (None, 1) else ""
        found.add(o.name, f"{count}{o.what}{size}{total}{unknown}")
    return found


def _warnings(e: Explanation) -> Section:
    return Section("Warnings", [("", warning) for warning in e.warnings])


def _say_missing(e: Explanation, found: Section, *subjects: str) -> None:
    said: dict[str, str] = {}
    for subject in subjects:
        if subject in e.theory.missing:
            why = e.theory.missing[subject]
            said[why] = f"{said[why]}, {subject}" if why in said else subject
    for why, names in said.items():
        found.add(names.replace("nucleus", "critical radius"), f"none: {why}")


def _unit(e: Explanation) -> str:
    return "" if e.grid.units == "1" else f" {e.grid.units}"


def _time_unit(e: Explanation) -> str:
    return f" {e.time_unit}" if e.time_unit else ""


def _bytes(count: float | None) -> str:
    if count is None:
        return "?"
    power = 0 if count < 1024 else min(4, int(math.log(count, 1024)))
    return f"{count / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-3:.3g} ms"  # a micro sign is not in every terminal

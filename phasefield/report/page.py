"""The page: key figures, formula, pictures, provenance and log in one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .curves import family, observables_of
from .drawing import Picture, blank, columns_of, is_math, png_of, span_of, times_of, unit_of
from .reading import Field

if TYPE_CHECKING:
    import xarray as xr

LOG_LINES = 40  # lines of run.log shown in the report


def _number(value: float, unit: str = "", digits: int = 6) -> str:
    return f"{value:.{digits}g}".replace("-", "−") + (f" {unit}" if unit else "")


def key_figures(data: xr.Dataset, history: xr.Dataset, fields: list[Field]) -> list[tuple[str, str]]:
    names = [field.name for field in fields]
    present = observables_of(history)
    times, t = times_of(data), times_of(history)
    unit = unit_of(history["time"].attrs) or unit_of(data["time"].attrs)
    grid = " × ".join(str(fields[0].data.sizes[d]) for d in fields[0].space)
    size = " × ".join(f"{s.high - s.low:.4g}" for s in (span_of(fields[0].data, d) for d in fields[0].space))
    length = span_of(fields[0].data, "x").label[3:-1] if "x" in fields[0].space else ""
    facts = [("Grid", grid), ("Domain", f"{size} {length}".strip())]
    facts.append(("Time", _number(float(t[-1]) if t.size else float(times[-1]), unit)))
    if "step" in present:
        facts.append(("Steps", f"{int(columns_of(history['step'])[-1, 0]):d}"))
    facts.append(("Snapshots", str(times.size)))
    if "free_energy" in present:
        energy = columns_of(history["free_energy"])[:, 0]
        e_unit = unit_of(history["free_energy"].attrs)
        change = float(energy[-1]) - float(energy[0])
        relative = f" ({_number(100 * change / abs(energy[0]), digits=3)} %)" if energy[0] else ""
        facts.append(("Free energy", _number(float(energy[-1]), e_unit, 8)))
        facts.append(("Energy change", _number(change, e_unit, 4) + relative))
    for name, values in family(history, "mean", names):
        change_each = values[-1] - values[0]
        worst = float(change_each[np.abs(change_each).argmax()])
        most = ", largest of all components" if values.shape[1] > 1 else ""
        facts.append((f"Change of mean {name}{most}", _number(worst, unit_of(history[f"mean_{name}"].attrs), 3)))
    for name, values in family(history, "nuclei", names):
        facts.append((f"Nuclei of {name}", f"{values[-1, 0]:.0f}"))
    for name, values in family(history, "characteristic_length", names):
        finite = values[-1][np.isfinite(values[-1])]
        if not finite.size:
            facts.append((f"Characteristic length of {name}", "none, the field is uniform"))
            continue
        if values.shape[1] == 1:
            text = _number(float(finite[0]), digits=4)
        else:
            text = f"{_number(float(finite.min()), digits=4)} … {_number(float(finite.max()), digits=4)}"
        length_unit = unit_of(history[f"characteristic_length_{name}"].attrs)
        facts.append((f"Characteristic length of {name}", f"{text} {length_unit}".strip()))
    return facts


def formula_picture(latex: str) -> bytes | None:
    """The formula as a picture, or None where matplotlib cannot set it."""
    source = latex.strip().strip("$").strip()
    source = re.sub(r"\\[td]?frac(?![a-zA-Z])", r"\\dfrac", source)
    # Spellings of LaTeX that matplotlib's mathtext knows by another name.
    for old, new in ((r"\lvert", r"\vert "), (r"\rvert", r"\vert "), (r"\!", "")):
        source = source.replace(old, new)
    source = _plain_brackets(" ".join(source.split()))
    if not source or "$" in source or not is_math(f"${source}$"):
        return None
    figure = blank(0.1, 0.1)
    figure.text(0, 0, f"${source}$", fontsize=15, math_fontfamily="cm")
    return png_of(figure)


def _plain_brackets(source: str) -> str:
    r"""A formula without ``\left`` and ``\right`` about what is one line high, where mathtext draws brackets too small."""
    flat = re.compile(r"\\left\(((?:(?!\\left|\\right|frac|\\sum|\\int|\\sqrt).)*)\\right\)")
    while (changed := flat.sub(r"(\1)", source)) != source:
        source = changed
    return source


def _tail(path: Path, lines: int) -> str | None:
    """The last lines of a text file without terminal colours, or None where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    return "\n".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()[-lines:])


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
:root{--ink:#1d2429;--dim:#5c6770;--line:#dfe4e8;--soft:#f6f8f9}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:2.5rem 1.5rem 4rem;color:var(--ink);background:#fff;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{margin:0;font-size:1.9rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:2.8rem 0 1rem;padding-bottom:.3rem;font-size:1.25rem;border-bottom:1px solid var(--line)}
.sub{margin:.4rem 0 0;color:var(--dim)}
.formula{margin:1.5rem 0;overflow-x:auto}
.formula img{display:block;max-width:none}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:1px;margin:1.5rem 0 0;
border:1px solid var(--line);border-radius:6px;overflow:hidden}
.facts div{padding:.7rem .9rem;background:#fff;box-shadow:0 0 0 1px var(--line)}
.facts dt{color:var(--dim);font-size:.82rem}
.facts dd{margin:0;font-size:1.08rem;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.warn{margin:1.5rem 0;padding:.7rem 1rem;border-left:4px solid #d55e00;background:#fdf3ec}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:1.5rem 2rem;align-items:start}
figure{margin:0 0 1.2rem}
figure.wide{grid-column:1/-1}
figure img{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{margin-top:.5rem;color:var(--dim);font-size:.9rem}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th,td{padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
overflow-wrap:anywhere}
th{width:13rem;font-weight:500;color:var(--dim)}
details{margin:1rem 0}
summary{cursor:pointer;font-weight:600}
pre{margin:.6rem 0 0;padding:1rem;max-height:36rem;overflow:auto;background:var(--soft);border:1px solid var(--line);
border-radius:6px;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media print{body{padding:0;max-width:none}figure,.facts{break-inside:avoid}pre{max-height:none}}
"""


def page_of(
    folder: Path,
    attrs: Mapping[Any, Any],
    formula: bytes | None,
    facts: list[tuple[str, str]],
    warnings: list[str],
    figures: list[Picture],
) -> str:
    def esc(value: object) -> str:
        return html.escape(str(value))

    def image(png: bytes, alt: str, scale: float) -> str:
        # Width of a PNG: bytes 16 to 20 of its header. A nominal width keeps the type at one size across pictures.
        width = round(int.from_bytes(png[16:20], "big") * scale)
        return f'<img width="{width}" alt="{esc(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

    title = str(attrs.get("title") or folder.resolve().name)
    sub = " · ".join(str(attrs[key]) for key in ("source", "date_created", "device", "precision") if attrs.get(key))
    out = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Even a page built from a hostile run folder may load nothing and run nothing.
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{esc(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<header>\n<h1>{esc(title)}</h1>",
        f'<p class="sub">{esc(sub)}</p>\n</header>' if sub else "</header>",
    ]
    if formula:
        out.append(f'<div class="formula">{image(formula, str(attrs["model_formula"]), 0.62)}</div>')
    elif attrs.get("model_formula"):
        out.append(f'<div class="formula"><code>{esc(attrs["model_formula"])}</code></div>')
    out += [f'<p class="warn">{esc(warning)}</p>' for warning in warnings]
    cells = "\n".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in facts)
    out.append(f'<dl class="facts">\n{cells}\n</dl>')
    for section in dict.fromkeys(figure.section for figure in figures):
        out.append(f'<h2>{esc(section)}</h2>\n<div class="grid">')
        for figure in (f for f in figures if f.section == section):
            wide = "" if figure.name in ("energy", "timestep") else ' class="wide"'
            picture = image(figure.png, figure.caption, 0.62)
            out.append(f"<figure{wide}>{picture}<figcaption>{esc(figure.caption)}</figcaption></figure>")
        out.append("</div>")
    rows = "\n".join(f"<tr><th>{esc(key)}</th><td>{esc(value)}</td></tr>" for key, value in attrs.items())
    out.append(
        f"<h2>Provenance</h2>\n<table>\n<tr><th>folder</th><td>{esc(folder.resolve())}</td></tr>\n{rows}\n</table>"
    )
    try:
        config = (folder / "config.yaml").read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        config = "(config.yaml is missing)"
    out.append(f"<details><summary>Resolved configuration</summary><pre>{esc(config) or '(empty)'}</pre></details>")
    log = _tail(folder / "run.log", LOG_LINES)
    shown = "(run.log is missing)" if log is None else log or "(empty)"
    out.append(f"<h2>Log</h2>\n<pre>{esc(shown)}</pre>\n</body>\n</html>\n")
    return "\n".join(out)

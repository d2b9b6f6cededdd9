"""Pictures and the HTML report of a run folder (``config.yaml``, ``history.nc``, ``fields.nc``, ``run.log``, ``properties.nc``).

:func:`picture` draws the last snapshot, quickly; :func:`report` draws everything and writes one self-contained page.
Matplotlib and xarray are imported when needed, and the caller's backend and rcParams stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import OutputError, Unreadable
from ..store import expanded, write_bytes
from .curves import curve_figures
from .drawing import draw_strips, drawn_here, png_of, style, times_of, when_of
from .page import formula_picture, key_figures, page_of
from .properties import property_pictures, property_provenance
from .reading import fields_of, opened, reference_of, run_folder
from .snapshots import field_figures, profiles, radial_structure_factor, slices_of, strips_of
from .standing import standing

__all__ = ["last_picture", "picture", "radial_structure_factor", "report"]


def picture(folder: str | Path) -> Path:
    """Draw the last snapshot of every field to ``folder/fields.png``.

    Args:
        folder: the run folder; only ``fields.nc`` is read.

    Returns:
        The path of the picture.

    Raises:
        OutputError: ``fields.nc`` is missing, unreadable or empty, or the picture cannot be written.
    """
    folder = run_folder(folder)
    return _write(folder / "fields.png", last_picture(folder))


def last_picture(folder: str | Path) -> bytes:
    """The last snapshot of every field as a PNG; raises what `picture` does."""
    folder = run_folder(folder)
    with opened(folder, "fields.nc") as data, style():
        fields = fields_of(data, folder)
        last = data.sizes["time"] - 1
        when = when_of(times_of(data)[last], data)
        if len(fields[0].space) == 1:
            figure = profiles(fields, [last], data)
        else:
            strips = []
            for field in fields:
                strip = strips_of(field, slices_of(field, last, every=True), shared=False)[0]
                heads = [" · ".join(filter(None, (field.name, panel.title, when))) for panel in strip.panels[:1]]
                heads += [panel.title for panel in strip.panels[1:]]
                panels = [replace(panel, title=head) for panel, head in zip(strip.panels, heads, strict=True)]
                strips.append(replace(strip, panels=panels))
            figure = draw_strips(strips, cap=5.0)
        return png_of(figure)


def report(folder: str | Path, reference: Sequence[str | Path] = ()) -> Path:
    """Write ``folder/report.html``, a self-contained page, and its pictures, ``folder/report/*.png``.

    Args:
        folder: the run folder; ``fields.nc`` and ``history.nc`` are required, ``config.yaml``, ``run.log`` and ``properties.nc``
            optional.
        reference: CSV files with columns time and free energy, drawn over the free-energy curve and labelled by their
            file stem.

    Returns:
        The path of the page.

    Raises:
        OutputError: a file is missing, unreadable or empty, or the report cannot be written.
    """
    folder = run_folder(folder)
    references = [reference_of(expanded(path)) for path in reference]
    state = standing(
        folder
    )  # before the files are read: what is reported of a run that ends meanwhile is then not its end
    with opened(folder, "fields.nc") as data, opened(folder, "history.nc") as history, style():
        fields = fields_of(data, folder)
        figures, warnings = field_figures(fields, data)
        figures += curve_figures(history, [field.name for field in fields], references)
        attrs = {**history.attrs, **data.attrs}
        formula = formula_picture(str(attrs.get("model_formula", "")))
        facts = [("Status", state.text), *key_figures(data, history, fields)]
        if state.kind in ("running", "stopped"):
            at = f"{float(times_of(history)[-1]):.4g}" if history.sizes["time"] else "0"
            tells = "is still running; this page shows it" if state.running else "has not ended; this page shows it"
            warnings.append(f"The run {tells} up to time {at}.")
        drawn, more_facts, more_warnings = property_pictures(folder / "properties.nc")
        figures, facts, warnings = figures + drawn, facts + more_facts, warnings + more_warnings
        attrs |= property_provenance(folder / "properties.nc")
        page = page_of(folder, attrs, formula, facts, warnings, figures)
    _remove_stale(folder / "report", {f"{figure.name}.png" for figure in figures})
    for figure in figures:
        _write(folder / "report" / f"{figure.name}.png", figure.png)
    return _write(folder / "report.html", page.encode("utf-8", "surrogateescape"))


def _remove_stale(folder: Path, kept: set[str]) -> None:
    """Pictures of an earlier report that this one has not; other people's pictures stay."""
    for path in folder.glob("*.png"):
        with suppress(OSError, Unreadable):
            if path.name not in kept and drawn_here(path):
                path.unlink()


def _write(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, content)
    except (OSError, OutputError) as error:
        reason = f"{path}: cannot be written: {error.strerror or error}" if isinstance(error, OSError) else error
        raise OutputError(f"{reason}\n  Make room or make the folder writable, then try again.") from error
    return path

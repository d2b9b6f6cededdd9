"""The page of a sweep: its members in one table."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..store import write_text
from .page import CSS, POLICY

#: Pictures beyond these would make the page heavy.
_PICTURES = 48
_STYLE = "table img{display:block;max-width:260px;height:auto}td,th{width:auto}"


@dataclass(frozen=True)
class Row:
    """A member: name of its folder, what tells it from the others, how it stands, what went wrong, its page."""

    name: str
    overrides: Sequence[str]
    standing: str
    problem: str
    page: Path | None


def index(folder: Path, rows: Sequence[Row]) -> Path:
    """Writes ``folder/index.html``, a self-contained table with links to the members' pages; its path.

    Raises:
        OutputError: it cannot be written.
    """
    keys = list(dict.fromkeys(o.partition("=")[0] for row in rows for o in row.overrides))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("run", *keys, "status", ""))
    lines = [_line(folder, row, keys, number < _PICTURES) for number, row in enumerate(rows)]
    title = f"Sweep {folder.resolve().name}"
    text = "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{html.escape(title)}</title>\n<style>{CSS}{_STYLE}</style>\n</head>\n<body>",
            f"<header>\n<h1>{html.escape(title)}</h1>\n</header>\n<table>\n<tr>{head}</tr>",
            *lines,
            "</table>\n</body>\n</html>\n",
        ]
    )
    path = folder / "index.html"
    write_text(path, text)
    return path


def _line(folder: Path, row: Row, keys: Sequence[str], picture: bool) -> str:
    values = dict(o.partition("=")[::2] for o in row.overrides)
    name = html.escape(row.name)
    if row.page is not None:
        name = f'<a href="{html.escape(os.path.relpath(row.page, folder), quote=True)}">{name}</a>'
    cells = [name, *(html.escape(values.get(key, "")) for key in keys)]
    cells.append(html.escape(f"{row.standing}: {row.problem}" if row.problem else row.standing))
    cells.append(_picture(folder / row.name / "fields.png") if picture else "")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _picture(path: Path) -> str:
    try:
        png = path.read_bytes()
    except OSError:
        return ""
    return f'<img alt="last snapshot" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

"""The page of a verification: its table, pictures and provenance in one self-contained HTML file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from ..report.drawing import Picture
from ..report.page import CSS, POLICY
from ..store import write_text
from .record import Record
from .words import COLUMNS, cells

#: Name of the file in the folder of a verification.
NAME = "verify.html"
_STYLE = """
td,th{width:auto}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.within{color:#007a5a}.outside,.failed{color:#b3261e;font-weight:700}.skipped{color:#8a6d00}
.source,.note{display:block;color:var(--dim);font-size:.85rem}
"""


def write(folder: Path, record: Record, pictures: Sequence[Picture] = ()) -> Path:
    """Writes the page; its path. Raises OutputError."""
    path = folder / NAME
    write_text(path, page_of(record, pictures))
    return path


def page_of(record: Record, pictures: Sequence[Picture] = ()) -> str:
    """The page as text."""
    esc = html.escape
    title = f"Verification: {record.ladder}"
    out = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{esc(title)}</title>\n<style>{CSS}{_STYLE}</style>\n</head>\n<body>",
        f'<header>\n<h1>{esc(title)}</h1>\n<p class="sub">{esc(record.summary)}</p>\n</header>',
    ]
    if not record.good:
        out.append(f'<p class="warn">{esc(_trouble(record))}</p>')
    for topic in dict.fromkeys(o.topic for o in record.outcomes):
        head = "".join(f"<th>{esc(name)}</th>" for name in COLUMNS)
        out.append(f"<h2>{esc(topic)}</h2>\n<table>\n<tr>{head}</tr>")
        for outcome in (o for o in record.outcomes if o.topic == topic):
            name, what, *numbers, verdict = map(esc, cells(outcome))
            note = f'<span class="note">{esc(outcome.note)}</span>' if outcome.note else ""
            known = f'{what}<span class="source">known from: {esc(outcome.source)}</span>{note}'
            middle = "".join(f'<td class="n">{text}</td>' for text in numbers)
            out.append(f'<tr><td>{name}</td><td>{known}</td>{middle}<td class="{outcome.verdict}">{verdict}</td></tr>')
        out.append("</table>")
    for section in dict.fromkeys(p.section for p in pictures):
        out.append(f'<h2>{esc(section)}</h2>\n<div class="grid">')
        for picture in (p for p in pictures if p.section == section):
            data = base64.b64encode(picture.png).decode()
            caption = esc(picture.caption)
            image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
            out.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
        out.append("</div>")
    rows = "\n".join(f"<tr><th>{esc(k)}</th><td>{esc(str(v))}</td></tr>" for k, v in record.facts.items())
    out.append(f"<h2>Provenance</h2>\n<table>\n{rows}\n</table>\n</body>\n</html>\n")
    return "\n".join(out)


def _trouble(record: Record) -> str:
    bad = [o.name for o in record.outcomes if not o.good]
    made = {o.name for o in record.outcomes}
    left = [name for name in record.names if name not in made]
    parts = [f"not within what is allowed: {', '.join(bad)}"] if bad else []
    return "; ".join([*parts, f"not made: {', '.join(left)}"] if left else parts)

"""Writes the tables of verifications into the documentation, between ``<!-- verify NAME -->`` and ``<!-- end -->``.

    python scripts/write_tables.py docs/verification.md docs/results/verify_quick.json [...]

A record is what ``phasefield verify`` leaves as verify.json; NAME is its ladder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from phasefield.verify import record, words


def written(text: str, path: Path) -> str:
    """A page with the table of a record in its place."""
    content = record.read(path)
    start, end = f"<!-- verify {content['ladder']} -->", "<!-- end -->"
    before, found, rest = text.partition(start)
    if not found or end not in rest:
        raise SystemExit(f"the page has no block {start} ... {end}")
    made = f"{content['device']}, {content['precision']} precision, {content['created'][:10]}"
    seconds = sum(o.seconds for o in content["checks"])
    lines = [
        f"Made by `phasefield verify {content['ladder']}`: {made}; {seconds:.0f} s.",
        "",
        words.markdown(content["checks"]),
    ]
    if runs := content.get("runs"):
        lines += ["", words.runs(runs)]
    return before + start + "\n" + "\n".join(lines) + "\n" + end + rest.partition(end)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("record", type=Path, nargs="+")
    options = parser.parse_args()
    text = options.page.read_text(encoding="utf-8")
    for path in options.record:
        text = written(text, path)
    options.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The tree of pages: what the lists of index.md name, in their order."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2]

#: An entry of a list of index.md.
ENTRY = re.compile(r"- \[(?P<title>[^\]]+)\]\((?P<page>[\w./]+)\.md\).*\n(?:  \S.*\n)*")


def titles() -> dict[str, str]:
    """Pages as the lists of index.md name them."""
    return {found["page"]: found["title"] for found in ENTRY.finditer((DOCS / "index.md").read_text(encoding="utf-8"))}


def tree(text: str) -> str:
    """The text of index.md without links to pages that are not there, and behind it trees of the others, one a heading.

    Pages that no list names come last, so that a new one is not lost.
    """
    text = ENTRY.sub(lambda found: found[0] if (DOCS / f"{found['page']}.md").is_file() else "", text)
    text = re.sub(r"^## .+\n\n(?=\n|## |\Z)", "", text, flags=re.M)  # all of whose pages are missing
    trees, named = [], {"index"}
    for heading, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.M):
        pages = [f"{found['title']} <{found['page']}>" for found in ENTRY.finditer(body)]
        named.update(found["page"] for found in ENTRY.finditer(body))
        trees.append(toctree(heading, pages))
    more = sorted(p.stem for p in DOCS.glob("*.md") if p.stem not in named and not p.stem.startswith("_"))
    return text + "\n" + "\n".join([*trees, toctree("More", more)])


def toctree(caption: str, pages: list[str]) -> str:
    if not pages:
        return ""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])

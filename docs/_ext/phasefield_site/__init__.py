"""What the site adds to Sphinx: the tree of pages, pages made from the program, formulas, colours and lines of blocks."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from .formulas import formula, inline_formula
from .languages import Languages
from .lines import wrapped
from .made import MADE
from .tree import DOCS, titles, tree

_MARK = re.compile(r"<!-- made: (\w+) -->")


def version() -> str:
    """That of pyproject.toml: the package may not be installed."""
    text = (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.+)"', text, re.M)[1]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", complete)
    app.connect("env-get-outdated", always)
    app.connect("html-page-context", wrapped)
    app.add_transform(Languages)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def always(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> set[str]:
    """Pages that change without their files: the tree with other pages, and what is made with the program."""
    return {p for p in env.found_docs if p == "index" or _MARK.search(env.doc2path(p).read_text(encoding="utf-8"))}


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Gives index.md its tree, a measured table its title, and every page what is made from the program."""
    text = source[0]
    if page == "index":
        text = tree(text)
    elif not text.lstrip().startswith("# "):
        text = f"# {titles().get(page, page)}\n\n{text}"
    if "/" not in page:  # Markdown outside this folder is no page; it is handed out as a file
        text = re.sub(r"\]\((\.\./[\w/]+\.md)\)", r"](path:\1)", text)
    source[0] = _MARK.sub(lambda found: MADE[found[1]](), text)

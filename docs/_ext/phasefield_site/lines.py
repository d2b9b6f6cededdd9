"""Lines of shell blocks as elements of their own: long commands wrap, and a hanging indent shows where the next one begins."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_BLOCK = re.compile(
    r'(<div class="highlight-(?:bash|console) notranslate"><div class="highlight"><pre><span></span>)(.*?)(</pre>)',
    re.S,
)


def wrapped(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Puts every line of every shell block of a page into ``<span class="line">``."""
    if "body" in context:
        context["body"] = _BLOCK.sub(lambda found: found[1] + _lines(found[2]) + found[3], context["body"])


def _lines(block: str) -> str:
    """A block in lines; as it is where a string of several lines has its colour across them."""
    lines = block.splitlines()
    if any(line.count("<span") != line.count("</span>") for line in lines):
        return block
    return "".join(f'<span class="line">{line}\n</span>' for line in lines)

"""Formulas as MathML, which browsers draw by themselves: no script, no font, nothing to fetch."""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger
from sphinx.util.math import get_node_equation_number

log = getLogger(__name__)


def mathml(node: nodes.Element, as_block: bool) -> str:
    """A formula as MathML, which browsers draw by themselves; docutils translates the part of LaTeX that it knows."""
    text = re.sub("'+", lambda marks: "^{%s}" % (r"\prime" * len(marks[0])), node.astext())
    try:
        return tex2mathml(text, as_block=as_block)
    except MathError as error:
        log.warning("%s in the formula %s", error, node.astext(), location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def inline_formula(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def formula(self: Any, node: nodes.math_block) -> None:
    number = f'<span class="eqno">({get_node_equation_number(self, node)})</span>' if node["number"] else ""
    self.body.append(f'<div class="math">{number}{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode

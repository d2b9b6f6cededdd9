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
#: Primes as superscripts, which fonts without letters of their own for them draw far too small.
_PRIMES = re.compile(r"<msup>\s*(<mi>[^<]*</mi>)\s*(?:<mrow>)?\s*((?:<mi>′</mi>\s*){1,3})(?:</mrow>)?\s*</msup>")
_SIGNS = {1: "′", 2: "″", 3: "‴"}
#: Bars, which are taken for operators between two things.
_BAR = re.compile(r"<mo(?: [^>]*)?>([|∣])</mo>")


def mathml(node: nodes.Element, as_block: bool) -> str:
    """A formula as MathML, which browsers draw by themselves; docutils translates the part of LaTeX that it knows."""
    text = re.sub("'+", lambda marks: "^{%s}" % (r"\prime" * len(marks[0])), node.astext())
    try:
        return _mended(tex2mathml(text, as_block=as_block))
    except MathError as error:
        log.warning("%s in the formula %s", error, node.astext(), location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def _mended(text: str) -> str:
    text = _PRIMES.sub(lambda found: f"<mrow>{found[1]}<mo>{_SIGNS[found[2].count('′')]}</mo></mrow>", text)
    return _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', text)


def inline_formula(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def formula(self: Any, node: nodes.math_block) -> None:
    number = f'<span class="eqno">({get_node_equation_number(self, node)})</span>' if node["number"] else ""
    self.body.append(f'<div class="math">{number}{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode

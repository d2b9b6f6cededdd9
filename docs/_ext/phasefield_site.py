"""What the site adds to Sphinx: the tree of pages, pages made from the program, formulas, and colours of indented blocks."""

from __future__ import annotations

import html
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger
from sphinx.util.math import get_node_equation_number

log = getLogger(__name__)

DOCS = Path(__file__).resolve().parents[1]

#: An entry of a list of index.md.
ENTRY = re.compile(r"- \[(?P<title>[^\]]+)\]\((?P<page>[\w./]+)\.md\).*\n(?:  \S.*\n)*")


def version() -> str:
    """That of pyproject.toml: the package may not be installed."""
    text = (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.+)"', text, re.M)[1]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", complete)
    app.add_transform(Languages)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Gives index.md its tree and fills in what is made from the program, in place of comments ``<!-- made: NAME -->``."""
    if page == "index":
        source[0] = tree(source[0])
    elif not source[0].lstrip().startswith("# "):  # a measured table
        source[0] = f"# {titles().get(page, page)}\n\n{source[0]}"
    # Markdown outside this folder is no page; it is handed out as a file.
    source[0] = re.sub(r"\]\((\.\./(?:\.\./)?[\w/]+\.md)\)", r"](path:\1)", source[0]) if "/" not in page else source[0]
    source[0] = re.sub(r"<!-- made: (\w+) -->", lambda found: MADE[found[1]](), source[0])


# The tree of pages ----------------------------------------------------------------------------------------------------


def titles() -> dict[str, str]:
    """Pages as the lists of index.md name them."""
    return {found["page"]: found["title"] for found in ENTRY.finditer((DOCS / "index.md").read_text(encoding="utf-8"))}


def tree(text: str) -> str:
    """The text of index.md without links to pages that are not there, and behind it trees of the others, one a heading.

    Pages that no list names come last, so that a new one is not lost.
    """
    text = ENTRY.sub(lambda found: found[0] if (DOCS / f"{found['page']}.md").is_file() else "", text)
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


# Pages made from the program ------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command: how it is called, what its help says, its keys."""
    from phasefield import commands as all_of_them

    return "\n".join(line for name in all_of_them.names() for line in _command(name))


def _command(name: str) -> Iterator[str]:
    from phasefield import commands as all_of_them
    from phasefield.keys import keys_of, schema_at

    ways, more = all_of_them.head(name)
    yield from [f"## `{name}`", "", "```text", *(f"phasefield {synopsis}" for synopsis, _ in ways), "```", ""]
    yield from [f"{what[:1].upper()}{what[1:]}.\n" for _, what in ways[:1]]
    for paragraph in filter(None, more.split("\n\n")):
        indented = any(line.startswith("  ") for line in paragraph.splitlines())
        yield from ["```text", paragraph, "```", ""] if indented else [_escaped(paragraph), ""]
    schema = all_of_them.find(name).keys
    keys = [k for k in keys_of(schema_at(schema)) if k.metadata] if schema else []
    if keys:
        yield from ["| key | default | meaning |", "| --- | --- | --- |", *map(_row, keys), ""]


def _row(key: Any) -> str:
    from phasefield import presets
    from phasefield.usage import _written

    values = key.choices or (key.names() if key.names else presets.names(key.presets) if key.presets else ())
    shown = key.flag or key.path
    default = "" if key.flag or key.presets else _written(key.default)
    meaning = _escaped(key.metadata["text"]) + ("; " + ", ".join(f"`{v}`" for v in values) if values else "")
    return f"| `{shown}` | {f'`{default}`' if default else ''} | {meaning} |"


def _escaped(text: str) -> str:
    """Text of a terminal as Markdown: no stars, angles or bars of its own."""
    return re.sub(r"([*<>|_$\\`\[\]{}])", r"\\\1", text)


#: What belongs to the interface from Python, beside the package itself: module, its names (None: all that it exports).
INTERFACE: dict[str, list[str] | None] = {
    "phasefield.callbacks": ["Moment"],
    "phasefield.models.analysis": None,
    "phasefield.homogenize": None,
    "phasefield.upscale.surrogate": None,
    "phasefield.upscale.macro": None,
    "phasefield.errors": None,
}


def python() -> str:
    """What may be used from Python, from its docstrings."""
    parts = ["## `phasefield`", "", *_documented("phasefield", None)]
    for module, names in INTERFACE.items():
        parts += [f"## `{module}`", "", *_documented(module, names)]
    return "\n".join(parts)


def _documented(module: str, names: list[str] | None) -> Iterator[str]:
    found = importlib.import_module(module)
    own = (n for n, o in vars(found).items() if getattr(o, "__module__", "") == module and not n.startswith("_"))
    first = (inspect.getdoc(found) or "").split("\n\n")[0]
    yield from [_escaped(first) if names is None else "", ""]
    for name in names or getattr(found, "__all__", None) or own:
        thing = getattr(found, name)
        directive = "autofunction" if inspect.isfunction(thing) else "autoclass" if inspect.isclass(thing) else ""
        again = module == "phasefield" and getattr(thing, "__module__", "") == "phasefield.errors"
        if directive and not again:
            members = "   :members:\n" if directive == "autoclass" else ""
            yield f"```{{eval-rst}}\n.. {directive}:: {module}.{name}\n{members}```\n"


def observables() -> str:
    from phasefield.observables import OBSERVABLES

    return _table("observable", {k: f.__doc__ for k, f in OBSERVABLES.items()})


def schemes() -> str:
    from phasefield.integrators import SCHEMES

    rows = (f"| `{k}` | {s.order} | {s.memory} | {_escaped(s.reference)} |" for k, s in SCHEMES.items())
    return "\n".join(["| scheme | order | steps back | reference |", "| --- | --- | --- | --- |", *rows, ""])


def _table(head: str, rows: dict[str, str | None]) -> str:
    lines = (f"| `{k}` | {_escaped(inspect.cleandoc(v or '').splitlines()[0])} |" for k, v in rows.items())
    return "\n".join([f"| {head} | |", "| --- | --- |", *lines, ""])


MADE = {"commands": commands, "python": python, "observables": observables, "schemes": schemes}


# Formulas -------------------------------------------------------------------------------------------------------------


def mathml(node: nodes.Element, as_block: bool) -> str:
    """A formula as MathML, which browsers draw by themselves; docutils translates the part of LaTeX that it knows."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
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


# Indented blocks ------------------------------------------------------------------------------------------------------


class Languages(SphinxTransform):
    """Tells what blocks without a language hold, for their colours and the button that copies them."""

    default_priority = 300

    def apply(self, **_: Any) -> None:
        for block in self.document.findall(nodes.literal_block):
            if block.get("language", "none") in ("none", "default", ""):
                block["language"] = language(block.astext())


def language(text: str) -> str:
    if re.match(r"(phasefield|pip|pytest|python|sbatch|srun|scripts/|\.ci/|git|sphinx-build|sudo|docker|export )", text):
        return "bash"
    if re.match(r"(import|from) \w|\w+ = ", text):
        return "python"
    return "yaml" if re.match(r"(#.*\n)?[\w -]+:( |$)", text, re.M) else "none"

"""The documentation as a site: links, messages and extras that pages quote; built, it loads nothing from elsewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")), *sorted((DOCS / "results").glob("*.md"))]

#: Pages that index.md may name before they are there; the site is built without them.
COMING: set[str] = set()


def prose(page: Path) -> str:
    """The text of a page without its comments and blocks of code."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"^(```+).*?^\1", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.M))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as forges make them."""
    text = re.sub(r"^(```+).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", target) or (page.name == "index.md" and target in COMING):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_in_the_tree() -> None:
    named = re.findall(r"^- \[[^\]]+\]\(([\w/]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    assert len(named) == len(set(named))
    there = {str(p.relative_to(DOCS)) for p in PAGES if DOCS in p.parents} - {"index.md"}
    assert there <= set(named)
    assert set(named) - there <= COMING


def strings() -> Iterator[str]:
    """Texts in the source that are no docstrings, with a mark where values are put in."""
    for file in (ROOT / "phasefield").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in alone:
                continue
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(p.value) if isinstance(p, ast.Constant) else "\0" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[\d.]*[dgs]", "\0", node.value)


def test_messages_are_quoted_as_they_are() -> None:
    heads = re.findall(r"^### `(.+)`$", (DOCS / "messages.md").read_text(encoding="utf-8"), re.M)
    source = "\n".join(strings())
    assert len(heads) > 30
    for head in heads:
        parts = [re.escape(part.strip()) for part in head.split("...") if part.strip()]
        assert re.search(r"[^\n]*\0[^\n]*".join(parts), source), head


def test_extras_are_those_of_the_package() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    table = (DOCS / "install.md").read_text(encoding="utf-8").partition("## Extras")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(extras)


class Loads(HTMLParser):
    """What a page loads from elsewhere, and where it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag != "link" or given.get("rel") not in ("canonical", "license"):
            self.loads += [given[k] or "" for k in ("src", "href", "data", "srcset", "poster") if k in given]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_built(tmp_path: Path) -> None:
    """Builds without a warning; pages load nothing from elsewhere, all are reached, and the search finds them."""
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    out = tmp_path / "html"
    line = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(out)]
    done = subprocess.run([*line, "-d", str(tmp_path / "doctrees")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    reached, waiting = set(), [out / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        seen = Loads()
        seen.feed(page.read_text(encoding="utf-8"))
        assert not [load for load in seen.loads if re.match(r"(https?:)?//", load)], page
        links = {(page.parent / link.partition("#")[0]).resolve() for link in seen.links if "://" not in link}
        waiting += [link for link in links if link.suffix == ".html" and link.is_file()]
    pages = {out / p.relative_to(DOCS).with_suffix(".html") for p in PAGES if DOCS in p.parents}
    assert pages <= reached

    for file in (*out.rglob("*.css"), *out.rglob("*.js")):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\(|importScripts\(|fetch\(|src\s*=)\s*[\"']?(https?:)?//", text), file

    index = (out / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert all(f'"{p.stem}"' in index for p in DOCS.glob("*.md"))
    # What is made from the program is there, and formulas are formulas.
    assert "time.tolerance" in (out / "commands.html").read_text(encoding="utf-8")
    assert 'id="phasefield.run"' in (out / "python.html").read_text(encoding="utf-8")
    assert "<mo>″</mo>" in (out / "theory.html").read_text(encoding="utf-8")
    assert '<span class="line">phasefield' in (out / "tutorial.html").read_text(encoding="utf-8")

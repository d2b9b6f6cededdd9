"""The documentation site. Everything it needs is on the machine: no fonts, scripts or pictures come from elsewhere.

    pip install -e '.[docs]'
    sphinx-build -W -b html docs docs/_build/html

The pages are plain Markdown, read on a forge as well. Their order is that of the lists in index.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import phasefield_site  # noqa: E402

project = "phasefield"
author = "The phasefield developers"
copyright = "The phasefield developers, MIT licence"
release = version = phasefield_site.version()

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "phasefield_site",
]
exclude_patterns = ["_build", "data"]
default_role = "literal"  # of docstrings: `name` is code
smartquotes = False  # of `--flag` it makes a dash
highlight_language = "none"  # phasefield_site tells what indented blocks hold

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = False
suppress_warnings = ["myst.header"]  # measured tables of docs/results begin without a title

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"phasefield {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "
copybutton_selector = (
    "div.highlight-bash pre, div.highlight-python pre, div.highlight-yaml pre, div.highlight-console pre"
)

"""What indented blocks hold, for their colours and the button that copies them."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform


class Languages(SphinxTransform):
    """Tells what blocks without a language hold, for their colours and the button that copies them."""

    default_priority = 300

    def apply(self, **_: Any) -> None:
        for block in self.document.findall(nodes.literal_block):
            if block.get("language", "none") in ("none", "default", ""):
                block["language"] = language(block.astext())


def language(text: str) -> str:
    if re.match(
        r"(phasefield|pip|pytest|python|sbatch|srun|scripts/|\.ci/|git|sphinx-build|sudo|docker|export )", text
    ):
        return "bash"
    if re.match(r"(import|from) \w|\w+ = ", text):
        return "python"
    return "yaml" if re.match(r"(#.*\n)?[\w -]+:( |$)", text, re.M) else "none"

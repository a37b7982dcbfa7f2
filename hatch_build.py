"""The description on a package index: the README without what only a checkout has.

A package index shows the README far from the files that it points at. The project names no public address that they
could be found under, so a link to a file keeps its text and loses its target, a picture keeps the words that stand for
it, and hidden code goes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?://)[^)]*\)")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://|#)[^)]*\)")
HIDDEN = re.compile(r"^<!--.*?-->\n", re.DOTALL | re.MULTILINE)


def description(readme: str) -> str:
    """The README as it reads on its own."""
    return LINK.sub(r"\1", PICTURE.sub(r"*\1*", HIDDEN.sub("", readme)))


class Description(MetadataHookInterface):
    """Gives the project its description."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}

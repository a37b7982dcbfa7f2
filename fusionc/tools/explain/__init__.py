"""The page of each diagnostic code: what it means, an example that fails, and its repair.

A page is a Markdown file beside this one. Its first two blocks of fus are the failing example and the repaired one; a
mistake that no text can show has a console block instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fusionc.language.codes import CODES

BLOCK = re.compile(r"^```fus\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page: the whole text, and its two examples where it has them."""

    code: str
    title: str
    text: str
    failing: str | None
    repaired: str | None


@cache
def page(code: str) -> Page:
    """The page of a code. Raises KeyError where there is no such code."""
    title = CODES[code].title
    text = files(__package__).joinpath(f"{code}.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    failing, repaired = blocks if blocks else (None, None)
    return Page(code, title, text, failing, repaired)

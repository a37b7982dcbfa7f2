"""Where the files that are not Python lie: the grammar and the templates.

A wheel carries them inside the package (`fusionc/_grammar`, `fusionc/_templates`); in a checkout and in an
editable install they are the top-level folders beside the package, and are read live.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["grammar", "templates", "examples"]


def resource(kind: Kind) -> Path:
    """The folder that holds the grammar or the templates."""
    package = Path(__file__).resolve().parent
    shipped = package / f"_{kind}"
    return shipped if shipped.is_dir() else package.parent / kind

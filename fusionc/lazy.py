"""Modules that are imported when something of them is first used: most commands need few of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """A module by name. Reading an attribute imports it, and the value is kept, so that later reads cost nothing.

    Write it beside an import that only type checkers follow::

        if TYPE_CHECKING:
            import numpy as np
        else:
            np = LazyModule("numpy")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value

"""fusionc compiles fusion diagrams: networks of SU(2), SO(3) and O(3) tensors joined at Clebsch-Gordan vertices.

program = fusionc.load("three_body.fus")
block = program["three_body"].module()()
y = block(x, a, b)
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fusionc.version import __version__

if TYPE_CHECKING:
    from fusionc.api import Diagram, Program, load, parse
    from fusionc.diagram.paths import Path
    from fusionc.language.diagnostics import Diagnostic
    from fusionc.language.errors import CompileError
    from fusionc.symbols import clebsch_gordan, f_symbol, gaunt, racah_w, wigner_3j, wigner_6j, wigner_9j
    from fusionc.tools.report import CostReport

_HOMES = {
    "CompileError": "fusionc.language.errors",
    "CostReport": "fusionc.tools.report",
    "Diagnostic": "fusionc.language.diagnostics",
    "Diagram": "fusionc.api",
    "Path": "fusionc.diagram.paths",
    "Program": "fusionc.api",
    "clebsch_gordan": "fusionc.symbols",
    "f_symbol": "fusionc.symbols",
    "gaunt": "fusionc.symbols",
    "load": "fusionc.api",
    "parse": "fusionc.api",
    "racah_w": "fusionc.symbols",
    "wigner_3j": "fusionc.symbols",
    "wigner_6j": "fusionc.symbols",
    "wigner_9j": "fusionc.symbols",
}
"""Where each public name is defined; the module is imported when the name is first used."""

__all__ = [
    "CompileError",
    "CostReport",
    "Diagnostic",
    "Diagram",
    "Path",
    "Program",
    "__version__",
    "clebsch_gordan",
    "f_symbol",
    "gaunt",
    "load",
    "parse",
    "racah_w",
    "wigner_3j",
    "wigner_6j",
    "wigner_9j",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name.isidentifier() and not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

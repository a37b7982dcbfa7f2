"""fusionc compiles fusion diagrams: networks of SU(2), SO(3) and O(3) tensors joined at Clebsch-Gordan vertices.

program = fusionc.load("three_body.fus")
block = program["three_body"].module()()
y = block(x, a, b)
"""

from fusionc.api import Diagram, Program, load, parse
from fusionc.diagram.paths import Path
from fusionc.language.diagnostics import CompileError, Diagnostic
from fusionc.tools.report import CostReport
from fusionc.version import __version__

__all__ = [
    "CompileError",
    "CostReport",
    "Diagnostic",
    "Diagram",
    "Path",
    "Program",
    "__version__",
    "load",
    "parse",
]

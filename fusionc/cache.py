"""Modules of diagrams, compiled once: found again in this process, and on disk by every other one."""

from __future__ import annotations

from types import ModuleType

from fusionc.driver import CheckedDiagram, check_dtype, emit
from fusionc.generated.modules import import_request, import_text
from fusionc.generated.request import Request
from fusionc.program import thresholds
from fusionc.targets.registry import Options, is_own

__all__ = ["import_text", "module_of"]


def module_of(diagram: CheckedDiagram, target: str, options: Options) -> ModuleType:
    """The generated file of a diagram, imported. Raises as `driver.emit` does.

    Of a target that is not fusionc's own nobody knows what its text depends on, and other thresholds give other texts:
    such files are made anew each time.
    """
    check_dtype([diagram], options.dtype)
    if not is_own(target) or thresholds.now() != thresholds.DEFAULT:
        return import_text(emit([diagram], target, options))
    return import_request(Request(diagram.standalone, target, options), lambda: emit([diagram], target, options))

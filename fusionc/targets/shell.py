"""The shell of a generated file: its head, its imports, the helpers that it uses, and what a target has printed.

The templates hold no arithmetic and no helpers: signatures, docstrings, classes, tables. What a file needs of the
runtime is known when all else is printed, so that is printed first.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from fusionc.targets.inline import copies
from fusionc.targets.own_names import apart
from fusionc.targets.registry import Options
from fusionc.targets.templates import template
from fusionc.version import __version__

WIDTH = 112
NAMESPACE = "NAMESPACE::"
"""Where the runtime names an operator, the place of the file's own namespace."""


def file_text(target: str, diagrams: Sequence[Mapping[str, Any]], options: Options) -> str:
    """A generated file; each of its diagrams is what the templates ask for. Its operators are called after its text:
    two files, or two versions of one, do not get into each other's way."""
    values = {"diagrams": diagrams, "options": options}
    with_kernels = target == "triton"
    functions = template("torch/diagrams.py.jinja").render(values)
    kernels = template("triton/kernels.py.jinja").render(values) if with_kernels else ""
    runtime = copies(functions + kernels, with_kernels)
    names = ", ".join(str(diagram["class_name"]) for diagram in diagrams)
    summary = f"Fusion diagram{'s' if len(diagrams) > 1 else ''}: {names}."
    text = template(f"{target}/module.py.jinja").render(
        values,
        version=__version__,
        summary="\n".join(textwrap.wrap(summary, WIDTH)),
        imports=runtime.imports,
        helpers=runtime.helpers,
        kernel_helpers=runtime.kernel_helpers,
        functions=functions,
        kernels=kernels,
    )
    text = apart(text)
    text = text.replace(NAMESPACE, f"fusionc_{hashlib.sha256(text.encode()).hexdigest()[:12]}::")
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n") + "\n"

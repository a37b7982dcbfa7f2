"""A second oracle: a plain reading of docs/language.md, which shares only the syntax tree with the compiler.

    text -> syntax tree -> `reading` (names, spaces, brackets) -> `listing` (paths) -> `values` (an einsum a path)

Coupling tensors come from e3nn (real basis) or from Racah's formula (complex basis), in `tensors`. The arithmetic is
torch's in double precision, so that autograd gives the derivatives of an oracle too.
"""

from __future__ import annotations

from reference.listing import Listing, list_paths
from reference.numbers import number
from reference.reading import read_diagram
from reference.values import agrees, evaluate, evaluate_arrays

__all__ = ["Listing", "agrees", "evaluate", "evaluate_arrays", "list_paths", "number", "read_diagram"]

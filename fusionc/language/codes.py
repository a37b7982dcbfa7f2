"""The registry of diagnostic codes. A code, once published, keeps its meaning.

F0xxx syntax; F1xxx names, shapes and indices; F2xxx angular momentum; F3xxx plan and size limits; F4xxx
targets. Each code has a page, with a failing example and its repair, in `tools/explain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Code:
    """A kind of mistake: its identifier, its severity and a title of a few words."""

    id: str
    severity: Literal["error", "warning"]
    title: str


def _registry(*codes: Code) -> dict[str, Code]:
    table = {code.id: code for code in codes}
    assert len(table) == len(codes), "a diagnostic code stands in the registry twice"
    return table


def _error(id: str, title: str) -> Code:
    return Code(id, "error", title)


def _warning(id: str, title: str) -> Code:
    return Code(id, "warning", title)


CODES = _registry(
    # F0xxx: syntax
    _error("F0001", "unexpected token"),
    _error("F0002", "unexpected character"),
    _error("F0003", "the file ends too early"),
    _error("F0004", "not readable as UTF-8 text"),
    _error("F0005", "the file cannot be read"),
    _error("F0006", "a keyword where a name is wanted"),
    _error("F0007", "a reserved name"),
    _error("F0008", "brackets nested too deeply"),
    _error("F0009", "a number or a name is too long"),
    _error("F0010", "the file is too large"),
    _error("F0011", "a denominator is zero"),
    _error("F0012", "a line is too long"),
    _error("F0013", "more mistakes than are listed"),
    # F1xxx: names, shapes and indices
    _error("F1001", "unknown name"),
    _error("F1002", "a name is declared twice"),
    _error("F1003", "an import fails"),
    _error("F1004", "a setting has an unknown value"),
    _error("F1005", "a space contains itself"),
    _error("F1007", "not an irrep of the group"),
    _error("F1008", "a name of the wrong kind"),
    _error("F1010", "an output that no line writes"),
    _error("F1011", "an edge that nothing uses"),
    _warning("F1012", "a leg that nothing uses"),
    _error("F1013", "an edge that nothing writes"),
    _error("F1014", "an edge used twice"),
    _error("F1015", "a cycle"),
    _error("F1016", "a leg on the right"),
    _error("F1017", "an output on the left"),
    _error("F1020", "unequal multiplicities"),
    _error("F1021", "an index summed without a weight"),
    _error("F1022", "an index of unknown size"),
    _error("F1023", "an index that stands on no left edge"),
    _error("F1024", "an index repeated on one edge"),
    _error("F1025", "a missing channel index"),
    _error("F1026", "wrong number of indices"),
    _error("F1027", "paths are neither kept nor weighed"),
    _error("F1028", "one weight with two shapes"),
    _error("F1029", "a multiplicity that does not fit"),
    _error("F1030", "an index leg used as a tensor"),
    _error("F1031", "`path` in the wrong place"),
    _error("F1032", "an edge's lines cannot be added up"),
    _error("F1033", "an edge restricted in two places"),
    _error("F1034", "a basis that the group does not have"),
    _error("F1035", "an edge of a loop without bounds"),
    _error("F1036", "a line that does not fit a number"),
    _error("F1037", "a missing site index"),
    _error("F1038", "an index of two kinds"),
    _error("F1039", "sites of the right edge that do not fit"),
    _error("F1040", "a row that no site selects"),
    _error("F1041", "a site index on a weight without sites"),
    _error("F1042", "a site index that does not stand first"),
    # F2xxx: angular momentum
    _error("F2001", "an irrep that fusion cannot reach"),
    _error("F2002", "an output that is always zero"),
    _error("F2003", "a vertex that allows nothing"),
    _warning("F2004", "an internal irrep that reaches no output"),
    _warning("F2005", "a leg's irrep that reaches no output"),
    _error("F2006", "a line that adds nothing"),
    _warning("F2007", "a coupling of equal operands that vanishes"),
    _warning("F2008", "lines whose trees are linearly dependent"),
    _warning("F2009", "weights of equal operands that count together"),
    # F3xxx: plan and size limits
    _error("F3001", "a spin that is too large"),
    _error("F3002", "a space of too many terms"),
    _error("F3003", "a space of too many components"),
    _error("F3004", "an index of too many rows"),
    _error("F3005", "too many paths"),
    _error("F3006", "too many weights"),
    _error("F3007", "too many combinations in one line"),
    _error("F3008", "a program that is too long"),
    _error("F3009", "too many trees of equal operands"),
    _error("F3010", "too many operands in one line"),
    _error("F3011", "vertex tensors that are too large"),
    _error("F3012", "a factor out of range"),
    _error("F3013", "loops that are too long a sum"),
    # F4xxx: targets and what is not compiled yet
    _error("F4003", "sites of a form that is not compiled"),
    _error("F4004", "loops of a form that is not compiled"),
    _error("F4005", "a diagram with legs and without an output"),
    _error("F4006", "unknown target"),
    _error("F4007", "a target that is not built yet"),
    _error("F4008", "a name that the target cannot use"),
    _error("F4009", "a number where a module is wanted"),
)

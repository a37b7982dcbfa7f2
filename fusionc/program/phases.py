"""Programs over sites in phases: what is computed for sites at once, and what is computed for pairs, piece by piece.

    sites  ──gather──>  pairs  ──scatter──>  sites  ──gather──>  pairs  ──>  …
      0                   0                    1                   1

No value over pairs outlives its phase: one that a later phase needs again is computed again there, from the operands
and from values over sites. So the pairs that are held at a time are those of one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionc.program.ir import Program, operands


@dataclass(frozen=True)
class Phase:
    """Instructions that are printed together; with a relation, in a loop over pieces of its pairs. `leaving`: those
    that take values over pairs elsewhere, and are accumulated piece by piece; `outputs`: over pairs, put in place."""

    instructions: tuple[int, ...]
    relation: str = ""
    leaving: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


def phases(program: Program) -> list[Phase]:
    """The phases of a program, in order; one without a loop where nothing ranges over pairs."""
    pairs = {relation.name for relation in program.relations}
    over = [one.domain if one.domain in pairs else "" for one in program.instructions]
    leaving = [
        any(over[v] != over[n] and over[v] for v in operands(one.op)) for n, one in enumerate(program.instructions)
    ]
    depths: list[int] = []
    for number, one in enumerate(program.instructions):
        depth = max((depths[value] for value in operands(one.op)), default=0)
        depths.append(depth + leaving[number])
    ends = [max((depths[value] for value in output.values), default=0) for output in program.outputs]
    found = []
    for depth in range(max((*depths, 0)) + 1):
        plain = [n for n, at in enumerate(depths) if at == depth and not over[n] and not leaving[n]]
        if plain:
            found.append(Phase(tuple(plain)))
        for relation in program.relations:
            name = relation.name
            crossing = [
                n
                for n, one in enumerate(program.instructions)
                if leaving[n] and depths[n] == depth + 1 and any(over[v] == name for v in operands(one.op))
            ]
            written = [n for n, output in enumerate(program.outputs) if output.domain == name and ends[n] == depth]
            if crossing or written:
                wanted = [value for n in crossing for value in operands(program.instructions[n].op)]
                wanted += [value for n in written for value in program.outputs[n].values]
                inside = _needed(program, over, name, wanted)
                found.append(Phase(tuple(sorted({*inside, *crossing})), name, tuple(crossing), tuple(written)))
    return found


def _needed(program: Program, over: Sequence[str], relation: str, wanted: Sequence[int]) -> list[int]:
    """The values over the pairs of a relation that some of them are computed from, and these."""
    found, left = dict[int, None](), [value for value in wanted if over[value] == relation]
    while left:
        value = left.pop()
        if value not in found:
            found[value] = None
            left += [one for one in operands(program.instructions[value].op) if over[one] == relation]
    return sorted(found)

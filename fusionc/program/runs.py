"""The pieces of an output's block that are one piece of memory."""

from __future__ import annotations

from dataclasses import dataclass

from fusionc.program.ir import OutputBlock


@dataclass(frozen=True)
class Run:
    """Pieces of a block that stand side by side in one value: components from `start` on, of `paths` paths, path after
    path or (where `interleaved`) component after component; a single piece may have gaps (`stride`)."""

    value: int
    start: int
    paths: int
    interleaved: bool
    stride: int


def runs(block: OutputBlock) -> list[Run]:
    """The pieces of a block, those together that are one piece of memory."""
    found: list[Run] = []
    pieces = [(value, places.start, places.step) for value, places in block.places]
    at = 0
    while at < len(pieces):
        value, start, stride = pieces[at]
        count = 1
        while pieces[at + count : at + count + 1] == [(value, start + count, stride)] and count < stride:
            count += 1
        if count == stride > 1 or block.dim == 1:
            while block.dim == 1 and pieces[at + count : at + count + 1] == [(value, start + count, stride)]:
                count += 1
            found.append(Run(value, start, count, True, 1))
        elif stride == 1:
            while pieces[at + count : at + count + 1] == [(value, start + count * block.dim, 1)]:
                count += 1
            found.append(Run(value, start, count, False, 1))
        else:
            found.append(Run(value, start, 1, False, stride))
            count = 1
        at += count
    return found

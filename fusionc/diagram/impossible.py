"""Vertices of wires that allow nothing (F2003): which one, and the rule that it breaks.

What every labeling would have to obey is looked at vertex by vertex, from the irreps that labels allow on its wires; a
wire without a label carries what the vertices before it couple to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.loops import Closing, Coupling, Pair, Part, Same, Splitting, Wiring, completions, fits, wires_of
from fusionc.language.diagnostics import Diagnostic, diagnose

MOST_CHOICES = 20_000
"""Vertices whose wires have more choices of irreps than this are not looked at: something fits there."""

Choices = dict[str, tuple[Irrep, ...]]


def impossible_vertex(group: Group, wiring: Wiring, known: Mapping[str, Sequence[Irrep]]) -> Diagnostic | None:
    """F2003 for the first vertex that no irreps on its wires fit; `known` are those of wires that no label bounds."""
    choices: Choices = {wire: tuple(irreps) for wire, irreps in (*wiring.domains, *known.items())}
    tops = dict(wiring.tops)
    growing = True
    while growing:
        growing = False
        for number, part in enumerate(wiring.parts):
            wires = wires_of(part)
            missing = [wire for wire in dict.fromkeys(wires) if wire not in choices]
            if not missing and not _allows_something(group, part, choices):
                return _diagnostic(group, wiring, number, choices)
            if len(missing) == 1 and wires.count(missing[0]) == 1 and _count(part, choices) <= MOST_CHOICES:
                found = _reached(group, part, choices, missing[0])
                top = tops.get(missing[0])
                choices[missing[0]] = tuple(one for one in found if top is None or group.l_at_most(one, top))
                if not choices[missing[0]]:
                    return None  # the restriction of that wire has a rule of its own
                growing = True
    return None


def _count(part: Part, choices: Choices) -> int:
    return prod(len(choices[wire]) for wire in dict.fromkeys(wires_of(part)) if wire in choices)


def _labels(part: Part, choices: Choices) -> Iterator[dict[str, Irrep]]:
    wires = [wire for wire in dict.fromkeys(wires_of(part)) if wire in choices]
    for irreps in product(*(choices[wire] for wire in wires)):
        yield dict(zip(wires, irreps, strict=True))


def _allows_something(group: Group, part: Part, choices: Choices) -> bool:
    return _count(part, choices) > MOST_CHOICES or any(fits(group, part, one) for one in _labels(part, choices))


def _reached(group: Group, part: Part, choices: Choices, wire: str) -> tuple[Irrep, ...]:
    found = (irrep for labels in _labels(part, choices) for irrep in completions(group, part, labels, wire))
    return tuple(sorted(dict.fromkeys(found), key=group.edge_key))


def _diagnostic(group: Group, wiring: Wiring, number: int, choices: Choices) -> Diagnostic:
    part, span = wiring.parts[number], wiring.spans[number]
    wires = wires_of(part)
    names = [_shown(wiring, wire) for wire in wires]
    texts = [" or ".join(map(group.format, choices[wire])) for wire in wires]
    notes = [f"`{name}` carries {text}" for name, text in zip(names, texts, strict=True)]
    if isinstance(part, Pair | Closing | Same):
        what = "are one wire" if isinstance(part, Same) else "are an irrep and its dual"
        message = f"`{names[0]}` and `{names[1]}` {what}, and do not fit"
        return diagnose("F2003", message, span, notes=notes, help="give both ends of a wire the same irrep")
    first, second, third = wires
    inside = [group.format(irrep) for irrep in _reached(group, part, {w: choices[w] for w in (first, second)}, third)]
    message = f"no irreps of `{names[0]}`, `{names[1]}` and `{names[2]}` fit together"
    if all(len(choices[wire]) == 1 for wire in wires):
        message = f"{texts[0]} x {texts[1]} does not contain {texts[2]}"
        if isinstance(part, Splitting):
            message = f"{texts[2]} does not split into {texts[0]} and {texts[1]}"
        rule = group.explain(*(choices[wire][0] for wire in wires))
        notes = [f"{texts[0]} x {texts[1]} = {' + '.join(inside)}  ({rule})"]
    help = f"`{names[0]}` and `{names[1]}` couple to {' + '.join(inside)}"
    return diagnose("F2003", message, span, notes=notes, help=help)


def _shown(wiring: Wiring, wire: str) -> str:
    """A wire as it is written: an operand without its number, `a b` for what a longer line couples first."""
    if not wire.startswith("#"):
        return wire.split("#")[0]
    inside = [part for part in wiring.parts if isinstance(part, Coupling | Splitting) and wires_of(part)[2] == wire]
    return " ".join(_shown(wiring, one) for one in wires_of(inside[0])[:2]) if inside else "the right edge"

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
from fusionc.diagram.loops import Closing, Pair, Part, Same, Splitting, Wiring, completions, fits, wires_of
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
    names = wires_of(part)
    texts = [" or ".join(map(group.format, choices[name])) for name in names]
    shown = [name.split("#")[0] for name in names]  # (operands and hidden wires are numbered)
    carried = [f"`{name}` carries {text}" for name, text in zip(shown, texts, strict=True) if name]
    if isinstance(part, Pair | Closing | Same):
        what = "are one wire" if isinstance(part, Same) else "are an irrep and its dual"
        message = f"`{shown[0]}` and `{shown[1]}` {what}, and do not fit"
        return diagnose("F2003", message, span, notes=carried, help="give both ends of a wire the same irrep")
    one, two, result = names
    message = f"no irreps of `{shown[0]}`, `{shown[1]}` and `{shown[2]}` fit together"
    notes = carried
    if all(len(choices[name]) == 1 for name in names):
        a, b, c = (choices[name][0] for name in names)
        verb = "does not split into" if isinstance(part, Splitting) else "does not contain"
        left, right = (
            (texts[2], f"{texts[0]} and {texts[1]}")
            if verb.startswith("does not split")
            else (
                f"{texts[0]} x {texts[1]}",
                texts[2],
            )
        )
        message = f"{left} {verb} {right}"
        notes = [f"{texts[0]} x {texts[1]} = {_sum(group, a, b)}  ({group.explain(a, b, c)})"]
    inside = " + ".join(map(group.format, _reached(group, part, {k: choices[k] for k in (one, two)}, result)))
    return diagnose("F2003", message, span, notes=notes, help=f"`{shown[0]}` and `{shown[1]}` couple to {inside}")


def _sum(group: Group, a: Irrep, b: Irrep) -> str:
    return " + ".join(group.format(irrep) for irrep, _ in group.product(a, b))

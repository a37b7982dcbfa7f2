"""Networks of wires, which may hold loops: their parts, and the assignments of irreps that every vertex allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.errors import CompileError
from fusionc.language.source import Span


@dataclass(frozen=True)
class Coupling:
    """`a b -> c`: the isometric vertex tensor, from two wires to one."""

    first: str
    second: str
    result: str


@dataclass(frozen=True)
class Splitting:
    """`c -> a b`: the adjoint of a coupling."""

    source: str
    first: str
    second: str


@dataclass(frozen=True)
class Pair:
    """`-> a b` makes the invariant pair of an irrep and its dual, of norm one."""

    first: str
    second: str


@dataclass(frozen=True)
class Closing:
    """`a b ->` projects two wires on the invariant pair."""

    first: str
    second: str


@dataclass(frozen=True)
class Same:
    """Two wires are one: `a -> b`, or the output joined to the leg."""

    first: str
    second: str


Part = Coupling | Splitting | Pair | Closing | Same


Labels = dict[str, Irrep]


def parts_of_line(left: list[str], right: list[str], span: Span, hidden: str) -> list[Part]:
    """The parts of one line. More than two wires on one side couple from the left, through hidden wires whose names
    begin with `hidden`. Raises `CompileError` with F1036 for a line that is no coupling, no splitting and no pair."""
    if not left and len(right) == 2:
        return [Pair(right[0], right[1])]
    if not right and len(left) == 2:
        return [Closing(left[0], left[1])]
    if len(left) == len(right) == 1:
        return [Same(left[0], right[0])]
    if len(right) == 1 and left:
        return [Coupling(a, b, c) for a, b, c in _chain(left, right[0], hidden)]
    if len(left) == 1 and right:
        return [Splitting(c, a, b) for a, b, c in reversed(_chain(right, left[0], hidden))]
    raise CompileError(
        [
            diagnose(
                "F1036",
                "a line that is no coupling, no split and no pair",
                span,
                notes=["a line couples several edges to one, splits one, makes an invariant pair or closes one"],
            )
        ]
    )


def _chain(wires: list[str], last: str, hidden: str) -> list[tuple[str, str, str]]:
    names = [f"{hidden}{k}" for k in range(len(wires) - 2)]
    return list(zip((wires[0], *names), wires[1:], (*names, last), strict=True))


@dataclass(frozen=True)
class Wiring:
    """Parts joined by wires, the irreps that labels allow on wires, and bounds of their spins. A wire without a label
    carries whatever fits. `span` is where to point when nothing bounds a wire, `spans` where each part is written."""

    parts: tuple[Part, ...]
    domains: tuple[tuple[str, tuple[Irrep, ...]], ...]
    tops: tuple[tuple[str, Fraction], ...]
    span: Span = field(compare=False, repr=False)
    spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)


def labelings(group: Group, wiring: Wiring, known: Mapping[str, Irrep]) -> Iterator[Labels]:
    """All assignments of irreps to wires that every vertex allows, in a fixed order; some wires are labelled already.

    A wire without a label takes what its vertex allows once the other wires of that vertex are known. Raises
    `CompileError` with F1035 where that never happens.
    """
    domains, tops = dict(wiring.domains), dict(wiring.tops)
    stack: list[tuple[Labels, Sequence[Part]]] = [(dict(known), wiring.parts)]
    while stack:
        labels, parts = stack.pop()
        rest: list[Part] = []
        for part in parts:  # (what fits is not looked at again further down)
            if any(wire not in labels for wire in wires_of(part)):
                rest.append(part)
            elif not fits(group, part, labels):
                break
        else:
            step = _next(group, wiring, rest, domains, labels)
            if step is None:
                yield labels
                continue
            wire, options = step
            top = tops.get(wire)
            admitted = [irrep for irrep in options if top is None or group.l_at_most(irrep, top)]
            stack += [({**labels, wire: irrep}, rest) for irrep in reversed(admitted)]


def _next(
    group: Group, wiring: Wiring, parts: Sequence[Part], domains: Mapping[str, tuple[Irrep, ...]], labels: Labels
) -> tuple[str, list[Irrep]] | None:
    """The next wire to label, of the parts that have wires without labels, and the irreps it may have; None when there
    is none."""
    open_wires: dict[str, None] = {}
    for part in parts:
        wires = wires_of(part)
        missing = [wire for wire in dict.fromkeys(wires) if wire not in labels]
        if len(missing) == 1 and wires.count(missing[0]) == 1:
            found = completions(group, part, labels, missing[0])
            if missing[0] not in domains:
                return missing[0], found
            allowed = dict.fromkeys(domains[missing[0]])
            return missing[0], [irrep for irrep in found if irrep in allowed]
        open_wires |= dict.fromkeys(missing)
    for wire in open_wires:
        if wire in domains:
            return wire, list(domains[wire])
    if open_wires:
        raise CompileError([_unbounded(wiring, next(iter(open_wires)))])
    return None


def wires_of(part: Part) -> tuple[str, ...]:
    """The wires of a part, the result of a coupling and the source of a splitting last."""
    if isinstance(part, Coupling):
        return (part.first, part.second, part.result)
    if isinstance(part, Splitting):
        return (part.first, part.second, part.source)
    return (part.first, part.second)


def fits(group: Group, part: Part, labels: Labels) -> bool:
    """Whether a vertex allows the irreps of its wires."""
    irreps = [labels[wire] for wire in wires_of(part)]
    if len(irreps) == 3:
        return group.contains(*irreps) > 0
    return irreps[1] == (irreps[0] if isinstance(part, Same) else group.dual(irreps[0]))


def completions(group: Group, part: Part, labels: Labels, wire: str) -> list[Irrep]:
    """The irreps that a vertex allows on one wire, where its others are labelled."""
    known = [labels[other] for other in wires_of(part) if other != wire]
    if len(known) == 1:
        return [known[0] if isinstance(part, Same) else group.dual(known[0])]
    if wire == wires_of(part)[2]:
        return [irrep for irrep, _ in group.product(known[0], known[1])]
    return [irrep for irrep, _ in group.product(group.dual(known[0]), known[1])]


def _unbounded(wiring: Wiring, wire: str) -> Diagnostic:
    return diagnose(
        "F1035",
        f"nothing bounds the irreps of the edge `{wire}`",
        wiring.span,
        notes=["in a loop, fusion alone leaves infinitely many irreps; a label says which are meant"],
        help=f"add `edge {wire}: …`, or write `in …` where it is made",
    )

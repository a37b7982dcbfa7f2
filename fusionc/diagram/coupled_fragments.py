"""What a fragment's operands couple to: one path for each assignment of irreps to its wires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.ir import Fragment
from fusionc.diagram.loops import Labels, labelings, wires_of


def fragment_labels(group: Group, fragment: Fragment, irreps: Sequence[Irrep]) -> Iterator[Labels]:
    """The labelings of a fragment over operands with these irreps. By Schur's lemma one whose operands do not couple to
    the right edge is zero whatever its wires carry: it is no path, as in a linear map. Raises `CompileError` with
    F1035."""
    reached = {group.trivial}
    for irrep in irreps:
        reached = {c for a in reached for c, _ in group.product(a, irrep)}
    for labels in labelings(group, fragment.wiring, dict(zip(fragment.leaves, irreps, strict=True))):
        if labels[fragment.root] in reached:
            yield labels


def inner_wires(fragment: Fragment) -> tuple[str, ...]:
    """The wires between operands and right edge, in written order."""
    ends = {*fragment.leaves, fragment.root}
    wires = dict.fromkeys(wire for part in fragment.wiring.parts for wire in wires_of(part))
    return tuple(wire for wire in wires if wire not in ends)


def choices(operands: Iterable[Sequence[Irrep]]) -> Iterator[tuple[tuple[int, Irrep], ...]]:
    """Every choice of a block for each operand: (place, irrep)."""
    return product(*(list(enumerate(irreps)) for irreps in operands))


def alive_operands(
    group: Group, fragment: Fragment, irreps: Sequence[Sequence[Irrep]], wanted: Iterable[Irrep]
) -> tuple[frozenset[Irrep], ...]:
    """Of each operand's irreps those that some path takes to a wanted irrep."""
    targets, alive = set(wanted), [set[Irrep]() for _ in irreps]
    for choice in choices(irreps):
        chosen = [irrep for _, irrep in choice]
        if any(labels[fragment.root] in targets for labels in fragment_labels(group, fragment, chosen)):
            for found, irrep in zip(alive, chosen, strict=True):
                found.add(irrep)
    return tuple(map(frozenset, alive))


def alive_wires(
    group: Group, fragment: Fragment, irreps: Sequence[Sequence[Irrep]], wanted: Iterable[Irrep]
) -> dict[str, frozenset[Irrep]]:
    """Of each inner wire the irreps that it has in some path to a wanted irrep."""
    targets, alive = set(wanted), {wire: set[Irrep]() for wire in inner_wires(fragment)}
    for choice in choices(irreps):
        for labels in fragment_labels(group, fragment, [irrep for _, irrep in choice]):
            if labels[fragment.root] in targets:
                for wire, found in alive.items():
                    found.add(labels[wire])
    return {wire: frozenset(found) for wire, found in alive.items()}


def root_counts(group: Group, fragment: Fragment, irreps: Sequence[Irrep]) -> Mapping[Irrep, int]:
    """The number of paths from operands with these irreps into each irrep of the right edge."""
    counts: dict[Irrep, int] = {}
    for labels in fragment_labels(group, fragment, irreps):
        root = labels[fragment.root]
        counts[root] = counts.get(root, 0) + 1
    return counts

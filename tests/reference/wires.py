"""Wires between splits, pairs and couplings: which irreps fit on them, and the dense tensor that they make."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count

import numpy as np
import opt_einsum

from reference.reading import Allowed, Diagram, Part, Wiring
from reference.tensors import Irrep, couple, dim, pair, trivial, vertex

Labels = dict[str, Irrep]


def labelings(wiring: Wiring, allowed: dict[str, Allowed], known: Labels) -> Iterator[Labels]:
    """All choices of an irrep for every wire that each vertex allows."""
    if any(not _may_fit(part, known) for part in wiring.parts):
        return
    for part in wiring.parts:
        missing = [wire for wire in dict.fromkeys(part.wires) if wire not in known]
        if len(missing) == 1 and part.wires.count(missing[0]) == 1:
            options = _completions(part, known, missing[0])
            limit = allowed.get(missing[0])
            break
    else:
        missing = [wire for part in wiring.parts for wire in part.wires if wire not in known]
        if not missing:
            yield known
            return
        missing = [next(wire for wire in missing if wire in allowed and allowed[wire].irreps is not None)]
        options, limit = list(allowed[missing[0]].irreps or ()), None
    for irrep in options:
        if limit is None or limit.admits(irrep):
            yield from labelings(wiring, allowed, {**known, missing[0]: irrep})


def _may_fit(part: Part, known: Labels) -> bool:
    if any(wire not in known for wire in part.wires):
        return True
    irreps = [known[wire] for wire in part.wires]
    return irreps[2] in couple(irreps[0], irreps[1]) if len(irreps) == 3 else irreps[0] == irreps[1]


def _completions(part: Part, known: Labels, wire: str) -> list[Irrep]:
    """What fits on the one wire of a vertex that has no label; all irreps here are their own duals."""
    others = [known[other] for other in part.wires if other != wire]
    return couple(*others) if len(others) == 2 else others


def inner_wires(wiring: Wiring) -> list[str]:
    """The wires between operands and right edge, as they are first written; what is split behind its parts."""
    ends = {*wiring.leaves, wiring.root}
    return [wire for wire in dict.fromkeys(w for part in wiring.parts for w in part.wires) if wire not in ends]


def contract(diagram: Diagram, wiring: Wiring, labels: Labels) -> np.ndarray:
    """The wires contracted as they stand: one axis for each leaf, the root's behind them. A wiring without leaves and
    root is a number."""
    shape = tuple(tuple(labels[wire] for wire in part.wires) for part in wiring.parts)
    key = (diagram.group, diagram.basis, diagram.normalize, wiring, shape)
    return _contract(*key, tuple(labels.items()))


@lru_cache(maxsize=4096)
def _contract(
    group: str,
    basis: str,
    normalize: str,
    wiring: Wiring,
    shape: tuple[tuple[Irrep, ...], ...],
    labels: tuple[tuple[str, Irrep], ...],
) -> np.ndarray:
    numbers = count()
    made = {wire: next(numbers) for wire, _ in labels}
    used = {wire: next(numbers) for wire, _ in labels}
    arguments: list[object] = []
    for wire, irrep in labels:
        arguments += [np.eye(dim(irrep)), (made[wire], used[wire])]
    for part, irreps in zip(wiring.parts, shape, strict=True):
        if part.kind == "couple":
            a, b, c = part.wires
            arguments += [vertex(basis, normalize, *irreps), (used[a], used[b], made[c])]
        elif part.kind == "split":
            a, b, c = part.wires
            arguments += [vertex(basis, normalize, *irreps), (made[a], made[b], used[c])]
        elif part.kind == "same":
            arguments += [np.eye(dim(irreps[0])), (used[part.wires[0]], made[part.wires[1]])]
        else:
            end = made if part.kind == "pair" else used
            arguments += [pair(basis, normalize, irreps[0], group), tuple(end[wire] for wire in part.wires)]
    ends = [made[leaf] for leaf in wiring.leaves]
    ends += [used[wiring.root]] if wiring.root is not None else []
    return np.asarray(opt_einsum.contract(*arguments, tuple(ends), optimize="greedy"))


def reaches(diagram: Diagram, irreps: list[Irrep], root: Irrep) -> bool:
    """Whether operands couple to an irrep at all: where they do not, wires in between make no path."""
    reached = {trivial(diagram.group)}
    for irrep in irreps:
        reached = {c for a in reached for c in couple(a, irrep)}
    return root in reached

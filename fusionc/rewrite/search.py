"""Which sums to introduce, and where: a beam search for reductions with few summations.

A state is a skeleton from which everything that costs no sum has been folded away, so its girth is at least four. From
there a square is replaced (one sum, two vertices less), or a flip shortens one of the shortest rings of at least five
lines (one sum). Layer k holds states after k sums; those with few vertices and many short rings go on. The first layer
in which a state is empty ends the search.

Compare Fack, Pitre, Van der Jeugt, Comput. Phys. Commun. 101 (1997) 155, and Van Dyck, Fack, Discrete Math. 307 (2007)
1506, where the girth alone steers the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from fusionc.rewrite.skeleton import Move, Skeleton

BEAM = 8
"""How many states a layer keeps."""

BUDGET = 60_000
"""How many vertices of states are looked at before the search turns greedy: its time is bounded, and the same on every
machine."""

LARGE = 40
"""More vertices than this are reduced greedily first, to see whether a better reduction is worth a search."""

PATIENCE = 30_000
"""How many vertices of states that first reduction may look at."""

FIRST_CHOICES = 3
"""How many moves each of its steps compares."""

GREEDY_CHOICES = 8
"""How many moves a greedy step compares."""

FINALISTS = 6
"""How many complete reductions are handed on, at most."""

# What a ring of four or of five lines is worth, in vertices.
_SQUARE, _PENTAGON = 0.2, 0.1

Plan = tuple[Move, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    skeleton: Skeleton
    moves: Plan
    price: float


def plans(skeleton: Skeleton) -> tuple[Plan, ...]:
    """Complete reductions of a skeleton, all with the same number of sums, in a fixed order."""
    layer = [_settled(skeleton.copy(), ())]
    left = BUDGET
    while not any(_is_empty(state) for state in layer):
        children = _children(layer, left) if left > 0 else _children(layer[:1], 0)
        left -= _size(children)
        layer = sorted(children, key=lambda state: state.price)[:BEAM]
    return tuple(state.moves for state in layer if _is_empty(state))[:FINALISTS]


def first_plan(skeleton: Skeleton) -> Plan | None:
    """A greedy reduction, with more sums than the best; None where the graph is so large and has so few short rings
    that even this is a long search."""
    state, left = _settled(skeleton.copy(), ()), PATIENCE
    while not _is_empty(state):
        children = _children([state], 0, FIRST_CHOICES)
        left -= _size(children)
        if left < 0:
            return None
        state = min(children, key=lambda child: child.price)
    return state.moves


def _size(states: Iterable[_State]) -> int:
    return sum(len(state.skeleton.star) for state in states)


def _is_empty(state: _State) -> bool:
    return not state.skeleton.ends


def _children(layer: list[_State], budget: int, least: int = GREEDY_CHOICES) -> list[_State]:
    """The states one sum further on, each skeleton once: all of them while they have no more vertices than the budget,
    and the first few of each state in any case."""
    found: dict[tuple[tuple[int, ...], ...], _State] = {}
    for state in layer:
        for number, move in enumerate(_choices(state.skeleton)):
            if number >= least and budget <= 0:
                break
            budget -= len(state.skeleton.star)
            child = state.skeleton.copy()
            child.apply(move)
            key = child.key()
            if key not in found:
                found[key] = _settled(child, (*state.moves, move))
    return list(found.values())


def _settled(skeleton: Skeleton, moves: Plan) -> _State:
    """The state after all moves that cost no sum; takes the skeleton over."""
    free = []
    while (move := skeleton.free_move()) is not None:
        skeleton.apply(move)
        free.append(move)
    return _State(skeleton, (*moves, *free), _price(skeleton))


def _price(skeleton: Skeleton) -> float:
    squares, pentagons = skeleton.short_rings()
    return len(skeleton.star) - _SQUARE * squares - _PENTAGON * pentagons


def _choices(skeleton: Skeleton) -> Iterator[Move]:
    """Every square in its two ways; every flip that shortens a shortest ring of five lines or more."""
    any_ring = False
    for p, q, r, s in skeleton.rings(4):
        any_ring = True
        yield Move("square", (p, q, r, s))
        yield Move("square", (q, r, s, p))
    for length in count(5):
        for ring in skeleton.rings(length):
            any_ring = True
            for k, name in enumerate(ring):
                yield Move("flip", (name, ring[k - 1], ring[(k + 1) % len(ring)]))
        if any_ring:
            return

"""Which sums to introduce, and where: a beam search for reductions with few summations.

A state is a skeleton from which everything that costs no sum has been folded away, so its girth is at least four. From
there a square is replaced (one sum, two vertices less), or a flip shortens one of the shortest rings of at least five
lines (one sum). Layer k holds states after k sums; those with few vertices and many short rings go on. The first layer
in which a state is empty ends the search.

Compare Fack, Pitre, Van der Jeugt, Comput. Phys. Commun. 101 (1997) 155, and Van Dyck, Fack, Discrete Math. 307 (2007)
1506, where the girth alone steers the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fusionc.rewrite.skeleton import Move, Skeleton

BEAM = 8
"""How many states a layer keeps."""

BUDGET = 6000
"""How many states are looked at before the search turns greedy: its time is bounded, and the same on every machine."""

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
    layer, looked_at = [_settled(skeleton.copy(), ())], 1
    while not any(_is_empty(state) for state in layer):
        greedy = looked_at > BUDGET
        children = _children(layer[:1] if greedy else layer, GREEDY_CHOICES if greedy else None)
        looked_at += len(children)
        layer = sorted(children, key=lambda state: state.price)[:BEAM]
    return tuple(state.moves for state in layer if _is_empty(state))[:FINALISTS]


def _is_empty(state: _State) -> bool:
    return not state.skeleton.ends


def _children(layer: list[_State], limit: int | None) -> list[_State]:
    """All states one sum further on, each skeleton once."""
    found: dict[tuple[tuple[int, ...], ...], _State] = {}
    for state in layer:
        for move in list(_choices(state.skeleton))[:limit]:
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
    squares, pentagons = (sum(1 for _ in skeleton.rings(length)) for length in (4, 5))
    return len(skeleton.star) - _SQUARE * squares - _PENTAGON * pentagons


def _choices(skeleton: Skeleton) -> Iterator[Move]:
    """Every square in its two ways; every flip that shortens a shortest ring of five lines or more."""
    squares = list(skeleton.rings(4))
    for p, q, r, s in squares:
        yield Move("square", (p, q, r, s))
        yield Move("square", (q, r, s, p))
    length, rings = 5, list(skeleton.rings(5))
    while not squares and not rings:
        length += 1
        rings = list(skeleton.rings(length))
    for ring in rings:
        for k, name in enumerate(ring):
            yield Move("flip", (name, ring[k - 1], ring[(k + 1) % len(ring)]))

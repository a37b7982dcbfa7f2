"""Which sums to introduce, and where: a beam search for a reduction with few summations."""

from __future__ import annotations

from dataclasses import dataclass

from fusionc.rewrite.skeleton import Move, Skeleton

BEAM = 12


@dataclass(frozen=True, slots=True)
class Node:
    skeleton: Skeleton
    moves: tuple[Move, ...]
    score: tuple[float, ...]


def settle(skeleton: Skeleton) -> list[Move]:
    moves = []
    while (move := skeleton.free_move()) is not None:
        skeleton.apply(move)
        moves.append(move)
    return moves


def search(skeleton: Skeleton, beam: int = BEAM) -> tuple[Move, ...]:
    start = skeleton.copy()
    moves = tuple(settle(start))
    layer = [Node(start, moves, ())]
    while True:
        done = [n for n in layer if not n.skeleton.ends]
        if done:
            return done[0].moves
        seen = {}
        for node in layer:
            for move in choices(node.skeleton):
                child = node.skeleton.copy()
                child.apply(move)
                key = child.key()
                if key in seen:
                    continue
                free = settle(child)
                seen[key] = Node(child, (*node.moves, move, *free), score(child))
        layer = sorted(seen.values(), key=lambda n: n.score)[:beam]


def choices(sk: Skeleton) -> list[Move]:
    out = []
    squares = list(sk.rings(4))
    for p, q, r, s in squares:
        out += [Move("square", (p, q, r, s)), Move("square", (q, r, s, p))]
    length = 5
    rings = []
    if squares and not WIDE:
        return out
    while True:
        rings = list(sk.rings(length))
        if rings or (squares):
            break
        length += 1
    seen = set()
    for ring in rings:
        for k in range(len(ring)):
            a, x, b = ring[k - 2], ring[k - 1], ring[k]
            if (x, min(a, b), max(a, b)) in seen:
                continue
            seen.add((x, min(a, b), max(a, b)))
            out.append(Move("flip", (x, a, b)))
    return out


WIDE = True


def score(sk: Skeleton):
    n = len(sk.star)
    if not n:
        return (-100.0,)
    return (n * A - B * sum(1 for _ in sk.rings(4)) - C * sum(1 for _ in sk.rings(5)),)


A, B, C = 1.0, 0.5, 0.1

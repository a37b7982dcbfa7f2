"""Recoupling: a coupling tree is an exact linear combination of the coupling trees of any other shape.

    a b c           a b c          a b           b a
    \\ / /           \\ \\ /          \\ /           \\ /
     x /     =  Σ_y  \\ y  F_xy       |     =  R    |
      |               |             c             c
      j               j

Every tree of vertices is brought to every other by these two moves, the one from left to right or back again
(F is real and orthogonal, so its inverse is its transpose) and the exchange of two branches. For SU(2) they are
F_xy = (-1)^{a+b+c+j} sqrt((2x+1)(2y+1)) {a b x; c j y} and R = (-1)^{a+b-c}
(Racah 1942, 1943; Varshalovich 1988, ch. 9 and 10; that two moves suffice: Mac Lane 1963).

To couple the leaves A of a subtree with one another, and likewise its other leaves B, each branch is first split into
its A and its B; three F-moves then exchange the inner two of ((A₁ B₁)(A₂ B₂)), which is a 9j symbol as one sum over
three F (Varshalovich 1988, 10.2), and where a part is empty one F-move is enough. The wanted shape follows from its
root downwards. Which moves lead from one shape to another is independent of the irreps, so it is worked out once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.tensors import ExactTensor, contract

Shape: TypeAlias = "int | tuple[Shape, Shape]"
"""A tree without its irreps: a leaf's number, or a pair of shapes."""


@dataclass(frozen=True)
class Leaf:
    """An operand: its number, and its irrep."""

    number: int
    irrep: Irrep

    @property
    def leaves(self) -> int:
        """The set of the leaf's number, as bits."""
        return 1 << self.number


@dataclass(frozen=True, eq=False)
class Fused:
    """Two trees, fused into copy number `copy` of an irrep. Raises ValueError when they have a leaf in common.

    Nothing here recurses but `repr`: trees may be thousands of vertices deep.
    """

    left: CouplingTree
    right: CouplingTree
    irrep: Irrep
    copy: int = 0
    leaves: int = field(init=False, repr=False)
    """The set of the leaves' numbers, as bits."""
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.left.leaves & self.right.leaves:
            raise ValueError("a leaf occurs twice in a tree")
        object.__setattr__(self, "leaves", self.left.leaves | self.right.leaves)
        object.__setattr__(self, "_hash", hash((hash(self.left), hash(self.right), self.irrep, self.copy)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fused):
            return NotImplemented
        pairs: list[tuple[CouplingTree, CouplingTree]] = [(self, other)]
        while pairs:
            one, two = pairs.pop()
            if one is two:
                continue
            if not isinstance(one, Fused) or not isinstance(two, Fused):
                if isinstance(one, Fused) or isinstance(two, Fused) or one != two:
                    return False
                continue
            if one._hash != two._hash or one.irrep != two.irrep or one.copy != two.copy:
                return False
            pairs += [(one.left, two.left), (one.right, two.right)]
        return True


CouplingTree: TypeAlias = Leaf | Fused
Combination: TypeAlias = tuple[tuple[CouplingTree, Surd], ...]


def shape_of(tree: CouplingTree) -> Shape:
    """The tree without its irreps."""
    done: list[Shape] = []
    for node in reversed(_prefix(tree)):
        done.append(node.number if isinstance(node, Leaf) else (done.pop(), done.pop()))
    return done[0]


def recouple(group: Group, tree: CouplingTree, shape: Shape) -> Combination:
    """tree = sum of coefficient * tree', each tree' of the given shape, same leaves, same total irrep.

    Every vertex of `tree` must be allowed. The order of the sum is that of the rewriting, the same in every run; no
    coefficient is zero. What already has the wanted shape is returned as it is, whatever its depth.

    Raises ValueError for a shape with other leaves, NotImplementedError where a vertex that has to move has copies.
    """
    return _recouple(group, tree, _tokens(shape))


def exchange(group: Group, tree: CouplingTree) -> tuple[Fused, Surd]:
    """The tree with the two branches of its root exchanged, and R: tree = R * tree'.

    Raises ValueError for a leaf, NotImplementedError for a copy of an irrep that has several.
    """
    if isinstance(tree, Leaf):
        raise ValueError("a leaf has no branches to exchange")
    _refuse_copies(tree.copy)
    exchanged = Fused(tree.right, tree.left, tree.irrep)
    return exchanged, group.r_symbol(tree.right.irrep, tree.left.irrep, tree.irrep)


@lru_cache(maxsize=4096)
def tensor(group: Group, tree: CouplingTree, basis: Basis | None = None) -> ExactTensor:
    """The value of a tree: an axis for each leaf, ascending by number, then the component of the total irrep."""
    if isinstance(tree, Leaf):
        return ExactTensor.identity(group.dim(tree.irrep))
    words, factors = [""], [group.vertex(tree.left.irrep, tree.right.irrep, tree.irrep, tree.copy, basis)]
    for branch, line in ((tree.left, "L"), (tree.right, "R")):
        if isinstance(branch, Fused):
            words.append(_letters(branch) + line)
            factors.append(tensor(group, branch, basis))
        words[0] += line if isinstance(branch, Fused) else _letters(branch)
    words[0] += "J"
    return contract(",".join(words) + "->" + _letters(tree) + "J", *factors)


def _letters(tree: CouplingTree) -> str:
    """One letter a leaf, ascending."""
    return "".join(chr(_FIRST + place) for place, bit in enumerate(reversed(f"{tree.leaves:b}")) if bit == "1")


_FIRST = 0x4E00  # letters that are none of L, R, J and no punctuation


# -- which moves ---------------------------------------------------------------------------------------------


class Law(Enum):
    """The elementary moves; their places are the lines (a, b, c, j, x), or (a, b, c)."""

    F = "((a b)x c)j -> (a (b c)x)j"
    BACK = "(a (b c)x)j -> ((a b)x c)j"
    R = "(a b)c -> (b a)c"


Tokens: TypeAlias = tuple[int, ...]
"""A shape in prefix order: a leaf's number, or `PAIR` before the two parts."""
PAIR = -1


@dataclass(frozen=True)
class Move:
    """An elementary move. A place is a line of the tree, numbered in the prefix order of the first tree; a line that
    an F-move replaces keeps its number."""

    law: Law
    places: tuple[int, ...]


@dataclass(frozen=True)
class Route:
    """From one shape to another: moves, then the vertices (line, left, right) that are new, leaves first."""

    moves: tuple[Move, ...]
    vertices: tuple[tuple[int, int, int], ...]
    moved: tuple[int, ...]
    """The vertices, by their outgoing line, that a move touches."""


@lru_cache(maxsize=16384)
def _route(start: Tokens, goal: Tokens) -> Route:
    """Leaves are numbered 0, 1, 2, ... in the order of `start`."""
    sketch = _Sketch(start)
    wanted = _Sketch(goal)
    pairs = [(0, 0)]
    for place, target in pairs:  # grows while it is read: from the root downwards
        if target not in wanted.children:
            continue
        left, right = wanted.children[target]
        sketch.split(place, wanted.leaves[left])
        pairs += zip(sketch.children[place], (left, right), strict=True)
    vertices = sketch.new_vertices([place for place, _ in pairs])
    return Route(tuple(sketch.moves), vertices, tuple(sorted(sketch.moved)))


class _Sketch:
    """A shape that is being rewritten: the children of each line, and its set of leaves as bits."""

    def __init__(self, tokens: Tokens) -> None:
        self.children: dict[int, tuple[int, int]] = {}
        self.leaves = [0] * len(tokens)
        self.moves: list[Move] = []
        self.moved: set[int] = set()
        done: list[int] = []
        for place in range(len(tokens) - 1, -1, -1):
            if tokens[place] == PAIR:
                left, right = self.children[place] = done.pop(), done.pop()
                self.leaves[place] = self.leaves[left] | self.leaves[right]
            else:
                self.leaves[place] = 1 << tokens[place]
            done.append(place)
        self.start = dict(self.children)

    def split(self, root: int, first: int) -> None:
        """Rewrite below `root` so that its left branch holds its leaves in `first`, and its right one the others."""
        mixed = [place for place in [root] if self._part(place, first) == "both"]
        for place in mixed:  # grows while it is read: a vertex before those below it
            mixed += [child for child in self.children[place] if self._part(child, first) == "both"]
        for place in reversed(mixed):
            self._regroup(place, first)

    def _part(self, place: int, first: int) -> str:
        leaves = self.leaves[place]
        return "second" if not leaves & first else "both" if leaves & ~first else "first"

    def _regroup(self, place: int, first: int) -> None:
        """The branches are split (A B); so will be their vertex. Below: (A B) left, (a b) right."""
        left, right = self.children[place]
        match self._part(left, first), self._part(right, first):
            case "both", "both":  # ((A B)(a b)) -> (A (B (a b))) -> (A (a (b B))) -> ((A a)(b B))
                self._forth(place)
                self._exchange(left)
                self._forth(left)
                self._back(place)
            case "both", "second":  # ((A B) b) -> (A (B b))
                self._forth(place)
            case "first", "both":  # (A (a b)) -> ((A a) b)
                self._back(place)
            case "both", "first":  # ((A B) a) -> (a (A B)) -> ((a A) B)
                self._exchange(place)
                self._back(place)
            case "second", "both":  # (B (a b)) -> ((a b) B) -> (a (b B))
                self._exchange(place)
                self._forth(place)
            case "second", "first":
                self._exchange(place)

    def _exchange(self, place: int) -> None:
        left, right = self.children[place]
        self._record(Law.R, left, right, place)
        self.children[place] = right, left

    def _forth(self, place: int) -> None:
        x, c = self.children[place]
        a, b = self.children[x]
        self._record(Law.F, a, b, c, place, x)
        self._rewire(x, b, c)
        self.children[place] = a, x

    def _back(self, place: int) -> None:
        a, x = self.children[place]
        b, c = self.children[x]
        self._record(Law.BACK, a, b, c, place, x)
        self._rewire(x, a, b)
        self.children[place] = x, c

    def _record(self, law: Law, *places: int) -> None:
        self.moves.append(Move(law, places))
        self.moved.update(places[2:] if law is Law.R else places[3:])

    def _rewire(self, place: int, left: int, right: int) -> None:
        self.children[place] = left, right
        self.leaves[place] = self.leaves[left] | self.leaves[right]

    def new_vertices(self, places: list[int]) -> tuple[tuple[int, int, int], ...]:
        """The vertices with a move at them or below them, a vertex after those below it; `places` from the root."""
        new: list[tuple[int, int, int]] = []
        fresh: set[int] = set()
        for place in reversed(places):
            branches = self.children.get(place)
            if branches and (place in self.moved or not fresh.isdisjoint(branches)):
                fresh.add(place)
                new.append((place, *branches))
        return tuple(new)


# -- with irreps ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _recouple(group: Group, tree: CouplingTree, goal: Tokens) -> Combination:
    nodes = _prefix(tree)
    start = _numbers(nodes)
    if start == goal:
        return ((tree, ONE),)
    order = {number: rank for rank, number in enumerate(number for number in start if number != PAIR)}
    if sorted(number for number in goal if number != PAIR) != sorted(order):
        raise ValueError("a tree is recoupled into a shape with the same leaves, each once")
    route = _route(_renumbered(start, order), _renumbered(goal, order))
    for place in route.moved:
        _refuse_copies(getattr(nodes[place], "copy", 0))
    terms = {tuple(node.irrep for node in nodes): ONE}
    for move in route.moves:
        terms = _moved(group, move, terms)
    return tuple((_built(route, list(nodes), irreps), coefficient) for irreps, coefficient in terms.items())


Labels: TypeAlias = tuple[Irrep, ...]


def _moved(group: Group, move: Move, terms: dict[Labels, Surd]) -> dict[Labels, Surd]:
    """One move in every term."""
    if move.law is Law.R:
        return {
            irreps: coefficient * factor
            for irreps, coefficient in terms.items()
            if (factor := _r(group, *(irreps[place] for place in move.places)))
        }
    row = _row if move.law is Law.F else _column
    x = move.places[-1]
    sums: dict[Labels, Surd] = {}
    for irreps, coefficient in terms.items():
        for y, factor in row(group, *[irreps[place] for place in move.places]):
            key = (*irreps[:x], y, *irreps[x + 1 :])
            before = sums.get(key)
            sums[key] = coefficient * factor if before is None else before + coefficient * factor
    return {irreps: coefficient for irreps, coefficient in sums.items() if coefficient}


@lru_cache(maxsize=1 << 16)
def _row(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep, x: Irrep) -> tuple[tuple[Irrep, Surd], ...]:
    """((a b)x c)j = sum of (a (b c)y)j, all (y, F) with F not zero."""
    found = [(y, group.f_symbol(a, b, c, j, x, y)) for y in _single(group, b, c)]
    return tuple((y, factor) for y, factor in found if factor)


@lru_cache(maxsize=1 << 16)
def _column(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep, y: Irrep) -> tuple[tuple[Irrep, Surd], ...]:
    """(a (b c)y)j = sum of ((a b)x c)j, all (x, F) with F not zero."""
    found = [(x, group.f_symbol(a, b, c, j, x, y)) for x in _single(group, a, b)]
    return tuple((x, factor) for x, factor in found if factor)


@lru_cache(maxsize=1 << 16)
def _r(group: Group, a: Irrep, b: Irrep, c: Irrep) -> Surd:
    """(a b)c = R (b a)c."""
    return group.r_symbol(b, a, c)


def _single(group: Group, a: Irrep, b: Irrep) -> list[Irrep]:
    """The irreps of a x b, none of which may occur twice."""
    for _, copies in group.product(a, b):
        _refuse_copies(copies - 1)
    return [irrep for irrep, _ in group.product(a, b)]


def _refuse_copies(copy: int) -> None:
    if copy:
        raise NotImplementedError("recoupling a vertex with copies needs an F-symbol that has copies")


def _built(route: Route, nodes: list[CouplingTree], irreps: Labels) -> CouplingTree:
    for place, left, right in route.vertices:
        copy = getattr(nodes[place], "copy", 0)  # zero where a move has been
        nodes[place] = Fused(nodes[left], nodes[right], irreps[place], copy)
    return nodes[0]


# -- prefix order --------------------------------------------------------------------------------------------


def _prefix(tree: CouplingTree) -> list[CouplingTree]:
    nodes: list[CouplingTree] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if isinstance(node, Fused):
            waiting += [node.right, node.left]
    return nodes


def _numbers(nodes: list[CouplingTree]) -> Tokens:
    return tuple(node.number if isinstance(node, Leaf) else PAIR for node in nodes)


def _tokens(shape: Shape) -> Tokens:
    tokens: list[int] = []
    waiting = [shape]
    while waiting:
        part = waiting.pop()
        if isinstance(part, tuple):
            tokens.append(PAIR)
            waiting += [part[1], part[0]]
        else:
            tokens.append(part)
    return tuple(tokens)


def _renumbered(tokens: Tokens, order: dict[int, int]) -> Tokens:
    return tuple(PAIR if number == PAIR else order[number] for number in tokens)

"""Where the parts of a picture go: a layered layout, in the manner of Sugiyama.

    rank          every node gets a layer, by the longest way down to it       o   o   o
    dummies       an arc that skips layers gets a placeholder in each           \\ /   |
    order         each layer is sorted so that few arcs cross                    o    :
    coordinates   nodes move towards their neighbours, as far as room allows      \\  /
                                                                                   o

Nodes stay within the band of their layer, and arcs slant between bands only. So no arc can run through a node, and
no two nodes overlap. Nothing here knows what the picture shows. The same input gives the same numbers, to the last bit.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

import networkx as nx

NODE_GAP = 22.0
DUMMY = 7.0  # half the room that a passing arc takes
STIFFNESS = 8.0  # how much more a passing arc wants to be straight than an ordinary one
SWEEPS = 12  # of sorting the layers
ROUNDS, LAST_ROUNDS = 40, 20  # of moving the nodes; in the last ones they look upwards only
FROM_BELOW = 0.1  # how much less a node follows what is below it than what is above it
SHORTEST, LONGEST = 30.0, 130.0  # of the room between two bands
SLOPE = 0.42  # how steep arcs should be at least


@dataclass(frozen=True)
class Node:
    """A box around an anchor where its arcs run: how far it reaches to either side, and how high it is."""

    left: float
    right: float
    height: float
    at_bottom: bool = False


@dataclass(frozen=True)
class Arc:
    """An arc downwards. It leaves its tail at `port`, counted from the anchor; `rigid`: upright where possible."""

    tail: int
    head: int
    port: float = 0.0
    rigid: bool = False


@dataclass(frozen=True)
class Band:
    """The rows of the picture that a layer has to itself."""

    top: float
    bottom: float


@dataclass(frozen=True)
class Layout:
    """The answer: each node's layer and anchor, each layer's band, and where each arc meets the layers from its
    tail's down to its head's. The smallest x is 0, and so is the smallest y."""

    ranks: tuple[int, ...]
    anchors: tuple[float, ...]
    bands: tuple[Band, ...]
    routes: tuple[tuple[float, ...], ...]
    width: float

    @property
    def height(self) -> float:
        return self.bands[-1].bottom if self.bands else 0.0


def arrange(nodes: Sequence[Node], arcs: Sequence[Arc]) -> Layout:
    """Lay out a directed graph without cycles. Arcs into a node keep the order given, where another is no better."""
    sheet = _Sheet(list(nodes), arcs, _ranks(nodes, arcs))
    _order(sheet)
    _place(sheet)
    return _result(sheet)


def _ranks(nodes: Sequence[Node], arcs: Sequence[Arc]) -> tuple[int, ...]:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(nodes)))
    graph.add_edges_from((arc.tail, arc.head) for arc in arcs)
    generations = list(nx.topological_generations(graph))
    ranks = [0] * len(nodes)
    for rank, generation in enumerate(generations):
        for node in generation:
            ranks[node] = len(generations) - 1 if nodes[node].at_bottom else rank
    return tuple(ranks)


Link = tuple[int, float, float]  # a neighbour, the port where the arc leaves its upper end, and how much it pulls


@dataclass
class _Sheet:
    """The graph with its dummies: `nodes` are followed by one dummy for each layer that an arc passes.

    `above[n]` and `below[n]` hold n's neighbours; `x` are the anchors.
    `runs` are nodes one below the other that want the same x.
    """

    nodes: list[Node]
    arcs: Sequence[Arc]
    ranks: Sequence[int]
    chains: list[list[int]] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    above: list[list[Link]] = field(default_factory=list)
    below: list[list[Link]] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ranks = list(self.ranks)
        for arc in self.arcs:
            passed = range(self.ranks[arc.tail] + 1, self.ranks[arc.head])
            first = len(self.nodes)
            self.nodes += [Node(DUMMY, DUMMY, 0.0)] * len(passed)
            ranks += passed
            self.chains.append([arc.tail, *range(first, len(self.nodes)), arc.head])
        self.ranks = ranks
        self.above = [[] for _ in self.nodes]
        self.below = [[] for _ in self.nodes]
        for arc, chain in zip(self.arcs, self.chains, strict=True):
            for step, (upper, lower) in enumerate(pairwise(chain)):
                passing = step < len(chain) - 2
                port, pull = (0.0 if step else arc.port), (STIFFNESS if passing or arc.rigid else 1.0)
                self.above[lower].append((upper, port, pull))
                self.below[upper].append((lower, port, pull))
        self.layers = [[] for _ in range(max(ranks, default=-1) + 1)]
        self.x = [0.0] * len(self.nodes)
        self.runs = _runs(self.arcs, self.chains)


def _runs(arcs: Sequence[Arc], chains: Sequence[list[int]]) -> list[list[int]]:
    """Rigid arcs, the dummies of the others, and a source with the dummies of the one arc that hangs on it; where
    one ends in the node in which another begins, both are one run."""
    uses = Counter(end for arc in arcs for end in (arc.tail, arc.head))
    pieces: dict[int, list[int]] = {}
    for arc, chain in zip(arcs, chains, strict=True):
        hangs = uses[arc.tail] == 1 and not arc.port
        piece = chain if arc.rigid else chain[:-1] if hangs else chain[1:-1]
        if len(piece) > 1:
            pieces[piece[0]] = piece
    inner = {piece[-1] for piece in pieces.values()}
    runs = [list(piece) for first, piece in pieces.items() if first not in inner]
    for run in runs:
        while run[-1] in pieces:
            run += pieces[run[-1]][1:]
    return runs


# --- order: few crossings ---


def _order(sheet: _Sheet) -> None:
    """Start from the order of a walk up from the sinks, which leaves a tree without crossings; then sort by
    barycentres, downwards and upwards in turn, and keep the best order met."""
    for node in _walk(sheet):
        sheet.layers[sheet.ranks[node]].append(node)
    best, fewest = [list(layer) for layer in sheet.layers], _crossings(sheet)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        _sort_by_barycentres(sheet, down=sweep % 2 == 0)
        found = _crossings(sheet)
        if found < fewest:
            best, fewest = [list(layer) for layer in sheet.layers], found
    sheet.layers = best


def _walk(sheet: _Sheet) -> Iterator[int]:
    """Every node once, after all that lies above it."""
    seen: set[int] = set()
    for sink in (node for node, below in enumerate(sheet.below) if not below):
        stack = [(sink, iter(sheet.above[sink]))]
        seen.add(sink)
        while stack:
            node, above = stack[-1]
            upper = next((upper for upper, _, _ in above if upper not in seen), None)
            if upper is None:
                stack.pop()
                yield node
            else:
                seen.add(upper)
                stack.append((upper, iter(sheet.above[upper])))


def _sort_by_barycentres(sheet: _Sheet, down: bool) -> None:
    towards = sheet.above if down else sheet.below
    places: dict[int, int] = {}
    for layer in sheet.layers if down else reversed(sheet.layers):
        keys = {
            node: fmean(places[other] for other, _, _ in towards[node]) if towards[node] else float(place)
            for place, node in enumerate(layer)
        }
        layer.sort(key=keys.__getitem__)
        places = {node: place for place, node in enumerate(layer)}


def _crossings(sheet: _Sheet) -> int:
    """Two arcs between the same layers cross when their ends stand in opposite orders: an inversion."""
    total = 0
    for upper, lower in pairwise(sheet.layers):
        places = {node: place for place, node in enumerate(lower)}
        ends: list[int] = []
        for node in upper:
            heads = sorted(places[head] for head, _, _ in sheet.below[node])
            total += sum(len(ends) - bisect_right(ends, head) for head in heads)
            for head in heads:
                insort(ends, head)
    return total


# --- coordinates: short and straight ---


def _place(sheet: _Sheet) -> None:
    """Each run goes where the arcs at its ends are shortest, as far as the distances to its neighbours allow.

    What the distances allow is a convex set. A run that is too near to its left neighbour is pushed to the right, or
    its neighbour to the left: either way ends in the set, and so does the middle between them.
    """
    runs, distances = _consistent(sheet)
    run_of = {node: number for number, run in enumerate(runs) for node in run}
    above = [list(_links(run, run_of, sheet.above, 1)) for run in runs]
    below = [list(_links(run, run_of, sheet.below, -1)) for run in runs]
    place = _apart([0.0] * len(runs), distances)
    for _ in range(ROUNDS):
        for number in range(len(runs)):
            place[number] = _wish(place, number, above[number], below[number], FROM_BELOW)
        place = _apart(place, distances)
    for _ in range(LAST_ROUNDS):
        for number in range(len(runs)):
            place[number] = _wish(place, number, above[number], [], 0.0)
        place = _apart(place, distances)
    sheet.x = [place[run_of[node]] for node in range(len(sheet.nodes))]


def _links(run: list[int], run_of: dict[int, int], neighbours: list[list[Link]], sign: int) -> Iterator[Link]:
    """The arcs from a run to others."""
    for node in run:
        for other, port, pull in neighbours[node]:
            if run_of[other] != run_of[node]:
                yield run_of[other], sign * port, pull


def _wish(place: list[float], number: int, above: list[Link], below: list[Link], share: float) -> float:
    """Where a run wants to be: the mean over its neighbours, in which those below count for a share only."""
    links = [*above, *((other, port, pull * share) for other, port, pull in below)]
    weight = sum(pull for _, _, pull in links)
    return sum((place[other] + port) * pull for other, port, pull in links) / weight if links else place[number]


Distances = list[tuple[int, int, float]]  # of two runs: left, right, the least distance; those of the left come first


def _consistent(sheet: _Sheet) -> tuple[list[list[int]], Distances]:
    """The runs, those that cross one another cut into pieces, and the distances between them."""
    runs = list(sheet.runs)
    in_runs = {node for run in runs for node in run}
    runs += [[node] for node in range(len(sheet.nodes)) if node not in in_runs]
    while True:
        runs.sort(key=lambda run: (sheet.ranks[run[0]], run[0]))
        graph = _neighbours(sheet, runs)
        tangled = {run for knot in nx.strongly_connected_components(graph) if len(knot) > 1 for run in knot}
        if not tangled:
            break
        halves = [(run[: len(run) // 2], run[len(run) // 2 :]) for run in map(runs.__getitem__, sorted(tangled))]
        kept = [run for number, run in enumerate(runs) if number not in tangled]
        runs = kept + [half for pair in halves for half in pair if half]
    order = nx.topological_sort(graph)
    return runs, [pair for left in order for pair in sorted(graph.edges(left, data="gap"))]


def _neighbours(sheet: _Sheet, runs: Sequence[Sequence[int]]) -> nx.DiGraph:
    """Which run stands to the left of which."""
    run_of = {node: number for number, run in enumerate(runs) for node in run}
    gaps: dict[tuple[int, int], float] = {}
    for layer in sheet.layers:
        for left, right in pairwise(layer):
            pair = run_of[left], run_of[right]
            gaps[pair] = max(gaps.get(pair, 0.0), _distance(sheet, left, right))
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(runs)))
    graph.add_edges_from((left, right, {"gap": gap}) for (left, right), gap in gaps.items())
    return graph


def _distance(sheet: _Sheet, left: int, right: int) -> float:
    nodes = sheet.nodes[left], sheet.nodes[right]
    both_pass = all(not node.height for node in nodes)
    return nodes[0].right + nodes[1].left + (0.0 if both_pass else NODE_GAP)


def _apart(place: list[float], distances: Distances) -> list[float]:
    """The runs with their distances kept: the middle between pushing all to the right and all to the left."""
    rightmost, leftmost = list(place), list(place)
    for left, right, gap in distances:
        rightmost[right] = max(rightmost[right], rightmost[left] + gap)
    for left, right, gap in reversed(distances):
        leftmost[left] = min(leftmost[left], leftmost[right] - gap)
    return [(a + b) / 2 for a, b in zip(leftmost, rightmost, strict=True)]


# --- the answer ---


def _result(sheet: _Sheet) -> Layout:
    left = min((x - node.left for x, node in zip(sheet.x, sheet.nodes, strict=True)), default=0.0)
    right = max((x + node.right for x, node in zip(sheet.x, sheet.nodes, strict=True)), default=0.0)
    anchors = [x - left for x in sheet.x]
    routes = []
    for arc, (tail, *rest) in zip(sheet.arcs, sheet.chains, strict=True):
        routes.append((anchors[tail] + arc.port, *(anchors[node] for node in rest)))
    real = len(sheet.nodes) - sum(len(chain) - 2 for chain in sheet.chains)
    return Layout(
        tuple(sheet.ranks[:real]),
        tuple(anchors[:real]),
        tuple(_bands(sheet, routes)),
        tuple(routes),
        right - left,
    )


def _bands(sheet: _Sheet, routes: Sequence[Sequence[float]]) -> Iterator[Band]:
    """The layers' bands, with more room between two where arcs slant far."""
    slants = [0.0] * len(sheet.layers)
    for arc, route in zip(sheet.arcs, routes, strict=True):
        for rank, (upper, lower) in enumerate(pairwise(route), start=sheet.ranks[arc.tail]):
            slants[rank] = max(slants[rank], abs(upper - lower))
    top = 0.0
    for layer, slant in zip(sheet.layers, slants, strict=True):
        bottom = top + max((sheet.nodes[node].height for node in layer), default=0.0)
        yield Band(top, bottom)
        top = bottom + round(min(max(SHORTEST, SLOPE * slant), LONGEST))

"""The ways in which states meet one weight for each path.

    out[k] = Σ_p  W[p] Σ_q  c[p,q]  V_q(L, R)[k]         q: states, each a vertex V of a left and a right part

    state    fuse each state, recouple the weights to the states (c), weigh, add up
    path     fuse each path with its constants (c), weigh, add up
    matrix   contract vertex, constants, weights and one part to a matrix; apply it to the other part
    inside   weigh one part and add up what meets the same partner at the same vertex; then fuse

The first two may use values that are there already; the matrix wins where one part has no channels, `inside` where many
paths share a vertex. Every way gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import Any

from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.ir import Weight
from fusionc.plan.products import ProductPath
from fusionc.plan.states import Pair, Use
from fusionc.plan.ties import Names
from fusionc.plan.vertices import profile
from fusionc.program.exact import exact, times
from fusionc.program.fuse import Meeting, Rows, Side, bilinear_forms, fuse, linear, product, starts_of
from fusionc.program.roots import (
    Placed,
    Root,
    added,
    channel_names,
    key_dims,
    meets_inside,
    moved,
    open_parts,
    opened_pair,
    part_of,
    summed_to,
    union,
    weights_of,
)

TRIED = 4
"""How many ways are lowered before one is chosen; the others are not promising."""

WORTHWHILE = 0.9
"""Ways are mixed where that multiplies less than this part of the best single way: more ways are more instructions."""


@dataclass(frozen=True)
class Weighing:
    """Paths whose states stand in one node, and their weight."""

    root: Root
    factor: Weight
    names: Names
    paths: tuple[tuple[ProductPath, tuple[tuple[Use, Surd], ...]], ...]

    def ways(self) -> dict[str, Callable[[], Placed]]:
        ways: dict[str, Callable[[], Placed]] = {"state": self.by_state, "path": self.by_path}
        if all(meets_inside(self.root, use, self.factor) for use in self.uses):
            for flip, side in ((False, "right"), (True, "left")):
                ways[f"matrix of {side}, by path"] = partial(self.matrix, flip, by_state=False)
                ways[f"matrix of {side}, by state"] = partial(self.matrix, flip, by_state=True)
                ways[f"inside {side}"] = partial(self.inside, flip)
                ways[f"inside {side}, by path"] = partial(self.inside_by_path, flip)
        return ways

    def reason(self, name: str) -> str:
        """A way in words."""
        weight, target = self.factor.name, self.root.product.target
        opened = opened_pair(self.uses[0])
        if opened is None or name in ("state", "path"):
            return f"{target}: {weight} weighs the coupled operands"
        pair = opened.state.what
        assert isinstance(pair, Pair)
        right, left = (" ".join(side.state.node.leaves) for side in (pair.right, pair.left))
        if name == "mixed":
            return f"{target}: {weight} meets every kind of vertex where it costs least: before it or behind it"
        one, other = (left, right) if name.split(",")[0].endswith("left") else (right, left)
        if name.startswith("inside"):
            return f"{target}: {weight} weighs {one} before the vertex: what meets {other} there is added up first"
        return f"{target}: vertices, {weight} and {one} become one sparse matrix that is applied to {other}"

    def by_vertex(self) -> list[Weighing]:
        """The same, apart for every kind of last vertex."""
        found: dict[object, dict[int, tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
        for path, uses in self.paths:
            for use, coefficient in uses:
                opened = opened_pair(use)
                pair = opened.state.what if opened is not None else None
                kind = (pair.left.irrep, pair.right.irrep, use.irrep) if isinstance(pair, Pair) else None
                found.setdefault(kind, {}).setdefault(path.number, (path, []))[1].append((use, coefficient))
        return [
            replace(self, paths=tuple((path, tuple(uses)) for path, uses in group.values())) for group in found.values()
        ]

    def promising(self) -> dict[str, Callable[[], Placed]]:
        """The ways that are worth trying: the best by their estimates, and every kind of vertex in its own way where
        that saves enough to be worth more instructions."""
        ways, parts = self.ways(), self.by_vertex()
        if len(ways) == 2:
            return ways
        estimates = [part.estimates() for part in parts]
        totals = {name: sum(estimate[name] for estimate in estimates) for name in ways}
        best = sorted(totals, key=totals.__getitem__)[:TRIED]
        found = {name: ways[name] for name in best}
        choice = [min(estimate, key=estimate.__getitem__) for estimate in estimates]
        apart = sum(estimate[name] for estimate, name in zip(estimates, choice, strict=True))
        if apart < WORTHWHILE * totals[best[0]]:
            found["mixed"] = lambda: self.mixed(parts, choice)
        return found

    def estimates(self) -> dict[str, float]:
        """What each way multiplies, for paths that end in one kind of vertex."""
        root, graph = self.root, self.root.table.graph
        opened = [opened_pair(use) for use in self.uses]
        pairs = [use.state.what for use in opened if use is not None]
        first = pairs[0]
        assert isinstance(first, Pair)
        irrep = self.uses[0].irrep
        vertex = profile(graph.group, graph.basis, first.left.irrep, first.right.irrep, irrep, first.copy)
        extents = dict(root.extents)
        named = channel_names(self.uses[0])
        left, right = ([named[number] for number in part.channels] for part in (first.left, first.right))
        for part in (first.left, first.right):
            extents |= {named[number]: size for number, size in part.extents.items()}
        weight = list(root.live(self.factor.channels))

        def width(*names: str) -> float:
            return prod(extents[name] for name in dict.fromkeys(names))

        items = sum(len(uses) for _, uses in self.paths)
        lefts = {pair.left for pair in pairs if isinstance(pair, Pair)}
        rights = {pair.right for pair in pairs if isinstance(pair, Pair)}
        by_left = len(
            {(p.place, u.state.number) for p, uses in self.paths for use, _ in uses for u in [part_of(use, 0)]}
        )
        by_right = len(self._partners(1))
        dim, one, two = (graph.group.dim(i) for i in (irrep, first.left.irrep, first.right.irrep))
        both, everything = width(*left, *right), width(*left, *right, *weight)
        of_right, of_left = (
            len(rights) * vertex.right_nonunit * width(*right),
            len(lefts) * vertex.left_nonunit * width(*left),
        )
        fused = min(
            len(pairs) * (len(vertex.pairs) + vertex.nonunit) * both,
            len(pairs) * vertex.right_terms * both + of_right,
            len(pairs) * vertex.left_terms * both + of_left,
        )
        behind = fused + items * dim * everything
        kept = [name for name in (*right, *weight) if name in left or name in self.names]
        applied_right = width(*left, *kept, *self.names)
        kept = [name for name in (*left, *weight) if name in right or name in self.names]
        applied_left = width(*right, *kept, *self.names)
        weighed_right, weighed_left = width(*right, *weight), width(*left, *weight)
        found = {
            "state": behind,
            "path": behind,
            "matrix of right": of_right
            + items * vertex.right_terms * weighed_right
            + by_left * vertex.right_terms * applied_right,
            "matrix of left": of_left
            + items * vertex.left_terms * weighed_left
            + by_right * vertex.left_terms * applied_left,
            "inside right": items * two * weighed_right
            + by_left * min(vertex.left_terms, vertex.right_terms) * applied_right,
            "inside left": items * one * weighed_left
            + by_right * min(vertex.left_terms, vertex.right_terms) * applied_left,
        }
        return {
            **{name: value for name, value in found.items() if not name.startswith("matrix")},
            **{f"{name}, by path": found[name] for name in found if name.startswith("inside")},
            **{
                f"{name}, by {what}": found[name]
                for name in found
                if name.startswith("matrix")
                for what in ("path", "state")
            },
        }

    def _partners(self, which: int) -> set[tuple[int, int]]:
        """The left (right) parts that occur, each once for every place that it leads to."""
        return {(path.place, part_of(use, which).state.number) for path, uses in self.paths for use, _ in uses}

    def mixed(self, parts: Sequence[Weighing], choice: Sequence[str]) -> Placed:
        """Every kind of vertex in the way that is cheapest for it; those of one way together."""
        buckets: dict[str, dict[int, tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
        for part, name in zip(parts, choice, strict=True):
            bucket = buckets.setdefault(name, {})
            for path, uses in part.paths:
                bucket.setdefault(path.number, (path, []))[1].extend(uses)
        found = []
        for name, bucket in buckets.items():
            paths = tuple((path, tuple(uses)) for path, uses in bucket.values())
            found.append(replace(self, paths=paths).ways()[name]())
        return added(self.root, found, self.dims, self.names)

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        return tuple(dict.fromkeys(use for _, uses in self.paths for use, _ in uses))

    @cached_property
    def dims(self) -> dict[Any, int]:
        return {path.place: self.root.path_dim(path) for path, _ in self.paths}

    @property
    def numbers(self) -> list[int]:
        return sorted({path.number for path, _ in self.paths})

    def recoupled(self, scale: Callable[[Use], Surd]) -> tuple[Placed, list[tuple[Use, int, int, int]]]:
        """The weights of states: a value, and for each state and place (use, place, component, sign)."""
        forms: dict[tuple[Use, int], dict[int, Surd]] = {}
        placed, codes = weights_of(self.root, self.factor, self.numbers), self.root.builder.codes
        for path, uses in self.paths:
            for use, coefficient in uses:
                form, at = forms.setdefault((use, path.place), {}), placed.side.starts[path.number]
                value = codes.product(coefficient, scale(use))
                form[at] = form[at] + value if at in form else value
        rows, found = Rows(), []
        for (use, place), form in forms.items():
            kept = {at: codes.of(value) for at, value in form.items() if value}
            if kept:
                number, sign = rows.number(kept)
                found.append((use, place, number, sign))
        if rows.trivial:
            return placed, [(use, place, rows.only(number), sign) for use, place, number, sign in found]
        made = linear(self.root.builder, placed.side.value, rows.forms, f"{self.factor.name}, recoupled")
        return Placed(Side(made, placed.side.names, {}), placed.sites), found

    def by_state(self) -> Placed:
        root, scale = self.root, self.root.values.scale
        weights, found = self.recoupled(lambda use: scale(use.state))
        side = root.values.node(self.uses[0].state)
        states = Placed(Side(side.value, self.uses[0].channels, side.starts), self.uses[0].sites)
        sites = union(root, states.sites, weights.sites)
        left, right = moved(root, states, sites), moved(root, weights, sites)
        starts, total = starts_of(sorted(self.dims), self.dims)
        terms = [
            (left.starts[use.state.number] + k, number, starts[place] + k, sign)
            for use, place, number, sign in found
            for k in range(self.dims[place])
        ]
        value = product(root.builder, left, right, self.names, terms, total, root.product.target)
        return Placed(Side(value, self.names, starts), sites)

    def by_path(self) -> Placed:
        root = self.root
        wanted: dict[Any, list[tuple[Use, Surd]]] = {path.number: list(uses) for path, uses in self.paths}
        held = dict.fromkeys(self.uses[0].channels)
        found = exact(root, wanted, tuple(held), by_place=False)
        part: dict[Any, int] = {number: number for number in self.numbers}
        into: dict[Any, int] = {path.number: path.place for path, _ in self.paths}
        return times(root, found, self.factor, part, self.names, key_dims(root, by_place=False), into)

    def matrix(self, flip: bool, by_state: bool) -> Placed:
        """`flip`: the matrix is made of the left part, and applied to the right one."""
        root, builder = self.root, self.root.builder
        weights = weights_of(root, self.factor, self.numbers)
        opened = open_parts(root, self.uses, weights.sites)
        if by_state:
            weights, found = self.recoupled(lambda use: opened.scale(use))
            items = [([(use, ONE)], place, number, sign) for use, place, number, sign in found]
        else:
            items = [(list(uses), path.place, weights.side.starts[path.number], 1) for path, uses in self.paths]
        weigh = moved(root, weights, opened.sites)
        one, two = (opened.right, opened.left) if flip else (opened.left, opened.right)
        rows, (starts, total) = Rows(), starts_of(sorted(self.dims), self.dims)
        sums: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for uses, place, number, sign in items:
            wanted = {0: [opened.meeting(use, value, exact=not by_state) for use, value in uses]}
            forms, _ = bilinear_forms(builder, opened.left, opened.right, wanted, {0: self.dims[place]})
            for k, form in enumerate(forms):
                turned = [(j, i, code) if flip else (i, j, code) for (i, j), code in form.items()]
                for i, row, _, inner in rows.place(k, turned):
                    sums.setdefault((i, starts[place] + k), []).append((row, number, sign * inner))
        made = two if rows.trivial else Side(linear(builder, two.value, rows.forms), two.names, {})
        pick = rows.only if rows.trivial else (lambda row: row)
        held = dict.fromkeys((*two.names, *weigh.names))
        names = tuple(name for name in held if name in one.names or name in self.names)
        terms = [(pick(row), number, at, sign) for at, parts in enumerate(sums.values()) for row, number, sign in parts]
        matrix = Side(product(builder, made, weigh, names, terms, len(sums), f"{self.factor.name}"), names, {})
        applied = [(i, at, k, 1) for at, (i, k) in enumerate(sums)]
        value = product(builder, one, matrix, self.names, applied, total, root.product.target)
        return summed_to(root, Placed(Side(value, self.names, starts), opened.sites), self.uses[0].sites, self.factor)

    def inside_by_path(self, flip: bool) -> Placed:
        """As `inside`, each path with its own weight; its states are added up where the parts without channels meet."""
        root, builder = self.root, self.root.builder
        weights = weights_of(root, self.factor, self.numbers)
        opened = open_parts(root, self.uses, weights.sites)
        weigh = moved(root, weights, opened.sites)
        other, source = (opened.right, opened.left) if flip else (opened.left, opened.right)
        group, dims = root.table.graph.group, dict[Any, int]()
        terms: dict[Any, tuple[int, int]] = {}
        meetings: dict[Any, list[Meeting]] = {}
        for path, uses in self.paths:
            for use, coefficient in uses:
                pair = opened.pair(use)
                keep, weighed = (pair.right.state, pair.left.state) if flip else (pair.left.state, pair.right.state)
                key = (path.number, weighed.number)
                dims[key] = group.dim(weighed.irrep)
                terms[key] = (source.starts[weighed.number], weights.side.starts[path.number])
                one, two = (key, keep.number) if flip else (keep.number, key)
                value = builder.codes.product(coefficient, opened.scale(use))
                meetings.setdefault(path.place, []).append(Meeting(one, two, opened.entries(use), value))
        starts, total = starts_of(terms, dims)
        held = dict.fromkeys((*source.names, *weigh.names))
        names = tuple(name for name in held if name in other.names or name in self.names)
        listed = [(at + j, number, starts[key] + j, 1) for key, (at, number) in terms.items() for j in range(dims[key])]
        made = Side(product(builder, source, weigh, names, listed, total, f"{self.factor.name}"), names, starts)
        left, right = (made, other) if flip else (other, made)
        wanted = {place: meetings[place] for place in sorted(meetings)}
        side = fuse(builder, left, right, wanted, self.dims, self.names, root.product.target)
        return summed_to(root, Placed(side, opened.sites), self.uses[0].sites, self.factor)

    def inside(self, flip: bool) -> Placed:
        """`flip`: the left part is weighed, and fused with the right one."""
        root, builder, graph = self.root, self.root.builder, self.root.table.graph
        weights = weights_of(root, self.factor, self.numbers)
        opened = open_parts(root, self.uses, weights.sites)
        weights, found = self.recoupled(lambda use: opened.scale(use))
        weigh = moved(root, weights, opened.sites)
        other, source = (opened.right, opened.left) if flip else (opened.left, opened.right)
        sums: dict[tuple[int, int, object], list[tuple[int, int, int]]] = {}
        meetings: dict[Any, dict[object, Meeting]] = {}
        dims: dict[Any, int] = {}
        for use, place, number, sign in found:
            pair = opened.pair(use)
            keep, weighed = (pair.right.state, pair.left.state) if flip else (pair.left.state, pair.right.state)
            key = (place, keep.number, (weighed.irrep, use.irrep, pair.copy))
            sums.setdefault(key, []).append((source.starts[weighed.number], number, sign))
            dims[key] = graph.group.dim(weighed.irrep)
            one, two = (key, keep.number) if flip else (keep.number, key)
            meetings.setdefault(place, {})[key] = Meeting(one, two, opened.entries(use))
        starts, total = starts_of(sums, dims)
        held = dict.fromkeys((*source.names, *weigh.names))
        names = tuple(name for name in held if name in other.names or name in self.names)
        terms = [
            (at + j, number, starts[key] + j, sign)
            for key, parts in sums.items()
            for at, number, sign in parts
            for j in range(dims[key])
        ]
        value = product(builder, source, weigh, names, terms, total, f"{self.factor.name}")
        made = Side(value, names, starts)
        left, right = (made, other) if flip else (other, made)
        wanted = {place: list(meetings[place].values()) for place in sorted(meetings)}
        side = fuse(builder, left, right, wanted, self.dims, self.names, root.product.target)
        return summed_to(root, Placed(side, opened.sites), self.uses[0].sites, self.factor)

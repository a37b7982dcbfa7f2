"""How the states of a product meet its weights: the ways, and the choice between them.

    out[k] = Σ_p  W[p] Σ_q  c[p,q]  V_q(L, R)[k]         q: states, each a vertex V of a left and a right part

    state    fuse each state, recouple the weights to the states (c), weigh, add up
    path     fuse each path with its constants (c), weigh, add up
    matrix   contract vertex, constants, weights and one part to a matrix; apply it to the other part
    inside   weigh one part and add up what meets the same partner at the same vertex; then fuse

The first two may use values that are there already; the matrix wins where one part has no channels, `inside` where many
paths share a vertex. Every way gives the same numbers; the cheapest by the count of its instructions is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.paths import PathTable
from fusionc.plan.expand import Expansion
from fusionc.plan.products import Factor, Product, ProductPath
from fusionc.plan.states import Names, Pair, Summed, Use
from fusionc.plan.vertices import Entries, profile, vertex
from fusionc.program.build import Builder
from fusionc.program.fuse import Meeting, Rows, Side, bilinear_forms, fuse, linear, product, starts_of
from fusionc.program.ir import Linear, Zeros
from fusionc.program.values import Values

TRIED = 3
"""How many ways are lowered before one is chosen; the others are not promising."""

WORTHWHILE = 0.9
"""Ways are mixed where that multiplies less than this part of the best single way: more ways are more instructions."""


@dataclass(frozen=True)
class Root:
    """The paths of a product that have the same channel sizes (`positions` among its paths)."""

    table: PathTable
    builder: Builder
    values: Values
    expansion: Expansion
    positions: tuple[int, ...]

    @property
    def product(self) -> Product:
        return self.expansion.product

    @cached_property
    def paths(self) -> tuple[tuple[ProductPath, tuple[tuple[Use, Surd], ...]], ...]:
        return tuple((self.product.paths[p], self.expansion.paths[p]) for p in self.positions)

    @property
    def target(self) -> Names:
        return self.product.channels

    def dim(self, use: Use) -> int:
        return self.table.graph.group.dim(use.irrep)

    def path_dim(self, path: ProductPath) -> int:
        return self.table.graph.group.dim(path.trees[0][0].irrep)


@dataclass(frozen=True)
class Placed:
    """A side with its site indices."""

    side: Side
    sites: Names


def weigh(root: Root, mode: str | None) -> Side:
    """The blocks of a product, by place (by path number where paths are kept), with the channels of the right edge on
    its domain."""
    product = root.product
    by_path = [factor for factor in product.factors if factor.has_path]
    late = [factor for factor in product.factors if not factor.has_path]
    if product.keeps or len(by_path) > 1:
        found = _apart(root, by_path)
    elif not by_path:
        wanted = _wanted(root, by_place=True)
        found = _exact(root, wanted, root.target if not late else _needed(root, late))
    else:
        names = root.target if not late else _needed(root, late)
        found = _weighed(root, by_path[0], names, mode)
    for position, factor in enumerate(late):
        names = root.target if position == len(late) - 1 else _needed(root, late[position + 1 :])
        part: dict[Hashable, int] = dict.fromkeys(found.side.starts, 0)
        found = _times(root, found, factor, part, names, _key_dims(root, not product.keeps))
    return _at_target(root, found)


def _needed(root: Root, late: Sequence[Factor]) -> Names:
    """Channels that the right edge or weights to come still need."""
    seen = dict.fromkeys((*root.target, *(index for factor in late for index in factor.channels)))
    held = {index for leaf in root.product.leaves for index in leaf.channels}
    held |= {index for factor in root.product.factors if factor not in late for index in factor.channels}
    return tuple(index for index in seen if index in held)


def _wanted(root: Root, by_place: bool) -> dict[Hashable, list[tuple[Use, Surd]]]:
    """What is to be added up: into places, or path by path."""
    wanted: dict[Hashable, list[tuple[Use, Surd]]] = {}
    for path, combination in root.paths:
        wanted.setdefault(path.place if by_place else path.number, []).extend(combination)
    return wanted


def _key_dims(root: Root, by_place: bool) -> dict[Hashable, int]:
    return {(path.place if by_place else path.number): root.path_dim(path) for path, _ in root.paths}


# --- without weights, and path by path -------------------------------------------------------------------------------


def _exact(root: Root, wanted: dict[Hashable, list[tuple[Use, Surd]]], names: Names, by_place: bool = True) -> Placed:
    """Combinations of states with their exact coefficients."""
    dims = {key: dim for key, dim in _key_dims(root, by_place).items() if key in wanted}
    parts = []
    for group in _by_node(wanted):
        ways: list[Callable[[], Placed]] = [lambda group=group: _of_states(root, group, dims, names)]  # type: ignore[misc]
        if all(_opened(use) is not None for uses in group.values() for use, _ in uses):
            ways.append(lambda group=group: _of_parts(root, group, dims, names))  # type: ignore[misc]
        parts.append(_cheapest(root, ways))
    return _added(root, parts, dims, names)


def _by_node(wanted: dict[Hashable, list[tuple[Use, Surd]]]) -> list[dict[Hashable, list[tuple[Use, Surd]]]]:
    """Combinations split by the node (and the names) of their states; a key without states stands in the first."""
    groups: dict[object, dict[Hashable, list[tuple[Use, Surd]]]] = {}
    for key, uses in wanted.items():
        for use, coefficient in uses:
            group = groups.setdefault((use.state.node.number, use.channels, use.sites), {})
            group.setdefault(key, []).append((use, coefficient))
    return list(groups.values())


def _of_states(
    root: Root, wanted: dict[Hashable, list[tuple[Use, Surd]]], dims: dict[Hashable, int], names: Names
) -> Placed:
    """Fused states, then constants."""
    values, first = root.values, next(use for uses in wanted.values() for use, _ in uses)
    side = values.node(first.state)
    starts, total = starts_of(wanted, dims)
    rows: list[dict[int, Surd]] = [{} for _ in range(total)]
    for key, uses in wanted.items():
        for use, coefficient in uses:
            factor = coefficient * values.scale(use.state)
            at = side.starts[use.state.number]
            for k in range(dims[key]):
                row = rows[starts[key] + k]  # type: ignore[operator]
                row[at + k] = row[at + k] + factor if at + k in row else factor
    order = tuple(first.channels.index(name) for name in names)
    entries = tuple((0, i, k, c) for k, row in enumerate(rows) for i, c in row.items() if c)
    source = root.builder[side.value]
    if order == tuple(range(len(order))):
        if all(len(row) == 1 and next(iter(row.values())) == ONE for row in rows):
            at_once = {key: next(iter(rows[start])) for key, start in starts.items()}  # type: ignore[index]
            return Placed(Side(side.value, names, at_once), first.sites)
        order = ()
    sizes = tuple(source.channels[axis] for axis in order) if order else source.channels
    value = root.builder.emit(Linear((side.value,), entries, order), total, sizes, source.domain, root.product.target)
    return Placed(Side(value, names, starts), first.sites)


def _of_parts(
    root: Root, wanted: dict[Hashable, list[tuple[Use, Surd]]], dims: dict[Hashable, int], names: Names
) -> Placed:
    """Fused with the constants inside."""
    opened = _open(root, [use for uses in wanted.values() for use, _ in uses], ())
    meetings = {key: [opened.meeting(use, coefficient) for use, coefficient in uses] for key, uses in wanted.items()}
    side = fuse(root.builder, opened.left, opened.right, meetings, dims, names, root.product.target)
    return _summed_to(root, Placed(side, opened.sites), _sites_of(wanted))


def _sites_of(wanted: dict[Hashable, list[tuple[Use, Surd]]]) -> Names:
    return next(use.sites for uses in wanted.values() for use, _ in uses)


def _apart(root: Root, factors: Sequence[Factor]) -> Placed:
    """Every path by itself, weighed one weight after the other; added up at the end unless paths are kept."""
    product, dims = root.product, _key_dims(root, by_place=False)
    part: dict[Hashable, int] = {path.number: path.number for path, _ in root.paths}
    rest = [factor for factor in product.factors if not factor.has_path]
    names = _needed(root, product.factors) if product.factors else root.target
    found = _exact(root, _wanted(root, by_place=False), names, by_place=False)
    for position, factor in enumerate(factors):
        is_last = position == len(factors) - 1
        after = [*factors[position + 1 :], *rest]
        names = _needed(root, after) if after else root.target
        into = {path.number: path.place for path, _ in root.paths} if is_last and not product.keeps else None
        found = _times(root, found, factor, part, names, dims, into)
    return found


def _times(
    root: Root,
    placed: Placed,
    factor: Factor,
    part: Mapping[Hashable, int],
    names: Names,
    dims: Mapping[Hashable, int],
    into: Mapping[Hashable, int] | None = None,
) -> Placed:
    """Blocks times a weight: `part` says which path's part of it each block takes; `into`: blocks are added up in these
    places."""
    weights = _weights(root, factor, sorted(set(part.values())))
    sites = _union(root, placed.sites, weights.sites)
    left, right = _moved(root, placed, sites), _moved(root, weights, sites)
    goal = {key: into[key] if into else key for key in placed.side.starts}
    goal_dims = {goal[key]: dims[key] for key in placed.side.starts}
    starts, total = starts_of(sorted(goal_dims), goal_dims)  # type: ignore[type-var]
    terms = [
        (start + k, right.starts[part[key]], starts[goal[key]] + k, 1)
        for key, start in left.starts.items()
        for k in range(dims[key])
    ]
    value = product(root.builder, left, right, names, terms, total, root.product.target)
    return Placed(Side(value, names, starts), sites)


# --- one weight for each path ------------------------------------------------------------------------------------------


def _weighed(root: Root, factor: Factor, names: Names, mode: str | None) -> Placed:
    """The ways of weighing, node by node."""
    parts = []
    groups: dict[object, list[tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
    for path, combination in root.paths:
        apart: dict[object, list[tuple[Use, Surd]]] = {}
        for use, coefficient in combination:
            apart.setdefault((use.state.node.number, use.channels, use.sites), []).append((use, coefficient))
        for node, uses in apart.items():
            groups.setdefault(node, []).append((path, uses))
    for group in groups.values():
        weighing = Weighing(root, factor, names, tuple((path, tuple(uses)) for path, uses in group))
        ways = weighing.ways()
        chosen = {name: ways[name] for name in ways if mode and name.startswith(mode)} or weighing.promising()
        parts.append(chosen[_cheapest_name(root, chosen)]())
    return _added(root, parts, {p.place: root.path_dim(p) for p, _ in root.paths}, names)


@dataclass(frozen=True)
class Weighing:
    """Paths whose states stand in one node, and their weight."""

    root: Root
    factor: Factor
    names: Names
    paths: tuple[tuple[ProductPath, tuple[tuple[Use, Surd], ...]], ...]

    def ways(self) -> dict[str, Callable[[], Placed]]:
        ways: dict[str, Callable[[], Placed]] = {"state": self.by_state, "path": self.by_path}
        if all(_opened(use) is not None for use in self.uses):
            for flip in (False, True):
                side = "left" if flip else "right"
                ways[f"matrix of {side}, by path"] = lambda flip=flip: self.matrix(flip, by_state=False)  # type: ignore[misc]
                ways[f"matrix of {side}, by state"] = lambda flip=flip: self.matrix(flip, by_state=True)  # type: ignore[misc]
                ways[f"inside {side}"] = lambda flip=flip: self.inside(flip)  # type: ignore[misc]
        return ways

    def by_vertex(self) -> list[Weighing]:
        """The same, apart for every kind of last vertex."""
        found: dict[object, dict[int, tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
        for path, uses in self.paths:
            for use, coefficient in uses:
                opened = _opened(use)
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
        opened = [_opened(use) for use in self.uses]
        pairs = [use.state.what for use in opened if use is not None]
        first = pairs[0]
        assert isinstance(first, Pair)
        irrep = self.uses[0].irrep
        vertex = profile(graph.group, graph.basis, first.left.irrep, first.right.irrep, irrep, first.copy)
        path = self.paths[0][0]
        extents = dict(zip(root.product.indices, path.sizes, strict=True))
        named = dict(enumerate(self.uses[0].channels))
        left = [named[int(c)] for c in first.left.channels]
        right = [named[int(c)] for c in first.right.channels]
        weight = list(self.factor.channels)

        def width(*names: str) -> float:
            return prod(extents[name] for name in dict.fromkeys(names))

        items = sum(len(uses) for _, uses in self.paths)
        lefts = {pair.left for pair in pairs if isinstance(pair, Pair)}
        rights = {pair.right for pair in pairs if isinstance(pair, Pair)}
        by_left = len({(p.place, u.state.number) for p, uses in self.paths for use, _ in uses for u in [_part(use, 0)]})
        by_right = len(
            {(p.place, u.state.number) for p, uses in self.paths for use, _ in uses for u in [_part(use, 1)]}
        )
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
            **{
                f"{name}, by {what}": found[name]
                for name in found
                if name.startswith("matrix")
                for what in ("path", "state")
            },
        }

    def mixed(self, parts: Sequence[Weighing], choice: Sequence[str]) -> Placed:
        """Every kind of vertex in the way that is cheapest for it; those of one way together."""
        buckets: dict[str, dict[int, tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
        for part, name in zip(parts, choice, strict=True):
            bucket = buckets.setdefault(name, {})
            for path, uses in part.paths:
                bucket.setdefault(path.number, (path, []))[1].extend(uses)
        parts = []
        for name, bucket in buckets.items():
            paths = tuple((path, tuple(uses)) for path, uses in bucket.values())
            parts.append(replace(self, paths=paths).ways()[name]())
        return _added(self.root, parts, self.dims, self.names)

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        return tuple(dict.fromkeys(use for _, uses in self.paths for use, _ in uses))

    @cached_property
    def dims(self) -> dict[Hashable, int]:
        return {path.place: self.root.path_dim(path) for path, _ in self.paths}

    @cached_property
    def weights(self) -> Placed:
        return _weights(self.root, self.factor, sorted({path.number for path, _ in self.paths}))

    @property
    def numbers(self) -> list[int]:
        return sorted({path.number for path, _ in self.paths})

    def recoupled(self, scale: Callable[[Use], Surd]) -> tuple[Placed, list[tuple[Use, int, int, int]]]:
        """The weights of states: a value, and for each state and place (use, place, component, sign)."""
        forms: dict[tuple[Use, int], dict[int, Surd]] = {}
        placed = _weights(self.root, self.factor, self.numbers)
        for path, uses in self.paths:
            for use, coefficient in uses:
                form, at = forms.setdefault((use, path.place), {}), placed.side.starts[path.number]
                value = coefficient * scale(use)
                form[at] = form[at] + value if at in form else value
        rows, found = Rows(), []
        for (use, place), form in forms.items():
            kept = {at: value for at, value in form.items() if value}
            if kept:
                number, sign = rows.number(kept)
                found.append((use, place, number, sign))
        if rows.trivial:
            return placed, [(use, place, rows.only(number), sign) for use, place, number, sign in found]
        value = linear(self.root.builder, placed.side.value, list(rows.forms), f"{self.factor.name}, recoupled")
        return Placed(Side(value, placed.side.names, {}), placed.sites), found

    def by_state(self) -> Placed:
        root, scale = self.root, self.root.values.scale
        weights, found = self.recoupled(lambda use: scale(use.state))
        side = root.values.node(self.uses[0].state)
        states = Placed(Side(side.value, self.uses[0].channels, side.starts), self.uses[0].sites)
        sites = _union(root, states.sites, weights.sites)
        left, right = _moved(root, states, sites), _moved(root, weights, sites)
        starts, total = starts_of(sorted(self.dims), self.dims)  # type: ignore[type-var]
        terms = [
            (left.starts[use.state.number] + k, number, starts[place] + k, sign)
            for use, place, number, sign in found
            for k in range(self.dims[place])
        ]
        value = product(root.builder, left, right, self.names, terms, total, root.product.target)
        return Placed(Side(value, self.names, starts), sites)

    def by_path(self) -> Placed:
        root = self.root
        wanted: dict[Hashable, list[tuple[Use, Surd]]] = {path.number: list(uses) for path, uses in self.paths}
        held = dict.fromkeys(self.uses[0].channels)
        found = _exact(root, wanted, tuple(held), by_place=False)
        part: dict[Hashable, int] = {number: number for number in self.numbers}
        into: dict[Hashable, int] = {path.number: path.place for path, _ in self.paths}
        return _times(root, found, self.factor, part, self.names, _key_dims(root, by_place=False), into)

    def matrix(self, flip: bool, by_state: bool) -> Placed:
        """`flip`: the matrix is made of the left part, and applied to the right one."""
        root, builder = self.root, self.root.builder
        weights = _weights(root, self.factor, self.numbers)
        opened = _open(root, self.uses, weights.sites)
        if by_state:
            weights, found = self.recoupled(lambda use: opened.scale(use))
            items = [([(use, ONE)], place, number, sign) for use, place, number, sign in found]
        else:
            items = [(list(uses), path.place, weights.side.starts[path.number], 1) for path, uses in self.paths]
        weigh = _moved(root, weights, opened.sites)
        one, two = (opened.right, opened.left) if flip else (opened.left, opened.right)
        rows, sums, starts, total = Rows(), {}, *starts_of(sorted(self.dims), self.dims)  # type: ignore[type-var]
        for uses, place, number, sign in items:
            wanted = {0: [opened.meeting(use, value, exact=not by_state) for use, value in uses]}
            forms, _ = bilinear_forms(builder, opened.left, opened.right, wanted, {0: self.dims[place]})
            for k, form in enumerate(forms):
                turned = [(j, i, v) if flip else (i, j, v) for (i, j), v in form.items()]
                for i, row, _, inner in rows.place(k, turned):
                    sums.setdefault((i, starts[place] + k), []).append((row, number, sign * inner))  # type: ignore[operator]
        made = two if rows.trivial else Side(linear(builder, two.value, list(rows.forms)), two.names, {})
        pick = rows.only if rows.trivial else (lambda row: row)
        held = dict.fromkeys((*two.names, *weigh.names))
        names = tuple(name for name in held if name in one.names or name in self.names)
        terms = [(pick(row), number, at, sign) for at, parts in enumerate(sums.values()) for row, number, sign in parts]
        matrix = Side(product(builder, made, weigh, names, terms, len(sums), f"{self.factor.name}"), names, {})
        applied = [(i, at, k, 1) for at, (i, k) in enumerate(sums)]
        value = product(builder, one, matrix, self.names, applied, total, root.product.target)
        return _summed_to(root, Placed(Side(value, self.names, starts), opened.sites), self.uses[0].sites, self.factor)

    def inside(self, flip: bool) -> Placed:
        """`flip`: the left part is weighed, and fused with the right one."""
        root, builder, graph = self.root, self.root.builder, self.root.table.graph
        weights = _weights(root, self.factor, self.numbers)
        opened = _open(root, self.uses, weights.sites)
        weights, found = self.recoupled(lambda use: opened.scale(use))
        weigh = _moved(root, weights, opened.sites)
        other, source = (opened.right, opened.left) if flip else (opened.left, opened.right)
        sums: dict[tuple[int, int, object], list[tuple[int, int, int]]] = {}
        meetings: dict[Hashable, dict[object, Meeting]] = {}
        dims: dict[Hashable, int] = {}
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
        wanted = {place: list(meetings[place].values()) for place in sorted(meetings)}  # type: ignore[type-var]
        side = fuse(builder, left, right, wanted, self.dims, self.names, root.product.target)
        return _summed_to(root, Placed(side, opened.sites), self.uses[0].sites, self.factor)


# --- parts of states ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """The two parts of the states of a node, on one domain."""

    root: Root
    left: Side
    right: Side
    sites: Names

    def pair(self, use: Use) -> Pair:
        found = _opened(use)
        assert found is not None
        assert isinstance(found.state.what, Pair)
        return found.state.what

    def entries(self, use: Use) -> Entries:
        graph, pair = self.root.table.graph, self.pair(use)
        return vertex(graph.group, graph.basis, pair.left.irrep, pair.right.irrep, use.irrep, pair.copy).entries

    def scale(self, use: Use) -> Surd:
        found = _opened(use)
        assert found is not None
        return self.root.values.scale(found.state)

    def meeting(self, use: Use, coefficient: Surd, exact: bool = True) -> Meeting:
        pair = self.pair(use)
        factor = coefficient * self.scale(use) if exact else coefficient
        return Meeting(pair.left.state.number, pair.right.state.number, self.entries(use), factor)


def _part(use: Use, which: int) -> Use:
    """The left or the right part of a state."""
    opened = _opened(use)
    assert opened is not None
    assert isinstance(opened.state.what, Pair)
    return opened.state.what.right if which else opened.state.what.left


def _opened(use: Use) -> Use | None:
    """The pair that a state is, with its sums not yet done; None where it is none."""
    state, sites = use.state, use.sites
    while isinstance(state.what, Summed):
        state = state.what.inner
        sites = ()
    return Use(state, use.channels, sites) if isinstance(state.what, Pair) else None


def _open(root: Root, uses: Iterable[Use], more_sites: Names) -> Opened:
    """The parts of states of one node, moved to the domain where they and the weights meet."""
    use = next(iter(uses))
    found = _opened(use)
    assert found is not None
    state, values = found.state, root.values
    pair = state.what
    assert isinstance(pair, Pair)
    inner_sites = _inner_sites(root, use)
    sites = _union(root, inner_sites, more_sites)
    domain = _domain(root, sites)
    number = {str(at): name for at, name in enumerate(use.channels)}
    place = {str(at): name for at, name in enumerate(inner_sites)}

    def side(part: Use) -> Side:
        value = values.node(part.state)
        names, own = tuple(number[c] for c in part.channels), tuple(place[s] for s in part.sites)
        return values.at(value, part.state.node.domain, names, own, domain, sites)

    return Opened(root, side(pair.left), side(pair.right), sites)


def _inner_sites(root: Root, use: Use) -> Names:
    """The site indices of a state before its sums: those of the domain of its pair."""
    state, known = use.state, use.sites
    while isinstance(state.what, Summed):
        state = state.what.inner
    ties = root.expansion.ties
    if state is use.state:
        return known
    for relation, ends in ties.joins:
        if relation == state.node.domain and set(known) <= set(ends):
            return ends
    (name,) = [name for name, sites in ties.sets.items() if sites == state.node.domain][:1]
    return (name,)


def _union(root: Root, one: Names, two: Names) -> Names:
    found = root.expansion.ties.domain((*one, *two))
    assert found is not None, "the front end lets weights meet on one relation only"
    return found[1]


def _domain(root: Root, sites: Names) -> str:
    found = root.expansion.ties.domain(sites)
    assert found is not None
    return found[0]


def _moved(root: Root, placed: Placed, sites: Names) -> Side:
    side, builder = placed.side, root.builder
    value = root.values.moved(side.value, builder[side.value].domain, placed.sites, _domain(root, sites), sites)
    return Side(value, side.names, side.starts)


def _weights(root: Root, factor: Factor, numbers: Sequence[int]) -> Placed:
    side = root.values.weight(factor, numbers)
    sites = tuple(dict.fromkeys((*factor.sites, *(site for row in factor.row_sites for site in row))))
    return Placed(side, root.expansion.ties.domain(sites)[1] if sites else ())  # type: ignore[index]


def _summed_to(root: Root, placed: Placed, sites: Names, factor: Factor | None = None) -> Placed:
    """Sum the site indices that neither the states nor the weight keep."""
    kept = set(sites) | (set(factor.sites) | {s for row in factor.row_sites for s in row} if factor else set())
    for index in [name for name in placed.sites if name not in kept]:
        placed = _sum_site(root, placed, index)
    return placed


def _sum_site(root: Root, placed: Placed, index: str) -> Placed:
    kept = tuple(name for name in placed.sites if name != index)
    row = placed.sites.index(kept[0]) if kept else None
    value = root.values.summed(placed.side.value, row, _domain(root, kept))
    return Placed(Side(value, placed.side.names, placed.side.starts), kept)


def _at_target(root: Root, placed: Placed) -> Side:
    """Sum what is left to be summed; what the right edge has more is the same there."""
    for index in [name for name in placed.sites if name not in root.product.line.sites]:
        placed = _sum_site(root, placed, index)
    return _moved(root, placed, root.product.line.sites)


def _nothing(root: Root, starts: dict[Hashable, int], total: int, names: Names) -> Placed:
    """Zeros, where every path vanishes; they live where the first leaf does."""
    product, path = root.product, root.paths[0][0]
    leaf, extents = product.leaves[0], dict(zip(product.indices, path.sizes, strict=True))
    side = root.values.edge(leaf.edge, tuple(extents[index] for index in leaf.channels))
    source = root.builder[side.value]
    sizes = tuple(extents[name] for name in names)
    value = root.builder.emit(Zeros(side.value), total, sizes, source.domain, "zero")
    return Placed(Side(value, names, starts), leaf.sites)


def _added(root: Root, parts: Sequence[Placed], dims: dict[Hashable, int], names: Names) -> Placed:
    """Partial results added up, block by block; a block that nothing reaches is zero."""
    sites: Names = ()
    for part in parts:
        sites = _union(root, sites, part.sites)
    if len(parts) == 1 and set(parts[0].side.starts) == set(dims):
        return parts[0]
    builder = root.builder
    sides = [_moved(root, part, sites) for part in parts]
    starts, total = starts_of(sorted(dims), dims)  # type: ignore[type-var]
    if not parts:
        return _nothing(root, starts, total, names)
    entries = [
        (source, start + k, starts[key] + k, ONE)
        for source, side in enumerate(sides)
        for key, start in side.starts.items()
        for k in range(dims[key])
    ]
    first = builder[sides[0].value]
    op = Linear(tuple(side.value for side in sides), tuple(sorted(entries, key=lambda e: (e[2], e[0]))))
    value = builder.emit(op, total, first.channels, first.domain, root.product.target)
    return Placed(Side(value, sides[0].names, starts), sites)


def _cheapest(root: Root, ways: Sequence[Callable[[], Placed]]) -> Placed:
    """The result of the way whose instructions cost least."""
    named = {str(number): way for number, way in enumerate(ways)}
    return named[_cheapest_name(root, named)]()


def _cheapest_name(root: Root, ways: Mapping[str, Callable[[], Placed]]) -> str:
    """The way whose instructions cost least; all are tried and taken back."""
    if len(ways) == 1:
        return next(iter(ways))
    prices = {}
    for name, way in ways.items():
        mark, before = root.values.mark(), root.builder.spent
        way()
        prices[name] = root.builder.spent - before
        root.values.back_to(mark)
    return min(prices, key=prices.__getitem__)

"""The paths of every line in path order, each with its dense coupling tensor; the layout of weights.

What an internal edge carries is found in two passes over all lines: forwards what fusion and restrictions allow, then
backwards what of that takes part in a path to an output. A third pass lists the paths between these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations, product
from math import prod

import numpy as np

from reference.reading import Block, Diagram, Line
from reference.tensors import Irrep, as_e3nn_sorts, by_spin, couple, trivial, vertex
from reference.wires import contract, inner_wires, labelings, reaches

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class EdgeBlock:
    """A block of an edge: its irrep, the sizes of its channels, and the path that it is (where paths are kept)."""

    irrep: Irrep
    sizes: Sizes
    path: int | None = None


@dataclass(frozen=True)
class Path:
    """`blocks` are those of the operands, `tensor` couples them: an axis for each operand, that of the right edge
    last. `leaves` and `inner` spell the whole tree below, `place` is the block of the right edge."""

    blocks: tuple[int, ...]
    irrep: Irrep
    place: int
    leaves: tuple[int, ...]
    inner: tuple[Irrep, ...]
    sizes: dict[str, int]
    tensor: np.ndarray = field(repr=False)
    scale: float = 1.0


@dataclass(frozen=True)
class WeightShape:
    """A flat weight: one shape for each path, or one in all. `rows` are the sizes of its row legs."""

    rows: Sizes
    shapes: tuple[Sizes, ...]
    per_path: bool
    learned: bool

    @property
    def numel(self) -> int:
        return sum(map(prod, self.shapes))

    def slice(self, path: int) -> tuple[int, Sizes]:
        """Where the part of a path begins, and its shape."""
        which = path if self.per_path else 0
        return sum(map(prod, self.shapes[:which])), self.shapes[which]


@dataclass(frozen=True)
class Listing:
    diagram: Diagram
    paths: tuple[tuple[Path, ...], ...]
    blocks: dict[str, tuple[EdgeBlock, ...]]
    outputs: dict[str, tuple[Block, ...]]
    weights: dict[str, WeightShape]


def list_paths(diagram: Diagram) -> Listing:
    alive = _alive(diagram)
    blocks = {name: _leg_blocks(leg.blocks) for name, leg in diagram.legs.items() if leg.kind == "tensor"}
    listed: list[tuple[Path, ...]] = []
    for number, line in enumerate(diagram.lines):
        places = _places(diagram, line, alive)
        listed.append(tuple(_paths(diagram, line, blocks, places, listed)))
        if line.target not in diagram.outputs and number == diagram.writers(line.target)[-1]:
            blocks[line.target] = _edge_blocks(diagram, line.target, listed)
    scaled = _scaled(diagram, listed)
    outputs = {name: output.blocks or _inferred(diagram, name, scaled) for name, output in diagram.outputs.items()}
    return Listing(diagram, tuple(map(tuple, scaled)), blocks, outputs, _weights(diagram, scaled))


# --- what edges carry ----------------------------------------------------------------------------------------------


def _leg_blocks(blocks: Sequence[Block]) -> tuple[EdgeBlock, ...]:
    return tuple(EdgeBlock(block.irrep, (block.mul,)) for block in blocks)


def _alive(diagram: Diagram) -> dict[str, set[Irrep]]:
    """For internal edges and outputs the irreps that take part in a path from legs to an output."""
    carried: dict[str, list[Irrep]] = {
        name: [block.irrep for block in leg.blocks] for name, leg in diagram.legs.items() if leg.kind == "tensor"
    }
    found: list[list[tuple[tuple[int, ...], Irrep]]] = []
    for line in diagram.lines:
        operands = [carried[operand.edge] for operand in line.operands]
        choices = [(tree.blocks, tree.irrep) for tree in _couplings(diagram, line, operands, _admitted(diagram, line))]
        found.append(choices)
        if line.target not in diagram.legs:
            known = dict.fromkeys((*carried.get(line.target, []), *(irrep for _, irrep in choices)))
            carried[line.target] = sorted(known, key=by_spin)
    alive: dict[str, set[Irrep]] = {edge: set() for edge in carried}
    for name, output in diagram.outputs.items():
        alive[name] = set(carried[name])
        if output.blocks is not None:
            alive[name] &= {block.irrep for block in output.blocks}
    for line, choices in zip(reversed(diagram.lines), reversed(found), strict=True):
        for blocks, irrep in choices:
            if irrep in alive[line.target]:
                for operand, block in zip(line.operands, blocks, strict=True):
                    alive[operand.edge].add(_early(diagram, carried, operand.edge)[block])
    return alive


def _early(diagram: Diagram, carried: dict[str, list[Irrep]], edge: str) -> list[Irrep]:
    return [block.irrep for block in diagram.legs[edge].blocks] if edge in diagram.legs else carried[edge]


def _admitted(diagram: Diagram, line: Line) -> Callable[[Irrep], bool]:
    output = diagram.outputs.get(line.target)
    limit = output.allowed if output is not None else diagram.allowed.get(line.target)
    return (lambda irrep: True) if limit is None else limit.admits


def _places(diagram: Diagram, line: Line, alive: dict[str, set[Irrep]]) -> dict[Irrep, list[tuple[int, int | None]]]:
    """Where a path into an irrep may end on the right edge: the place of the block, and its multiplicity."""
    output = diagram.outputs.get(line.target)
    if output is not None and output.blocks is not None:
        places: dict[Irrep, list[tuple[int, int | None]]] = {}
        for place, block in enumerate(output.blocks):
            places.setdefault(block.irrep, []).append((place, None if line.keeps else block.mul))
        return places
    limit = output.allowed if output is not None else diagram.allowed.get(line.target)
    ordered = sorted(alive[line.target], key=by_spin if output is None else as_e3nn_sorts)
    return {
        irrep: [(place, limit.mul(irrep) if limit is not None and not line.keeps else None)]
        for place, irrep in enumerate(ordered)
    }


def _edge_blocks(diagram: Diagram, edge: str, listed: Sequence[Sequence[Path]]) -> tuple[EdgeBlock, ...]:
    child = diagram.child(edge)
    if child is not None:
        line = diagram.lines[child]
        return tuple(
            EdgeBlock(path.irrep, tuple(path.sizes[index] for index in line.channels), number)
            for number, path in enumerate(listed[child])
        )
    first: dict[Irrep, Sizes] = {}
    for writer in diagram.writers(edge):
        for path in listed[writer]:
            sizes = tuple(path.sizes[index] for index in diagram.lines[writer].channels)
            if first.setdefault(path.irrep, sizes) != sizes:
                raise ValueError(f"{edge} has channels of two sizes")
    return tuple(EdgeBlock(irrep, first[irrep]) for irrep in sorted(first, key=by_spin))


def _inferred(diagram: Diagram, name: str, listed: Sequence[Sequence[Path]]) -> tuple[Block, ...]:
    muls: dict[Irrep, int] = {}
    for writer in diagram.writers(name):
        line = diagram.lines[writer]
        for path in listed[writer]:
            size = prod(path.sizes[index] for index in line.channels)
            muls[path.irrep] = muls.get(path.irrep, 0) + size if line.keeps else size
    return tuple(Block(irrep, muls[irrep]) for irrep in sorted(muls, key=as_e3nn_sorts))


# --- the paths of a line -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tree:
    """Operands coupled: their blocks, the irreps in between, what comes out, and the tensor."""

    blocks: tuple[int, ...]
    inner: tuple[Irrep, ...]
    irrep: Irrep
    tensor: np.ndarray = field(repr=False)


def _couplings(
    diagram: Diagram, line: Line, operands: Sequence[Sequence[Irrep]], admits: Callable[[Irrep], bool]
) -> Iterator[Tree]:
    """All trees over blocks of these irreps, of equal operands the independent ones only."""
    if line.wiring is not None:
        for blocks in product(*map(range, map(len, operands))):
            irreps = [own[block] for own, block in zip(operands, blocks, strict=True)]
            known = dict(zip(line.wiring.leaves, irreps, strict=True))
            for labels in labelings(line.wiring, diagram.allowed, known):
                root = labels[line.wiring.root or ""]
                if admits(root) and reaches(diagram, irreps, root):
                    inner = tuple(labels[wire] for wire in inner_wires(line.wiring))
                    yield Tree(blocks, inner, root, contract(diagram, line.wiring, labels))
        return
    trees = []
    for blocks in product(*map(range, map(len, operands))):
        irreps = tuple(own[block] for own, block in zip(operands, blocks, strict=True))
        for steps in _steps(irreps):
            if admits(steps[-1]):
                trees.append(
                    Tree(blocks, steps[1:-1], steps[-1], coupled(diagram.basis, diagram.normalize, irreps, steps))
                )
    groups = _equal(line)
    if len(groups) < len(line.operands):
        trees.sort(key=lambda tree: (tree.blocks, tuple(map(by_spin, tree.inner)), by_spin(tree.irrep)))
        trees = _independent(trees, groups)
    yield from trees


def _steps(irreps: Sequence[Irrep]) -> list[tuple[Irrep, ...]]:
    """The irrep after one, two, … operands, coupled from the left."""
    found = [(irreps[0],)]
    for irrep in irreps[1:]:
        found = [(*steps, c) for steps in found for c in couple(steps[-1], irrep)]
    return found


@lru_cache(maxsize=8192)
def coupled(basis: str, normalize: str, irreps: tuple[Irrep, ...], steps: tuple[Irrep, ...]) -> np.ndarray:
    """The left-coupled tree as one tensor."""
    tensor = np.eye(irreps[0][0] + 1)
    for before, irrep, after in zip(steps, irreps[1:], steps[1:], strict=False):
        tensor = np.tensordot(tensor, vertex(basis, normalize, before, irrep, after), axes=(-1, 0))
    return tensor


def _equal(line: Line) -> list[list[int]]:
    """Positions of operands that are the same edge at the same indices."""
    groups: dict[object, list[int]] = {}
    for position, operand in enumerate(line.operands):
        groups.setdefault((operand.edge, operand.sites, operand.channels), []).append(position)
    return list(groups.values())


def _independent(trees: Sequence[Tree], groups: Sequence[Sequence[int]]) -> list[Tree]:
    """The trees that are no linear combination of earlier ones, as functions of operands of which some are equal.

    Such a function is the tensor symmetrised over equal operands. The symmetric tensors of one choice of blocks (in any
    order) are compared by Gram and Schmidt's method; those of other choices are independent.
    """
    bases: dict[object, list[np.ndarray]] = {}
    kept = []
    for tree in trees:
        order = [p for group in groups for p in sorted(group, key=lambda position: tree.blocks[position])]
        chosen = tuple(tree.blocks[position] for position in order)
        vector = _symmetrised(tree.tensor.transpose(*order, len(order)), _runs(groups, chosen)).ravel()
        basis = bases.setdefault((chosen, tree.irrep), [])
        size = float(np.linalg.norm(tree.tensor))
        for _ in range(2):
            for other in basis:
                vector = vector - other * (other @ vector)
        if float(np.linalg.norm(vector)) > 1e-7 * size:
            basis.append(vector / np.linalg.norm(vector))
            kept.append(tree)
    return kept


def _runs(groups: Sequence[Sequence[int]], chosen: Sequence[int]) -> list[list[int]]:
    """Places with one and the same vector, when groups stand behind each other with their blocks sorted."""
    runs: list[list[int]] = []
    start = 0
    for group in groups:
        for place in range(start, start + len(group)):
            if place > start and chosen[place] == chosen[place - 1]:
                runs[-1].append(place)
            else:
                runs.append([place])
        start += len(group)
    return runs


def _symmetrised(tensor: np.ndarray, runs: Sequence[Sequence[int]]) -> np.ndarray:
    """The mean over all exchanges of axes within each run."""
    for run in runs:
        if len(run) > 1:
            orders = list(permutations(run))
            total = np.zeros_like(tensor)
            for order in orders:
                axes = list(range(tensor.ndim))
                for place, axis in zip(run, order, strict=True):
                    axes[place] = axis
                total += tensor.transpose(axes)
            tensor = total / len(orders)
    return tensor


def _paths(
    diagram: Diagram,
    line: Line,
    blocks: dict[str, tuple[EdgeBlock, ...]],
    places: dict[Irrep, list[tuple[int, int | None]]],
    listed: Sequence[Sequence[Path]],
) -> list[Path]:
    operands = [blocks[operand.edge] for operand in line.operands]
    irreps = [[block.irrep for block in own] for own in operands]
    found = []
    for tree in _couplings(diagram, line, irreps, places.__contains__):
        leaves: tuple[int, ...] = ()
        inner: tuple[Irrep, ...] = ()
        for position, (operand, block) in enumerate(zip(line.operands, tree.blocks, strict=True)):
            child = diagram.child(operand.edge)
            if child is None:
                leaves += (block,)
            else:
                below = listed[child][block]
                leaves += below.leaves
                inner += (*below.inner, below.irrep)
            if line.wiring is None and 0 < position < len(line.operands) - 1:
                inner += (tree.inner[position - 1],)
        if line.wiring is not None:
            inner = tree.inner
        for place, mul in places[tree.irrep]:
            sizes = _sizes(line, [own[block] for own, block in zip(operands, tree.blocks, strict=True)], mul)
            found.append(Path(tree.blocks, tree.irrep, place, leaves, inner, sizes, tree.tensor))
    return sorted(found, key=lambda path: (path.leaves, tuple(map(by_spin, path.inner)), path.place))


def _sizes(line: Line, blocks: Sequence[EdgeBlock], mul: int | None) -> dict[str, int]:
    """The size of every channel index: an index that is new on the right is what remains of the multiplicity."""
    sizes: dict[str, int] = {}
    for operand, block in zip(line.operands, blocks, strict=True):
        for index, size in zip(operand.channels, block.sizes, strict=False):
            if sizes.setdefault(index, size) != size:
                raise ValueError(f"the index {index} has two sizes")
    new = [index for index in line.channels if index not in sizes]
    known = prod(sizes[index] for index in line.channels if index in sizes)
    if len(new) > 1 or (new and mul is None) or (mul is not None and mul % known) or (mul and not new and mul != known):
        raise ValueError("the channels do not fit the right edge")
    if new and mul is not None:
        sizes[new[0]] = mul // known
    return sizes


# --- what stands beside paths --------------------------------------------------------------------------------------


def _scaled(diagram: Diagram, listed: Sequence[Sequence[Path]]) -> list[list[Path]]:
    """e3nn's `path_normalization` over all lines into one block; a kept path is a block of its own."""
    total: dict[tuple[str, int], int] = {}
    number: dict[tuple[str, int], int] = {}
    for line, paths in zip(diagram.lines, listed, strict=True):
        for path in paths:
            block = (line.target, path.place)
            total[block] = total.get(block, 0) + _elements(line, path)
            number[block] = number.get(block, 0) + 1
    scaled = []
    for line, paths in zip(diagram.lines, listed, strict=True):
        alone = line.keeps or diagram.child(line.target) is not None
        found = []
        for path in paths:
            own, block = _elements(line, path), (line.target, path.place)
            terms = {
                "element": own if alone else total[block],
                "path": own if alone else own * number[block],
                "none": 1,
            }[diagram.paths]
            found.append(
                Path(
                    path.blocks,
                    path.irrep,
                    path.place,
                    path.leaves,
                    path.inner,
                    path.sizes,
                    path.tensor,
                    float(line.factor) / terms**0.5,
                )
            )
        scaled.append(found)
    return scaled


def _elements(line: Line, path: Path) -> int:
    return prod(path.sizes[index] for index in line.summed)


def _weights(diagram: Diagram, listed: Sequence[Sequence[Path]]) -> dict[str, WeightShape]:
    """The layout of each weight, as the first line that carries it says (all others agree)."""
    found: dict[str, WeightShape] = {}
    for line, paths in zip(diagram.lines, listed, strict=True):
        for weight in line.weights:
            shapes = tuple(tuple(path.sizes[index] for index in weight.channels) for path in paths)
            if not weight.has_path:
                if len(set(shapes)) > 1:
                    raise ValueError(f"{weight.name} has two shapes")
                shapes = shapes[:1]
            rows = tuple(diagram.legs[row].rows for row, _ in weight.rows)
            own = WeightShape(rows, shapes, weight.has_path, weight.name not in diagram.legs)
            if found.setdefault(weight.name, own) != own:
                raise ValueError(f"{weight.name} has two shapes")
    return found


__all__ = ["EdgeBlock", "Listing", "Path", "WeightShape", "list_paths", "trivial"]

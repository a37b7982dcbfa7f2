"""Normalisation, in one place: of vertex tensors (`normalize …`) and of paths (`paths …`), DESIGN part 2.

Both follow e3nn: `irrep_normalization` and `path_normalization` of `e3nn.o3.TensorProduct`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from math import prod

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import Surd
from fusionc.diagram.loops import Labels, Part, Same, wires_of
from fusionc.diagram.paths import LinePaths, PathTable, Tree


def vertex_scale(group: Group, normalize: str, a: Irrep, b: Irrep, c: Irrep) -> Surd:
    """Factor of the isometric tensor `group.vertex(a, b, c)`, whose Frobenius norm is sqrt(dim c).

    `component`: 1. `norm`: norm sqrt(dim a * dim b), so that unit vectors give unit norms on average. `none`: norm 1.
    """
    if normalize == "component":
        return Surd.of(1)
    if normalize == "norm":
        return Surd.root(Fraction(group.dim(a) * group.dim(b), group.dim(c)))
    return Surd.root(Fraction(1, group.dim(c)))


def wiring_scale(group: Group, normalize: str, parts: Iterable[Part], labels: Labels) -> Surd:
    """The product of the factors of all vertices of wires with these irreps.

    A split is scaled like the coupling whose adjoint it is. A pair, made or closed, is the vertex of its two wires and
    the trivial irrep: its norm is 1, and 2j+1 with `norm`. What joins two wires is no vertex.
    """
    scale = Surd.of(1)
    for part in parts:
        irreps = [labels[wire] for wire in wires_of(part)]
        if not isinstance(part, Same):
            a, b, c = irreps if len(irreps) == 3 else (*irreps, group.trivial)
            scale = scale * vertex_scale(group, normalize, a, b, c)
    return scale


class PathScales:
    """The factor of each path: one over the root of the number of terms that are added up in its block."""

    def __init__(self, table: PathTable) -> None:
        self._mode = table.graph.settings.paths
        self._elements: dict[tuple[str, int], int] = defaultdict(int)
        self._paths: dict[tuple[str, int], int] = defaultdict(int)
        for paths in table.lines.values():
            for tree in paths.trees:
                block = (paths.line.target, tree.place)
                self._elements[block] += elements(paths, tree)
                self._paths[block] += 1
        self._kept = {edge for edge in table.graph.writers if table.graph.keeps_paths(edge)}

    def scale(self, paths: LinePaths, tree: Tree) -> Surd:
        """`element`: all summed elements of all paths into the block count; `path`: each path counts the same and is
        normalised by its own elements. A kept path is a block of its own; fixed factors do not count."""
        alone = paths.line.keeps or paths.line.target in self._kept
        own, block = elements(paths, tree), (paths.line.target, tree.place)
        if self._mode == "element":
            terms = own if alone else self._elements[block]
        elif self._mode == "path":
            terms = own if alone else own * self._paths[block]
        else:
            terms = 1
        return Surd.root(Fraction(1, terms))


def elements(paths: LinePaths, tree: Tree) -> int:
    """How many channel combinations one path adds up: the sizes of the summed indices, multiplied."""
    sizes = paths.sizes(tree)
    return prod(sizes[index] for index in paths.line.summed)

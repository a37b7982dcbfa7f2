"""Loops in a diagram with operands fold into constants: a fragment is a sum of coupling trees.

    x y                        x y  z
    | | |                       \\ / /                        1    (trace of the fragment after the
    loops      =   Σ_k  c_k      T_k          with   c_k  =  ---    adjoint of the tree T_k, closed)
      |                           |                          d_J
      J                           J

The trees of the isometric vertices are an orthogonal basis of the equivariant maps, each with <T_k, T_k> = d_J, so the
coefficients are closed networks, which are evaluated exactly (Wigner-Eckart; Yutsis, Levinson and Vanagas 1962).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import Surd
from fusionc.diagram import limits
from fusionc.diagram.ir import Fragment, FusionGraph
from fusionc.diagram.loops import Labels, Part, Same, Splitting, Wiring
from fusionc.diagram.normalize import wiring_scale
from fusionc.diagram.paths import Step, Tree, left_coupled
from fusionc.diagram.wires import WireDiagram
from fusionc.language.errors import CompileError
from fusionc.rewrite.closed import network
from fusionc.rewrite.evaluate import WORK_LIMIT, TooMuchWork, evaluate

ENTRY = "#in"
"""The wire through which the closed network is entered."""


def expand(graph: FusionGraph, fragment: Fragment, tree: Tree) -> tuple[tuple[tuple[Step, ...], Surd], ...]:
    """The left-coupled trees (steps) that a fragment's path is a sum of, each with its exact coefficient.

    Where all coefficients are zero the first tree stands there with coefficient zero: the path is there, and vanishes.
    """
    irreps = [irrep for _, irrep in tree.leaves]
    scale = wiring_scale(graph.group, graph.settings.normalize, fragment.wiring.parts, dict(tree.labels))
    found = [(steps, scale * _coefficient(graph, fragment, tree, steps)) for steps in _trees(graph, irreps, tree.irrep)]
    kept = tuple((steps, value) for steps, value in found if value)
    return kept or tuple(found[:1])


def _trees(graph: FusionGraph, irreps: Sequence[Irrep], target: Irrep) -> Iterator[tuple[Step, ...]]:
    for _, steps in left_coupled(graph.group, [[irrep] for irrep in irreps], frozenset({target})):
        yield steps


def _coefficient(graph: FusionGraph, fragment: Fragment, tree: Tree, steps: tuple[Step, ...]) -> Surd:
    """The trace of the fragment after the adjoint of a tree, over the dimension; all vertices are isometric here."""
    labels: Labels = {**dict(tree.labels), ENTRY: tree.irrep}
    parts: list[Part] = [*fragment.wiring.parts, Same(fragment.root, ENTRY)]
    source = ENTRY
    for place in range(len(fragment.leaves) - 1, 0, -1):
        rest = f"#tree{place}" if place > 1 else fragment.leaves[0]
        if place > 1:
            labels[rest] = steps[place - 2][0]
        parts.append(Splitting(source, rest, fragment.leaves[place]))
        source = rest
    if len(fragment.leaves) == 1:
        parts.append(Same(ENTRY, fragment.leaves[0]))
    closed = WireDiagram(
        name=graph.name,
        group=graph.group,
        basis=graph.basis,
        normalize="component",
        wiring=Wiring(tuple(parts), (), (), graph.span),
        factor=Fraction(1),
        traced=ENTRY,
        span=graph.span,
    )
    try:
        return evaluate(network(closed, labels))
    except TooMuchWork as error:
        raise CompileError([limits.sum_too_long(graph.span, graph.name, error.steps, WORK_LIMIT)]) from None

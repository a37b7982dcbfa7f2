"""Diagrams that are numbers: closed ones, and those from one irrep to itself (their trace over the dimension)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fusionc.language import syntax
from fusionc.language.parser import parse
from fusionc.language.source import Source
from reference.reading import Allowed, Wiring, parts_of, read_diagram
from reference.tensors import dim
from reference.wires import contract, labelings


def number(text: str, name: str = "d") -> float:
    """The value of a diagram that is a number: the sum over all labels of its wires."""
    items = parse(Source("<reference>", text)).file.items
    tree = next(item for item in items if isinstance(item, syntax.Diagram) and item.name.text == name)
    parts, factor = [], Fraction(1)
    for vertex in (statement for statement in tree.body if isinstance(statement, syntax.Vertex)):
        left = [ref.name.text for ref in vertex.left]
        right = [target.edge.name.text for target in vertex.right]
        parts += parts_of(left, right, f"#{len(parts)}.")
        for value in vertex.factors:
            assert isinstance(value, syntax.Number)
            factor *= value.value
    diagram = read_diagram(text, name, lines=False)
    allowed = dict(diagram.allowed)
    closed = not tree.legs
    if not closed:
        (leg,), (output,) = diagram.legs.values(), diagram.outputs.values()
        parts += parts_of([output.name], [leg.name], "#close")
        allowed[leg.name] = Allowed({block.irrep: None for block in leg.blocks})
    wiring, total = Wiring(tuple(parts), (), None), 0.0
    for labels in labelings(wiring, allowed, {}):
        size = 1 if closed else dim(labels[next(iter(diagram.legs))])
        total += float(np.real(contract(diagram, wiring, labels))) / size
    return total * float(factor)

"""Cuts of one, two and three lines: a diagram held together by so few lines is a product, without any sum.

     A ---1--- B     =    A   B                      δ_{10}               the line is removed, as in `zero_edge`

       __1__                __       __
     A       B       =    A   |     |  B             δ_{12} / d_1         each part closed by a line of its own
       ‾‾2‾‾                ‾‾       ‾‾

       __1__                __1__       __1__
     A---2---B       =    A---2---W   W---2---B      [1 2 3]              each part closed by a vertex (1 2 3)
       ‾‾3‾‾                ‾‾3‾‾       ‾‾3‾‾

An invariant tensor with one, two or three legs is a multiple of δ_{j0}, of the metric, of the 3j symbol (Schur; Yutsis
1962, § 14; Varshalovich 1988, 12.1.1). All arrows run from A to B, before and after; the line that closes A (two lines
cut) runs from the spot of 1 to that of 2, and so does the one that closes B.

A is the part that holds the smallest name of a line that is not cut.
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.graph import sides
from fusionc.rewrite.sketch import Sketch, Step
from fusionc.rewrite.zero_edge import zero_edge


def cut_one(diagram: Diagram, name: int) -> Step:
    """Remove a bridge."""
    _sides(diagram, name)
    return zero_edge(diagram, name)


def cut_two(diagram: Diagram, one: int, two: int) -> Step:
    """Cut two lines: the smaller name stays in part A, the larger one in part B."""
    one, two = min(one, two), max(one, two)
    sketch = _aimed(diagram, one, two)
    first, second = sketch.line(one), sketch.line(two)
    sketch.equal(first.label, second.label)
    sketch.dims((first.label, -2))
    sketch.erase(one, two)
    sketch.draw(one, first.label, first.tail, second.tail)
    sketch.draw(two, second.label, first.head, second.head)
    return sketch.done()


def cut_three(diagram: Diagram, one: int, two: int, three: int) -> Step:
    """Cut three lines: their names stay in part A, part B takes fresh ones, in ascending order."""
    names = sorted((one, two, three))
    sketch = _aimed(diagram, *names)
    sketch.triad(*(sketch.label(name) for name in names))
    new = sketch.fresh_vertex()
    for slot, name in enumerate(names):
        line = sketch.line(name)
        sketch.erase(name)
        sketch.draw(name, line.label, line.tail, (new, slot))
        sketch.draw(sketch.fresh_name(), line.label, (new + 1, slot), line.head)
    return sketch.done()


def _aimed(diagram: Diagram, *names: int) -> Sketch:
    sketch, inside = Sketch(diagram), _sides(diagram, *names)
    for name in names:
        tail, head = sketch.ends(name)
        sketch.leave(name, tail if inside[tail] else head)
    return sketch


def _sides(diagram: Diagram, *names: int) -> dict[int, bool]:
    """For each vertex of the part that is cut, whether it lies in A."""
    found = sides({line.name: (line.tail[0], line.head[0]) for line in diagram.lines}, names)
    if found is None:
        raise ValueError(f"lines {', '.join(map(str, names))} are no cut between two parts")
    return found

"""The F-move: a line between two vertices is re-coupled, at the price of a sum.

      a       d               a       d
       \\     /                 \\     /
        V-->V      =   Σ_y      V(d a y)     planar     (-1)^{a-b+c+d} d_y {a b x; c d y}    3j(d a y) -y-> 3j(y b c)
       / x   \\                   v y
      b       c                 V(y b c)     crossed    (-1)^{b+c+x+y} d_y {a b x; d c y}    3j(a c y) -y-> 3j(y b d)
                               /     \\
                              b       c

The left side is 3j(a b x) -x-> 3j(x c d) (Racah 1942; Varshalovich 1988, 9.1.1; Yutsis 1962, § 15).
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.network import Spot
from fusionc.rewrite.sketch import Sketch, Step


def flip(diagram: Diagram, name: int, one: int, two: int) -> Step:
    """Re-couple a line so that `one`, which meets it at one of its ends, and `two`, from the other end, meet.

    The line keeps its name and gets a new label.
    """
    sketch = Sketch(diagram)
    tail, head = sketch.ends(name)
    if tail == head:
        raise ValueError(f"line {name} is a loop at one vertex")
    if one not in sketch.at(tail):
        one, two = two, one
    at_tail, at_head = sketch.slot(tail, one), sketch.slot(head, two)
    return flip_slots(diagram, name, at_tail, at_head)


def flip_slots(diagram: Diagram, name: int, at_tail: int, at_head: int) -> Step:
    """The same, the lines that are to meet given by their slots at the line's tail and head."""
    sketch = Sketch(diagram)
    line = sketch.line(name)
    (tail, slot), (head, other) = line.tail, line.head
    a, b = (tail, (slot + 1) % 3), (tail, (slot + 2) % 3)
    c, d = (head, (other + 1) % 3), (head, (other + 2) % 3)
    if ((tail, at_tail) == a) == ((head, at_head) == d):
        _planar(sketch, name, a, b, c, d)
    else:
        _crossed(sketch, name, a, b, c, d)
    return sketch.done()


def _planar(sketch: Sketch, name: int, *spots: Spot) -> None:
    (a, b, c, d), x = (sketch.label(sketch.holder(spot)) for spot in spots), sketch.label(name)
    y = sketch.sum()
    sketch.phase((a, 1), (b, 3), (c, 1), (d, 1))
    sketch.six(a, b, x, c, d, y)
    _redraw(sketch, name, y, (spots[3], spots[0]), (spots[1], spots[2]))


def _crossed(sketch: Sketch, name: int, *spots: Spot) -> None:
    (a, b, c, d), x = (sketch.label(sketch.holder(spot)) for spot in spots), sketch.label(name)
    y = sketch.sum()
    sketch.phase((b, 1), (c, 1), (x, 1), (y, 1))
    sketch.six(a, b, x, d, c, y)
    _redraw(sketch, name, y, (spots[0], spots[2]), (spots[1], spots[3]))


def _redraw(sketch: Sketch, name: int, y: int, first: tuple[Spot, Spot], second: tuple[Spot, Spot]) -> None:
    """The vertices become (first, y) and (y, second)."""
    tail, head = sketch.ends(name)
    sketch.erase(name)
    sketch.move({first[0]: (tail, 0), first[1]: (tail, 1), second[0]: (head, 1), second[1]: (head, 2)})
    sketch.draw(name, y, (tail, 2), (head, 0))

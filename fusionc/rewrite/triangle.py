"""Three lines in a ring: a triangle is a vertex, times a 6j symbol.

              1                               1
              |                               |
              V1                              |
           6 /  \\ 5            =             V             { 1 2 3 }
            /    \\                           / \\            { 4 5 6 }
       2 --V2----V3-- 3                     2   3
              4

Each vertex in the order (outer, ring in, ring out), the arrows round the ring V1 -> V2 -> V3 -> V1; the new vertex in
the order (1, 2, 3) (Varshalovich 1988, 9.1.2 and 12.1.3; Yutsis 1962, § 16).
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.sketch import Sketch, Step


def triangle(diagram: Diagram, one: int, two: int, three: int) -> Step:
    """Replace the ring of three lines and their three vertices by a single vertex."""
    sketch = Sketch(diagram)
    ring = (one, two, three)
    corners = sketch.ring(*ring)
    for k, vertex in enumerate(corners):
        outer = next(name for name in sketch.at(vertex) if name not in ring)
        sketch.order(vertex, (outer, ring[k - 1], ring[k]))
        sketch.leave(ring[k], vertex)
    outers = [sketch.label(sketch.at(vertex)[0]) for vertex in corners]
    sketch.six(*outers, sketch.label(two), sketch.label(three), sketch.label(one))
    sketch.erase(*ring)
    sketch.move({(vertex, 0): (corners[0], slot) for slot, vertex in enumerate(corners)})
    return sketch.done()

"""Two lines between the same two vertices: a bubble on a line.

                  __a__
                 /     \\
      X --->--- U       V --->--- Y      =      X --->--- Y    (-1)^{2c} / d_c,   δ_{cc'}
           c     \\__b__/     c'

Σ 3j(a b c) E_a E_b 3j(a b c') = δ_cc' E_c / d_c: the orthogonality of the 3j symbols (Varshalovich 1988, 8.1.1;
Yutsis 1962, fig. 13). On a theta, where c and c' are one line, what is left is a circle, and the value is 1.
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.sketch import Sketch, Step


def bubble(diagram: Diagram, one: int, two: int) -> Step:
    """Remove two lines that join the same two vertices; the third lines of these become one."""
    sketch = Sketch(diagram)
    first, second = sketch.ends(one)
    if first == second or sorted(sketch.ends(two)) != sorted((first, second)):
        raise ValueError(f"lines {one} and {two} do not join the same two vertices")
    for vertex in (first, second):
        third = next(slot for slot, name in enumerate(sketch.at(vertex)) if name not in (one, two))
        sketch.order(vertex, (one, two, sketch.at(vertex)[third]))
    sketch.leave(one, first)
    sketch.leave(two, first)
    sketch.triad(sketch.label(one), sketch.label(two), sketch.label(sketch.at(first)[2]))
    sketch.dims((sketch.label(sketch.at(first)[2]), -2))
    sketch.erase(one, two)
    sketch.splice((first, 2), (second, 2))
    return sketch.done()

"""A line that leaves a vertex and returns to it: what hangs on the vertex must carry spin 0.

             a
            ___        a'
           /   \\       /                      a'
           \\   U--->--V          =    sqrt(d_a / d_a')  |      and δ_{b0} δ_{a'a''}
            ‾‾‾   b    \\                      a''
                       a''

Σ E_a 3j(a a b) = sqrt(d_a) δ_{b0}, the arrow from slot 0 to slot 1 (Varshalovich 1988, 8.5.1 and 12.1.2).
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.sketch import Sketch, Step
from fusionc.rewrite.zero_edge import remove_zero


def tadpole(diagram: Diagram, name: int) -> Step:
    """Remove a loop at a vertex, its stem, and the vertex at the stem's other end."""
    sketch = Sketch(diagram)
    vertex, other = sketch.ends(name)
    if vertex != other:
        raise ValueError(f"line {name} is no loop: it joins vertices {vertex} and {other}")
    stem = next(line for line in sketch.at(vertex) if line != name)
    sketch.zero(sketch.label(stem))
    remove_zero(sketch, stem)
    return sketch.done()

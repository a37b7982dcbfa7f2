"""A line of spin 0 is no line: its two vertices become plain joins.

        a       a'
         \\     /                     a ------- b
          U---V          =                              1/sqrt(d_a d_a')
         / j=0 \\                    a' ------- b'
        b       b'

3j(a b 0) = δ_ab E_a / sqrt(d_a) (Varshalovich 1988, 8.5.1): each join carries that metric, so two lines and a vertex
become one line with the phase (-1)^{2a} of three metrics in a row.
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.sketch import Sketch, Step


def zero_edge(diagram: Diagram, name: int) -> Step:
    """Remove a line between two vertices, whose spin must be 0: δ_{j0} δ_{ab} δ_{a'b'} (d_a d_a')^{-1/2}."""
    sketch = Sketch(diagram)
    sketch.zero(sketch.label(name))
    remove_zero(sketch, name)
    return sketch.done()


def remove_zero(sketch: Sketch, name: int) -> None:
    """Erase a line of spin 0 and join what it touched."""
    line = sketch.line(name)
    if line.tail[0] == line.head[0]:
        raise ValueError(f"line {name} is a loop at one vertex: that is a tadpole")
    sketch.erase(name)
    for vertex, slot in (line.tail, line.head):
        after, last = (vertex, (slot + 1) % 3), (vertex, (slot + 2) % 3)
        sketch.dims((sketch.label(sketch.holder(after)), -1))
        sketch.splice(after, last)

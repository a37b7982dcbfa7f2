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
    sides = [sketch.cyclic(vertex, name) for vertex in sketch.ends(name)]
    sketch.erase(name)
    for (vertex, slot), (_, one, _) in zip((line.tail, line.head), sides, strict=True):
        sketch.dims((sketch.label(_present(sketch, vertex, one, slot)), -1))
        sketch.splice((vertex, (slot + 1) % 3), (vertex, (slot + 2) % 3))


def _present(sketch: Sketch, vertex: int, name: int, slot: int) -> int:
    """The line that now sits in the slot after `slot`: an earlier join may have renamed it."""
    return sketch.holder((vertex, (slot + 1) % 3))

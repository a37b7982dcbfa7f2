"""Four lines in a ring: a square is a line between two vertices, summed over its spin.

       A      B                         A   B
        \\  p  /                          \\ /
        V1-->V2                           V
      s ^     v q      =     Σ_x          v x      (-1)^{A+B+C+D+2p+q+2r+3s+x} d_x { A B x } { C D x }
        V4<--V3                           V                                         { q s p } { s q r }
        /  r  \\                          / \\
       D      C                         D   C

Vertices in the order (ring in, outer, ring out); the new ones are V(A B x) and V(x C D). It is a flip of p and the
triangle that this makes (Yutsis 1962, § 18; Varshalovich 1988, 12.1.4).
"""

from __future__ import annotations

from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.sketch import Sketch, Step


def square(diagram: Diagram, p: int, q: int, r: int, s: int) -> Step:
    """Replace the ring of lines p, q, r, s; the outer lines at the ends of p meet, and those at the ends of r.

    The new line takes the next free name.
    """
    sketch = Sketch(diagram)
    ring = (p, q, r, s)
    corners = sketch.ring(*ring)
    for k, vertex in enumerate(corners):
        outer = next(name for name in sketch.at(vertex) if name not in ring)
        sketch.order(vertex, (ring[k - 1], outer, ring[k]))
        sketch.leave(ring[k], vertex)
    outers = [sketch.label(sketch.at(vertex)[1]) for vertex in corners]
    inner = [sketch.label(name) for name in ring]
    x = _factors(sketch, outers, inner)
    v1, v2, v3, v4 = corners
    sketch.erase(*ring)
    sketch.move({(v1, 1): (v1, 0), (v2, 1): (v1, 1), (v3, 1): (v3, 1), (v4, 1): (v3, 2)})
    sketch.draw(sketch.fresh_name(), x, (v1, 2), (v3, 0))
    return sketch.done()


def _factors(sketch: Sketch, outers: list[int], inner: list[int]) -> int:
    (a, b, c, d), (p, q, r, s) = outers, inner
    x = sketch.sum()
    sketch.phase((a, 1), (b, 1), (c, 1), (d, 1), (p, 2), (q, 1), (r, 2), (s, 3), (x, 1))
    sketch.six(a, b, x, q, s, p)
    sketch.six(c, d, x, s, q, r)
    return x

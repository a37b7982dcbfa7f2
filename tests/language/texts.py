"""Programs that several tests read."""

from __future__ import annotations

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.parser import parse
from fusionc.language.source import Source

THREE_BODY = """\
# Two neighbours and a node, fused into a new node feature.
group O(3)                                   # O(3) (default) | SO(3) | SU(2)

irreps H = 64x0e + 64x1o + 64x2e             # multiplicity x irrep, e3nn's notation
irreps Y = spherical(3)                      # 0e + 1o + 2e + 3o

diagram three_body(x: H, a: Y, b: Y) -> H {
    x[u] a -> e[u] in 0e + 1o + 2e           # a vertex: x and a fuse into the internal edge e
    e[u] b -> out[u] * W[path, u]            # W: one learned number for each path and channel
}
"""

PRODUCT_BASIS = """\
irreps A = 128x0e + 128x1o + 128x2e + 128x3o
irreps B = 128x0e + 128x1o

diagram product_basis(a: A, z: index(89)) -> B {
    a[u]           -> out[u] * W1[z, path, u]
    a[u] a[u]      -> out[u] * W2[z, path, u]
    a[u] a[u] a[u] -> out[u] * W3[z, path, u]       # 8 + 12 paths here, not 23 + 51
}
"""

DENSITY = """\
sites atoms                                  # an index set whose size is known at run time
pairs edges(atoms, atoms)                    # a sparse relation, given at run time as edge_index

diagram message(x: H[atoms], y: Y[edges], r: weights[edges]) -> M[atoms] {
    x[j,u] y[i,j] -> out[i,u] * r[i,j,path,u]
}

diagram density_squared(x: H[atoms], y: Y[edges], r: weights[edges]) -> M[atoms] {
    x[j,u] y[i,j] -> A[i,u] in lmax 3 * r[i,j,path,u]       # sums over the neighbours j of i
    A[i,u] A[i,u] -> out[i,u] * W[path,u]                   # three-body, at the price of two-body
}
"""

RECOUPLING = """\
group SU(2)
diagram recoupling(x: 1/2) -> 1/2 {                     # one F-symbol of three spins 1/2
    edge a: 1/2, b: 1/2, c: 1/2, e: 0, f: 1             # labels of internal edges
    x   -> e c
    e   -> a b
    b c -> f
    a f -> out
}
"""

CLOSED = """\
import "other.fus"
basis complex
diagram theta() {
    normalize none; paths path
    -> p q in 1
    p q -> * -1/2
}
diagram many(x: 3 * H[atoms]) -> (s: 64x0e, v: * in lmax 3,
                                  out: 2x3/2 + 3 * spherical(2)) { x -> s }
"""

PROGRAMS = (THREE_BODY, PRODUCT_BASIS, DENSITY, RECOUPLING, CLOSED)


def file_of(text: str) -> syntax.File:
    """The tree of a text without mistakes."""
    result = parse(Source("test.fus", text))
    assert result.diagnostics == ()
    return result.file


def body_of(*lines: str) -> tuple[syntax.Statement, ...]:
    """The statements of a diagram's body."""
    (item,) = file_of("diagram f() {\n" + "\n".join(lines) + "\n}\n").items
    assert isinstance(item, syntax.Diagram)
    return item.body


def mistakes_in(text: str) -> tuple[Diagnostic, ...]:
    return parse(Source("test.fus", text)).diagnostics


def mistake_in(text: str) -> Diagnostic:
    """The only diagnostic of a text."""
    (diagnostic,) = mistakes_in(text)
    return diagnostic


def in_body(line: str) -> str:
    """A program with one line in question, between two sound ones."""
    return f"diagram f(x: H) -> H {{\n    x -> a\n    {line}\n    a -> out\n}}\n"

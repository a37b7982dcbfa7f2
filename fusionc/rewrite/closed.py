"""Diagrams that are numbers, as closed networks of 3j symbols.

The complex basis is the builder's own: isometric Clebsch-Gordan tensors and their adjoints, joined from outputs to
inputs. In
the real basis the vertex is sqrt(d_c) times e3nn's 3j symbol, every metric is the identity, and the identities of
recoupling
hold as they stand. Integer spins do not see the direction of an arrow, so the same network serves there, up to the
phase (-1)^{b+c-a} that the complex vertex has and the real one has not.
"""

from __future__ import annotations

from fractions import Fraction

from fusionc.algebra.surds import ZERO, Surd
from fusionc.diagram import limits
from fusionc.diagram.loops import Closing, Coupling, Labels, Pair, Part, Splitting
from fusionc.diagram.normalize import wiring_scale
from fusionc.diagram.wires import WireDiagram, all_labelings
from fusionc.language.errors import CompileError
from fusionc.rewrite.builder import End, NetworkBuilder
from fusionc.rewrite.evaluate import WORK_LIMIT, evaluate, work
from fusionc.rewrite.network import SpinNetwork


def value(diagram: WireDiagram) -> Surd:
    """The exact value: the sum over all labelings, zero where there is none.

    Raises `CompileError` with F1035 or F3005 where the labelings are unbounded or too many, and with F3013, before any
    sum is done, where the sums are too long.
    """
    return sum(map(evaluate, _networks(diagram)), ZERO)


LOOKED_AT = 16
"""So many labelings are looked at before a diagram is evaluated: one that is too long a sum has large spins, or a large
shape, in most of them."""


def refuse_too_long(diagram: WireDiagram) -> None:
    """Raise what `value` raises, without doing any of its sums, as far as a few labelings show it."""
    _networks(diagram, LOOKED_AT)


def _networks(diagram: WireDiagram, most: int | None = None) -> list[SpinNetwork]:
    """The networks of all labelings (or of some), up to where their sums are too long."""
    networks, steps = list[SpinNetwork](), 0
    for labels in all_labelings(diagram)[:most]:
        networks.append(network(diagram, labels))
        steps += work(networks[-1])
        if steps > WORK_LIMIT:
            raise CompileError([limits.sum_too_long(diagram.span, diagram.name, steps, WORK_LIMIT)])
    return networks


def network(diagram: WireDiagram, labels: Labels) -> SpinNetwork:
    """The network of a diagram whose wires have these irreps; its prefactor holds everything that is no 3j symbol."""
    builder = NetworkBuilder()
    builder.scale(wiring_scale(diagram.group, diagram.normalize, diagram.wiring.parts, labels) * diagram.factor)
    twice = {wire: diagram.group.dim(irrep) - 1 for wire, irrep in labels.items()}
    wires = {wire: builder.line(twice_j) for wire, twice_j in twice.items()}  # where a wire is made, where it is used
    for part in diagram.wiring.parts:
        _add(builder, part, wires, twice)
        if diagram.basis == "real" and isinstance(part, Coupling | Splitting):
            c = part.result if isinstance(part, Coupling) else part.source
            is_odd = (twice[part.second] + twice[c] - twice[part.first]) // 2 % 2
            builder.scale(Surd.of(-1 if is_odd else 1))
    if diagram.traced is not None:
        builder.scale(Surd.of(Fraction(1, diagram.group.dim(labels[diagram.traced]))))
    return builder.build()


def _add(builder: NetworkBuilder, part: Part, wires: dict[str, tuple[End, End]], twice: dict[str, int]) -> None:
    """Add a part: it takes wires where they are used, and ends in wires where they are made."""
    made = {wire: ends[0] for wire, ends in wires.items()}
    used = {wire: ends[1] for wire, ends in wires.items()}
    if isinstance(part, Coupling):
        builder.join(builder.couple(used[part.first], used[part.second], twice[part.result]), made[part.result])
    elif isinstance(part, Splitting):
        first, second = builder.split(used[part.source], twice[part.first], twice[part.second])
        builder.join(first, made[part.first])
        builder.join(second, made[part.second])
    elif isinstance(part, Pair):
        first, second = builder.pair(twice[part.first])
        builder.join(first, made[part.first])
        builder.join(second, made[part.second])
    elif isinstance(part, Closing):
        builder.close_pair(used[part.first], used[part.second])
    else:
        builder.join(used[part.first], made[part.second])

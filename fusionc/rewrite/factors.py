"""What a rewrite puts in front: a product of phases, dimensions and 6j symbols, summed over labels.

    Σ_x  Π i^{n_a 2a}  Π (2a+1)^{p_a / 2}  Π {a b c; d e f}  Π δ_{a b}  Π δ_{a 0}  Π [a b c]

A phase (-1)^{n a} of a spin a is i^{n 2a}: its exponent n counts modulo 4, so that signs of half-integers need no
care. [a b c] is 1 if the three spins can meet and 0 if not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Six = tuple[int, int, int, int, int, int]
Triad = tuple[int, int, int]
Powers = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Factors:
    """A product of factors over labels; every field is ordered, so equal products are equal values.

    phase   pairs (label, n): (-1)^{n j}, n in 1, 2, 3
    dims    pairs (label, p): (2j+1)^{p/2}, p not zero
    sixes   6j symbols, upper row then lower row
    sums    labels summed over, in the order of their appearance; every triad of the 6j symbols bounds them
    equal   pairs of labels that must agree
    zero    labels that must be 0
    triads  triples of labels that must be able to meet
    """

    phase: Powers = ()
    dims: Powers = ()
    sixes: tuple[Six, ...] = ()
    sums: tuple[int, ...] = ()
    equal: tuple[tuple[int, int], ...] = ()
    zero: tuple[int, ...] = ()
    triads: tuple[Triad, ...] = ()

    def __mul__(self, other: Factors) -> Factors:
        return Factors(
            powers([*self.phase, *other.phase], 4),
            powers([*self.dims, *other.dims]),
            self.sixes + other.sixes,
            self.sums + other.sums,
            self.equal + other.equal,
            self.zero + other.zero,
            self.triads + other.triads,
        )

    def relabelled(self, names: Mapping[int, int]) -> Factors:
        """The same product with label a written as names[a], where it has an entry."""

        def new(label: int) -> int:
            return names.get(label, label)

        return Factors(
            powers([(new(label), power) for label, power in self.phase], 4),
            powers([(new(label), power) for label, power in self.dims]),
            tuple((new(a), new(b), new(c), new(d), new(e), new(f)) for a, b, c, d, e, f in self.sixes),
            tuple(label for label in self.sums if new(label) == label),
            tuple((new(a), new(b)) for a, b in self.equal if new(a) != new(b)),
            tuple(new(label) for label in self.zero),
            tuple((new(a), new(b), new(c)) for a, b, c in self.triads),
        )


def powers(pairs: Iterable[tuple[int, int]], modulus: int = 0) -> Powers:
    """Collect exponents label by label, modulo `modulus` unless that is 0; ascending labels, no zeros."""
    totals: dict[int, int] = {}
    for label, power in pairs:
        totals[label] = totals.get(label, 0) + power
    if modulus:
        totals = {label: power % modulus for label, power in totals.items()}
    return tuple((label, totals[label]) for label in sorted(totals) if totals[label])


def triads_of(six: Six) -> tuple[Triad, Triad, Triad, Triad]:
    """The four triples of a 6j symbol that must be able to meet."""
    a, b, c, d, e, f = six
    return (a, b, c), (a, e, f), (d, b, f), (d, e, c)

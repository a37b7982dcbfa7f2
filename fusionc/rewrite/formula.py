"""The value of a network, written down: a sum over labels of products of 6j symbols, dimensions and phases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.wigner import triangle
from fusionc.rewrite.factors import Factors
from fusionc.rewrite.notation import LATEX, TEXT, write
from fusionc.rewrite.ranges import ranges


@dataclass(frozen=True)
class Formula:
    """``prefactor · Σ_x Π (-1)^{n j} Π (2j+1)^{p/2} Π {a b c; d e f}`` for the spins at hand.

    spins      doubled spins of the labels 0, 1, …: the network's edges, then its circles
    factors    the product; its labels beyond `spins` are summed over
    prefactor  an exact number in front
    names      texts for the labels 0, 1, … in place of their spins; empty to print the spins

    The shape of a network decides `factors`; spins enter only in what is printed and in the ranges of the sums.
    """

    spins: tuple[int, ...]
    factors: Factors
    prefactor: Surd = ONE
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.names and len(self.names) != len(self.spins):
            raise ValueError(f"{len(self.spins)} labels need as many names, not {len(self.names)}")
        if any(label in self.factors.zero for label in self.factors.sums):
            raise ValueError("a summation variable is bound to 0: sum it away first")

    @property
    def summations(self) -> int:
        """The number of summation variables."""
        return len(self.factors.sums)

    @property
    def six_js(self) -> int:
        """The number of 6j symbols."""
        return len(self.factors.sixes)

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """For each summation variable the doubled spins that its triangle conditions leave, by interval arithmetic.

        Every product outside these ranges is zero; some products inside may still be. An empty range: the sum is 0.
        """
        return ranges(self.spins, self.factors)

    @cached_property
    def vanishes(self) -> bool:
        """Whether the spins at hand break a condition that stands outside the sum: the value is then exactly 0."""
        spins, conditions = self.spins, self.factors
        if any(spins[label] for label in conditions.zero) or not self.prefactor:
            return True
        if any(spins[one] != spins[two] for one, two in conditions.equal):
            return True
        known = [triad for triad in conditions.triads if max(triad) < len(spins)]
        return not all(triangle(spins[a], spins[b], spins[c]) for a, b, c in known)

    def __str__(self) -> str:
        """Such as ``Σ_x (-1)^{2x} (2x+1) {1 2 1; 1/2 3/2 x} …``; spins as halves, 6j symbols row by row."""
        return write(self, TEXT)

    def latex(self) -> str:
        """The same for LaTeX; 6j symbols as arrays in braces."""
        return write(self, LATEX)

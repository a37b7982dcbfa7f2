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

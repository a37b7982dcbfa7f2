"""The value of a network, written down: a sum over labels of products of 6j symbols, dimensions and phases."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.wigner import triangle
from fusionc.rewrite.factors import Factors, triads_of
from fusionc.rewrite.notation import LATEX, TEXT, Notation
from fusionc.rewrite.ranges import ranges

_VARIABLES = "xyzuvw"


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


def write(formula: Formula, notation: Notation) -> str:
    """The whole formula; ``0`` when a condition outside the sum is broken by the spins at hand."""
    if formula.vanishes and not formula.names:
        return "0"
    texts = _label_texts(formula, notation)
    parts: list[str] = [*_front(formula, notation), *_conditions(formula, notation, texts)]
    if formula.factors.sums:
        parts.append(notation.sum(",".join(texts[label] for label in formula.factors.sums)))
    parts += _phase(formula, notation, texts)
    parts += [
        _dimension(notation, texts[label], power) for label, power in formula.factors.dims if _open(formula, label)
    ]
    parts += [notation.six([texts[label] for label in six]) for six in formula.factors.sixes]
    if not parts or parts == ["-"]:
        parts.append("1")
    return " ".join(parts).replace("- ", "-", 1) if parts[0] == "-" else " ".join(parts)


def _open(formula: Formula, label: int) -> bool:
    """Whether a label is written as a letter rather than as a number."""
    return bool(formula.names) or label >= len(formula.spins)


def _label_texts(formula: Formula, notation: Notation) -> dict[int, str]:
    known = formula.names or tuple(notation.half(spin) for spin in formula.spins)
    texts = dict(enumerate(known))
    letters = (letter + number for number in ("", *map(str, range(1, 1000))) for letter in _VARIABLES)
    free = (letter for letter in letters if letter not in formula.names)
    return texts | {label: next(free) for label in formula.factors.sums}


def _front(formula: Formula, notation: Notation) -> list[str]:
    number = formula.prefactor
    for label, power in formula.factors.dims:
        if not _open(formula, label):
            number = number * Surd.root(Fraction(formula.spins[label] + 1) ** power)
    if _fixed_quarters(formula) == 2:
        number = -number
    return [] if number == ONE else ["-"] if number == -ONE else [notation.number(number)]


def _conditions(formula: Formula, notation: Notation, texts: dict[int, str]) -> list[str]:
    """Deltas, and the triads that no 6j symbol implies; nothing when the spins are known to obey them."""
    if not formula.names:
        return []
    factors = formula.factors
    implied = {tuple(sorted(triad)) for six in factors.sixes for triad in triads_of(six)}
    words: list[str] = [notation.delta(texts[one], texts[two]) for one, two in dict.fromkeys(factors.equal)]
    words += [notation.delta(texts[label], "0") for label in dict.fromkeys(factors.zero)]
    missing = dict.fromkeys(triad for triad in factors.triads if tuple(sorted(triad)) not in implied)
    return words + [notation.triad([texts[label] for label in triad]) for triad in missing]


def _fixed_quarters(formula: Formula) -> int:
    """The phase of the labels that are written as numbers, as a power of i."""
    return sum(power * formula.spins[label] for label, power in formula.factors.phase if not _open(formula, label)) % 4


def _phase(formula: Formula, notation: Notation, texts: dict[int, str]) -> list[str]:
    """(-1)^{…}: coefficients 1, 2, -1 of letters, and what is left of the numbers; a mere sign stands in front."""
    words: list[str] = []
    for label, power in formula.factors.phase:
        if _open(formula, label):
            sign = "-" if power == 3 else "+" if words else ""
            words.append(sign + ("2" if power == 2 else "") + texts[label])
    fixed = _fixed_quarters(formula)
    if fixed % 2:
        words.append(("+" if words else "") + notation.half(fixed))
    return ["(-1)^{" + "".join(words) + "}"] if words else []


def _dimension(notation: Notation, text: str, power: int) -> str:
    base = f"(2{text}+1)"
    size = abs(power)
    if power % 2:
        base = notation.root(base)
    else:
        size //= 2
    word = base if size == 1 else f"{base}^{size}"
    return word if power > 0 else notation.over(word)

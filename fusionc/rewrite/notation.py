"""How a formula is written: one order of factors, two alphabets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from fusionc.algebra.surds import ONE, Surd
from fusionc.rewrite.factors import triads_of

if TYPE_CHECKING:
    from fusionc.rewrite.formula import Formula

_VARIABLES = "xyzuvw"


@dataclass(frozen=True)
class Notation:
    """The spellings in which plain text and LaTeX differ."""

    sum: Callable[[str], str]
    number: Callable[[Surd], str]
    half: Callable[[int], str]
    six: Callable[[list[str]], str]
    root: Callable[[str], str]
    over: Callable[[str], str]
    delta: Callable[[str, str], str]
    triad: Callable[[list[str]], str]


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


def _half_text(spin: int) -> str:
    return f"{spin}/2" if spin % 2 else str(spin // 2)


def _half_latex(spin: int) -> str:
    return rf"\frac{{{spin}}}{{2}}" if spin % 2 else str(spin // 2)


def _six_latex(labels: list[str]) -> str:
    upper, lower = " & ".join(labels[:3]), " & ".join(labels[3:])
    return rf"\begin{{Bmatrix}} {upper} \\ {lower} \end{{Bmatrix}}"


TEXT = Notation(
    sum=lambda names: f"Σ_{names}" if len(names) == 1 else f"Σ_{{{names}}}",
    number=lambda number: f"({number})" if not number.is_single else str(number),
    half=_half_text,
    six=lambda labels: "{" + " ".join(labels[:3]) + "; " + " ".join(labels[3:]) + "}",
    root=lambda base: "√" + base,
    over=lambda word: "1/" + word,
    delta=lambda one, two: f"δ({one},{two})",
    triad=lambda labels: "[" + " ".join(labels) + "]",
)

LATEX = Notation(
    sum=lambda names: rf"\sum_{{{names}}}",
    number=lambda number: rf"\left({number.latex()}\right)" if not number.is_single else number.latex(),
    half=_half_latex,
    six=_six_latex,
    root=lambda base: rf"\sqrt{{{base[1:-1]}}}",
    over=lambda word: rf"\frac{{1}}{{{word}}}",
    delta=lambda one, two: rf"\delta_{{{one},{two}}}",
    triad=lambda labels: r"\{" + r"\,".join(labels) + r"\}",
)

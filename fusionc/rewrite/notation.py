"""How a formula is written: one order of factors, two alphabets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fusionc.algebra.surds import Surd


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

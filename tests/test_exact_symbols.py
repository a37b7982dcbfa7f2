"""Larger 3j, 6j and 9j symbols exactly against sympy, and sum rules at spin 500: the fast part of the benchmark
exact_symbols. Small labels, symmetries and the contract are in algebra/test_wigner.py."""

from __future__ import annotations

import importlib.util
import json
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import sympy

from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import nine_j, six_j

_file = Path(__file__).parent.parent / "benchmarks" / "exact_symbols.py"
_spec = importlib.util.spec_from_file_location("exact_symbols", _file)
assert _spec is not None
assert _spec.loader is not None
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


@pytest.mark.parametrize(("kind", "count"), [("3j", 300), ("6j", 200), ("9j", 25)])
def test_random_symbols_with_spins_to_20_against_sympy(kind, count):
    found = benchmark.agreement(kind, count, 1, benchmark.Progress())
    assert found["mismatches"] == 0, found["examples"]
    assert found["zeros"] < count / 10


def test_the_comparison_sees_a_sign_and_a_size():
    two_thirds = sympy.sqrt(sympy.Rational(2, 3))
    assert benchmark.signed_square(-two_thirds) == Fraction(-2, 3)
    assert benchmark.signed_square(Surd.root(Fraction(2, 3))) == benchmark.signed_square(two_thirds)
    assert benchmark.signed_square(Surd.root(Fraction(2, 3), -1)) != benchmark.signed_square(two_thirds)
    assert benchmark.signed_square(ZERO) == benchmark.signed_square(sympy.Integer(0)) == 0
    with pytest.raises(ValueError, match="not a rational"):
        benchmark.signed_square(1 + two_thirds)


def test_a_mismatch_is_counted(monkeypatch):
    draw, ours, theirs = benchmark.KINDS["6j"]
    monkeypatch.setitem(benchmark.KINDS, "6j", (draw, lambda *labels: -ours(*labels), theirs))
    found = benchmark.agreement("6j", 20, 0, benchmark.Progress())
    assert found["mismatches"] == 20 - found["zeros"] > 0


@pytest.mark.parametrize("spin", [99, 500])
def test_sum_rules_of_large_spins(spin):
    """Orthogonality of 6j and 3j symbols, exactly: a thousand single symbols at spin 500 add up to 1, or to 0."""
    rules = list(benchmark.sums_of_squares(spin))
    assert len(rules) == 4
    for name, terms, found, wanted in rules:
        assert found == wanted, name
        assert terms >= spin - 1


def test_orthogonality_of_6j_symbols_where_every_spin_is_500():
    """sum_x (2x+1)(2f+1) {a b x; c d f} {a b x; c d g} = delta_fg with x up to 1000, and Racah's rule
    sum_x (-1)^(f+g+x) (2x+1) {a b x; c d f} {a b x; d c g} = {a d f; b c g}."""
    a = 1000
    rows = [(x + 1, six_j(a, a, x, a, a, a), six_j(a, a, x, a, a, a - 2)) for x in range(0, 2 * a + 1, 2)]
    assert sum((one * one * weight for weight, one, _ in rows), ZERO) * (a + 1) == ONE
    assert sum((one * two * weight for weight, one, two in rows), ZERO) == ZERO
    signs = [-1 if (a + a - 2 + x) // 2 % 2 else 1 for x in range(0, 2 * a + 1, 2)]
    total = sum((one * two * (weight * sign) for sign, (weight, one, two) in zip(signs, rows, strict=True)), ZERO)
    assert total == six_j(a, a, a, a, a, a - 2)


def test_orthogonality_of_9j_symbols():
    """sum over g and h of (2c+1)(2f+1)(2g+1)(2h+1) {a b c; d e f; g h i}^2 = 1: a product of two 6j rules."""
    a, b, d, e, c, f, i = 19, 16, 14, 21, 11, 9, 10  # doubled
    pairs = [(g, h) for g in benchmark.meeting((a, d)) for h in benchmark.meeting((b, e), (g, i))]
    squares = [nine_j(a, b, c, d, e, f, g, h, i) ** 2 * ((g + 1) * (h + 1)) for g, h in pairs]
    assert len(pairs) > 50
    assert sum(squares, ZERO) * ((c + 1) * (f + 1)) == ONE


def test_every_class_of_6j_symbols_has_one_first_label():
    """Each symbol to spin 2 equals that of exactly one class, found by listing the 24 arrangements."""
    everything = list(benchmark.every_6j(4))
    first = {labels for labels in everything if benchmark.is_first_of_its_class(labels)}
    reached: set[tuple[int, ...]] = set()
    for a, b, c, d, e, f in first:
        value = six_j(a, b, c, d, e, f)
        for p, q, r, s, t, u in ((a, b, c, d, e, f), (a, e, f, d, b, c), (d, b, f, a, e, c), (d, e, c, a, b, f)):
            columns = [(p, s), (q, t), (r, u)]
            for one, two, three in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
                upper, lower = zip(columns[one], columns[two], columns[three], strict=True)
                assert (*upper, *lower) == (a, b, c, d, e, f) or (*upper, *lower) not in first
                assert six_j(*upper, *lower) == value
                reached.add((*upper, *lower))
    assert reached == set(everything)


def test_the_benchmark_runs(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["exact_symbols.py", "--quick", "--count", "3", "--json"])
    assert benchmark.main() == 0
    report = json.loads(capsys.readouterr().out)
    assert [part["mismatches"] for part in report["agreement"]] == [0, 0, 0]
    assert all(rule["exact"] for size in report["large"] for rule in size["rules"])
    monkeypatch.setattr(sys, "argv", ["exact_symbols.py", "--quick", "--count", "3"])
    assert benchmark.main() == 0
    assert "all 6j with spins to 2" in capsys.readouterr().out

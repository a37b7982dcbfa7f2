"""The double Kondo rung of examples/kondo.py: its matrices against coupled states and 9j symbols, its energies against
exact diagonalisation."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sympy import Rational
from sympy.physics.wigner import clebsch_gordan

import fusionc
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import nine_j

EXAMPLES = Path(__file__).parent.parent / "examples"
_spec = importlib.util.spec_from_file_location("kondo_example", EXAMPLES / "kondo.py")
assert _spec is not None
assert _spec.loader is not None
kondo = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kondo)


def test_it_runs_and_prints_exact_matrices():
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, EXAMPLES / "kondo.py"]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True, env=environment)
    assert "√3/2" in run.stdout
    assert "-√2/2" in run.stdout
    assert len(run.stdout.splitlines()) == 12 + 1 + len(kondo.COUPLINGS)


def test_there_are_ten_pairs_of_couplings():
    assert len(set(kondo.COUPLINGS)) == 10


@pytest.mark.parametrize(("j_perp", "j_kondo"), kondo.COUPLINGS)
def test_energies_equal_exact_diagonalisation(j_perp, j_kondo):
    """All 16 states, M by M: that the block of M holds the levels with J >= |M| is the degeneracy 2J+1."""
    assert kondo.deviation(j_perp, j_kondo) < 1e-12
    blocks = kondo.exact_diagonalisation(j_perp, j_kondo)
    assert {m: len(block) for m, block in blocks.items()} == {-2: 1, -1: 4, 0: 6, 1: 4, 2: 1}


@pytest.mark.parametrize(("j_perp", "j_kondo"), kondo.COUPLINGS)
def test_energies_in_closed_form(j_perp, j_kondo):
    """The two singlets are the roots of a quadratic equation, the quintet is the sum of three ferromagnetic bonds."""
    middle, root = -j_kondo / 2 - j_perp / 4, (j_kondo**2 - j_kondo * j_perp / 2 + j_perp**2 / 4) ** 0.5
    assert np.allclose(kondo.energies(0, j_perp, j_kondo), [middle - root, middle + root], rtol=0, atol=1e-12)
    assert np.allclose(kondo.energies(2, j_perp, j_kondo), [j_kondo / 2 + j_perp / 4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("total", [0, 1, 2])
def test_matrices_are_orthogonal(total):
    rows = kondo.recoupling(total)
    for p, one in enumerate(rows):
        for q, two in enumerate(rows):
            assert sum((x * y for x, y in zip(one, two, strict=True)), ZERO) == (ONE if p == q else ZERO)


@pytest.mark.parametrize("total", [0, 1, 2])
def test_matrices_are_9j_symbols(total):
    """<((12)a (34)b)J | ((13)d (24)c)J> is a 9j symbol times a root (Varshalovich 1988, 10.1); to name c before d costs
    (-1)^(c+d-J)."""
    for (a, b), row in zip(kondo.pairs(total), kondo.recoupling(total), strict=True):
        for (c, d), found in zip(kondo.pairs(total), row, strict=True):
            root = Surd.root((2 * a + 1) * (2 * b + 1) * (2 * c + 1) * (2 * d + 1))
            symbol = nine_j(1, 1, 2 * a, 1, 1, 2 * b, 2 * d, 2 * c, 2 * total)
            assert found == symbol * root * (-1) ** (c + d - total), (a, b, c, d)


def coupled(one: np.ndarray, two: np.ndarray, total: int | float) -> np.ndarray:
    """Couple two families of states, axis 0 the projection (ascending), the other axes one for each spin."""
    j, k = (len(one) - 1) / 2, (len(two) - 1) / 2
    result = np.zeros((int(2 * total) + 1, *one.shape[1:], *two.shape[1:]))
    for p, left in enumerate(one):
        for q, right in enumerate(two):
            m = p - j + q - k
            if abs(m) <= total:
                numbers = (Rational(int(2 * number), 2) for number in (j, k, total, p - j, q - k, m))
                result[int(m + total)] += float(clebsch_gordan(*numbers)) * np.multiply.outer(left, right)
    return result


@pytest.mark.parametrize("total", [0, 1, 2])
def test_matrices_are_overlaps_of_coupled_states(total):
    """Both bases written out on the 16 product states, spins in the order s1, S1, s2, S2."""
    half = np.eye(2)
    pair = {k: coupled(half, half, k) for k in (0, 1)}
    for (a, b), row in zip(kondo.pairs(total), kondo.recoupling(total), strict=True):
        layers = coupled(pair[a], pair[b], total)  # M, s1, S1, s2, S2
        for (c, d), found in zip(kondo.pairs(total), row, strict=True):
            crossed = coupled(pair[c], pair[d], total).transpose(0, 3, 1, 4, 2)  # from M, S1, S2, s1, s2
            overlap = layers.reshape(2 * total + 1, -1) @ crossed.reshape(2 * total + 1, -1).T
            assert np.abs(overlap - float(found) * np.eye(2 * total + 1)).max() < 1e-14, (a, b, c, d)


def test_the_file_holds_the_same_numbers():
    program = fusionc.load(EXAMPLES / "kondo.fus")
    totals = {"singlet": 0, "triplet": 1, "quintet": 2}
    for name, diagram in program.diagrams.items():
        kind, rows, columns = name.split("_")
        place = kondo.pairs(totals[kind])
        row, column = place.index((int(rows[0]), int(rows[1]))), place.index((int(columns[0]), int(columns[1])))
        assert diagram.evaluate() == kondo.recoupling(totals[kind])[row][column]

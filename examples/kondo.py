"""One rung of a double Kondo lattice: exact recoupling matrices, and energies for every total spin.

Two layers, each with the spin s of a conduction electron and a localised spin S; all four are spins 1/2:

    s1 --J_K-- S1 --J_perp-- S2 --J_K-- s2        H = J_K (s1·S1 + s2·S2) + J_perp S1·S2

Coupled as ((s1 S1)_a (s2 S2)_b)_J, the Kondo terms are diagonal; coupled as ((S1 S2)_c (s1 s2)_d)_J, the exchange
between the layers is: 2 p·q = (p + q)^2 - p^2 - q^2. The matrix between the two bases is a diagram: split J as the one
says, couple again as the other says. It runs from one irrep to itself, so by Schur's lemma it is a number, and
`evaluate` gives it exactly. The wires cross on the way, and no phase has to be put in by hand: each vertex names its
spins in order, and the compiler knows that CG(q, p; k) = (-1)^(p+q-k) CG(p, q; k).

An energy of total spin J belongs to 2J+1 states, one for each M. The check knows nothing of recoupling: it diagonalises
H as a 16 x 16 matrix of spin operators, M by M, and the block of M must hold exactly the energies with J >= |M|.

Run `python examples/kondo.py`; `fusionc eval examples/kondo.fus` prints the matrix of J = 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

import fusionc
from fusionc.algebra.surds import Surd

COUPLINGS = [(0, 1), (1, 0), (1, 1), (4, 1), (1, 4), (1, -1), (-1, 1), (-1, -1), (0.37, -2.5), (-1.9, 0.61)]

OVERLAP = """
group SU(2)
diagram overlap(x: {J}) -> {J} {{
    edge s1: 1/2, S1: 1/2, s2: 1/2, S2: 1/2, a: {a}, b: {b}, c: {c}, d: {d}
    x     -> c d
    c     -> S1 S2
    d     -> s1 s2
    s1 S1 -> a
    s2 S2 -> b
    a b   -> out
}}
"""


def pairs(total: int) -> list[tuple[int, int]]:
    """The two intermediate spins, 0 or 1 each, wherever they couple to the total spin."""
    return [(p, q) for p in (0, 1) for q in (0, 1) if abs(p - q) <= total <= p + q]


@cache
def recoupling(total: int) -> list[list[Surd]]:
    """<((s1 S1)_a (s2 S2)_b)_J | ((S1 S2)_c (s1 s2)_d)_J>: rows are the (a, b), columns the (c, d) of `pairs`."""

    def overlap(a: int, b: int, c: int, d: int) -> Surd:
        return fusionc.parse(OVERLAP.format(J=total, a=a, b=b, c=c, d=d))["overlap"].evaluate()

    return [[overlap(*row, *column) for column in pairs(total)] for row in pairs(total)]


def bond(total: int) -> float:
    """p·q for two spins 1/2 with total spin 0 or 1: -3/4 or 1/4."""
    return (total * (total + 1) - 3 / 2) / 2


def energies(total: int, j_perp: float, j_kondo: float) -> np.ndarray:
    """The energies of total spin J, ascending: a matrix of two, three or one rows."""
    to_rungs = np.array([[float(number) for number in row] for row in recoupling(total)])
    kondo = np.diag([j_kondo * (bond(a) + bond(b)) for a, b in pairs(total)])
    exchange = np.diag([j_perp * bond(c) for c, _ in pairs(total)])
    return np.linalg.eigvalsh(kondo + to_rungs @ exchange @ to_rungs.T)


def exact_diagonalisation(j_perp: float, j_kondo: float) -> dict[int, np.ndarray]:
    """The eigenvalues of H on all 16 states, by total M."""
    up, z = np.array([[0, 1], [0, 0]]), np.array([[1, 0], [0, -1]]) / 2
    spin = [[np.kron(np.kron(np.eye(2**k), part), np.eye(2 ** (3 - k))) for part in (up, up.T, z)] for k in range(4)]

    def dot(p: int, q: int) -> np.ndarray:
        (p_up, p_down, p_z), (q_up, q_down, q_z) = spin[p], spin[q]
        return (p_up @ q_down + p_down @ q_up) / 2 + p_z @ q_z

    s1, big_s1, big_s2, s2 = range(4)
    matrix = j_kondo * (dot(s1, big_s1) + dot(s2, big_s2)) + j_perp * dot(big_s1, big_s2)
    total_m = np.diag(sum(part[2] for part in spin))
    return {m: np.linalg.eigvalsh(matrix[np.ix_(total_m == m, total_m == m)]) for m in range(-2, 3)}


def deviation(j_perp: float, j_kondo: float) -> float:
    """The largest difference between the energies of the sectors and exact diagonalisation, over all 16 states."""
    sectors = {total: energies(total, j_perp, j_kondo) for total in (0, 1, 2)}
    worst = 0.0
    for m, found in exact_diagonalisation(j_perp, j_kondo).items():
        wanted = np.sort(np.concatenate([sectors[total] for total in range(abs(m), 3)]))
        worst = max(worst, float(np.abs(wanted - found).max()))
    return worst


def main() -> None:
    for total in (0, 1, 2):
        print(f"J = {total}   " + "".join(f"{f'c,d = {c},{d}':>14}" for c, d in pairs(total)))
        for (a, b), row in zip(pairs(total), recoupling(total), strict=True):
            print(f"a,b = {a},{b}" + "".join(f"{number!s:>14}" for number in row))
        print()

    print(f"{'J_perp':>6} {'J_K':>6} |{'J = 0':^17}|{'J = 1, three times':^25}|{'J = 2, five':^11}| deviation")
    for j_perp, j_kondo in COUPLINGS:
        columns = ["".join(f"{e:8.4f}" for e in energies(total, j_perp, j_kondo)) for total in (0, 1, 2)]
        print(f"{j_perp:>6} {j_kondo:>6} |{' |'.join(columns)}   | {deviation(j_perp, j_kondo):.0e}")


if __name__ == "__main__":
    main()

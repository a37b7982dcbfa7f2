"""Diagrams of Clebsch-Gordan tensors against the einsum of these tensors."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import opt_einsum
import pytest

from fusionc.algebra.surds import Surd
from fusionc.algebra.wigner import clebsch_gordan, triangle
from fusionc.rewrite import Circle, End, NetworkBuilder, evaluate


@cache
def cg(a: int, b: int, c: int) -> np.ndarray:
    """<a al, b be | c ga> as a dense tensor."""
    return np.array(
        [
            [
                [float(clebsch_gordan(a, 2 * i - a, b, 2 * k - b, c, 2 * n - c)) for n in range(c + 1)]
                for k in range(b + 1)
            ]
            for i in range(a + 1)
        ]
    )


class Twin:
    """The same diagram twice: in a `NetworkBuilder`, and as operands of an einsum. An open line is (end, index)."""

    def __init__(self) -> None:
        self.builder, self.operands, self.count = NetworkBuilder(), [], 0

    def index(self) -> int:
        self.count += 1
        return self.count - 1

    def line(self, j: int) -> tuple[tuple[End, int], tuple[End, int]]:
        one, two = self.builder.line(j)
        first, second = self.index(), self.index()
        self.operands += [np.eye(j + 1), [first, second]]
        return (one, first), (two, second)

    def couple(self, a: tuple[End, int], b: tuple[End, int], j: int) -> tuple[End, int]:
        end, index = self.builder.couple(a[0], b[0], j), self.index()
        self.operands += [cg(a[0].twice_j, b[0].twice_j, j), [a[1], b[1], index]]
        return end, index

    def split(self, c: tuple[End, int], ja: int, jb: int) -> list[tuple[End, int]]:
        ends, one, two = self.builder.split(c[0], ja, jb), self.index(), self.index()
        self.operands += [cg(ja, jb, c[0].twice_j), [one, two, c[1]]]
        return [(ends[0], one), (ends[1], two)]

    def pair(self, j: int) -> list[tuple[End, int]]:
        ends, one, two = self.builder.pair(j), self.index(), self.index()
        self.operands += [cg(j, j, 0)[:, :, 0], [one, two]]
        return [(ends[0], one), (ends[1], two)]

    def close_pair(self, a: tuple[End, int], b: tuple[End, int]) -> None:
        self.builder.close_pair(a[0], b[0])
        self.operands += [cg(a[0].twice_j, a[0].twice_j, 0)[:, :, 0], [a[1], b[1]]]

    def trace(self, output: tuple[End, int], entry: tuple[End, int]) -> None:
        self.builder.trace(output[0], entry[0])
        self.operands += [np.eye(output[0].twice_j + 1), [output[1], entry[1]]]

    def check(self) -> bool:
        dense = float(opt_einsum.contract(*self.operands, [], optimize="auto"))
        value = float(evaluate(self.builder.build()))
        assert value == pytest.approx(dense, abs=1e-12)
        return abs(dense) > 1e-9


def allowed(rng: random.Random, a: int, b: int) -> int:
    return rng.choice(list(range(abs(a - b), min(a + b, 6) + 1, 2)) or [abs(a - b)])


def random_diagram(rng: random.Random) -> Twin:
    """Some lines; couplings, splittings, pairs at random; then through one line back to the inputs."""
    twin = Twin()
    lines = [twin.line(rng.randrange(4)) for _ in range(rng.randrange(1, 4))]
    entries, outputs = [line[0] for line in lines], [line[1] for line in lines]
    for _ in range(rng.randrange(2, 9)):
        rng.shuffle(outputs)
        choice = rng.randrange(4)
        if choice == 0 and len(outputs) > 1:
            a, b = outputs.pop(), outputs.pop()
            outputs.append(twin.couple(a, b, allowed(rng, a[0].twice_j, b[0].twice_j)))
        elif choice == 1 and len(outputs) < 5:
            c = outputs.pop()
            ja = rng.randrange(4)
            outputs += twin.split(c, ja, allowed(rng, ja, c[0].twice_j))
        elif choice == 2 and len(outputs) < 5:
            outputs += twin.pair(rng.randrange(4))
        elif choice == 3 and len(outputs) > 2 and outputs[0][0].twice_j == outputs[1][0].twice_j:
            twin.close_pair(outputs.pop(0), outputs.pop(0))
    return back(rng, twin, outputs, entries)


def back(rng: random.Random, twin: Twin, outputs: list, entries: list) -> Twin:
    """Couple all outputs to one line, split it into the inputs' spins, and close them."""
    rng.shuffle(entries)
    chain = [entries[0][0].twice_j]
    for entry in entries[1:]:
        chain.append(allowed(rng, chain[-1], entry[0].twice_j))
    while len(outputs) > 1:
        a, b = outputs.pop(), outputs.pop()
        last = not outputs and triangle(a[0].twice_j, b[0].twice_j, chain[-1])
        outputs.append(twin.couple(a, b, chain[-1] if last else allowed(rng, a[0].twice_j, b[0].twice_j)))
    if outputs[0][0].twice_j != chain[-1]:  # through a detour, which makes the value zero by Schur's lemma
        j = outputs[0][0].twice_j
        extra = twin.pair(1) if (j - chain[-1]) % 2 else twin.pair(2)
        middle = twin.couple(outputs[0], extra[0], j + extra[0][0].twice_j)
        outputs = [twin.couple(middle, extra[1], chain[-1])]
    for k in range(len(entries) - 1, 0, -1):
        rest, last_output = twin.split(outputs[0], chain[k - 1], entries[k][0].twice_j)
        twin.trace(last_output, entries[k])
        outputs = [rest]
    twin.trace(outputs[0], entries[0])
    return twin


def test_random_diagrams_against_dense_clebsch_gordan_tensors() -> None:
    rng, nonzero = random.Random(1), 0
    for _ in range(300):
        nonzero += random_diagram(rng).check()
    assert nonzero > 60


@pytest.mark.parametrize("j", range(6))
def test_circles(j: int) -> None:
    builder = NetworkBuilder()
    entry, output = builder.line(j)
    builder.trace(output, entry)
    assert builder.build().circles == (Circle(j),)
    builder = NetworkBuilder()
    one, two = builder.pair(j)
    builder.close_pair(one, two)
    assert evaluate(builder.build()) == 1
    builder = NetworkBuilder()
    one, two = builder.pair(j)
    builder.close_pair(two, one)
    assert evaluate(builder.build()) == (-1) ** j


@pytest.mark.parametrize("j", range(1, 6))
def test_a_bent_line_is_straight_up_to_its_dimension(j: int) -> None:
    """CG(j,j;0) on a line and half of a pair: (-1)^{2j} / d_j times the line, or 1 / d_j in the other order."""
    for swapped, expected in ((False, (-1) ** j), (True, 1)):
        builder = NetworkBuilder()
        entry, x = builder.line(j)
        one, two = builder.pair(j)
        builder.close_pair(*((one, x) if swapped else (x, one)))
        builder.trace(two, entry)
        assert evaluate(builder.build()) == expected


def test_an_f_symbol() -> None:
    """Three spins 1/2: √3/2 up to a sign, times the trace of the line it is a multiple of."""
    builder = NetworkBuilder()
    entry, x = builder.line(1)
    e, c = builder.split(x, 0, 1)
    a, b = builder.split(e, 1, 1)
    f = builder.couple(b, c, 2)
    builder.trace(builder.couple(a, f, 1), entry)
    dense = float(np.einsum("ecx,abe,bcf,afx->", cg(0, 1, 1), cg(1, 1, 0), cg(1, 1, 2), cg(1, 2, 1)))
    value = evaluate(builder.build())
    assert abs(value) / 2 == Surd.root(3) / 2
    assert float(value) == pytest.approx(dense)


def test_inadmissible_vertices_are_zero() -> None:
    builder = NetworkBuilder()
    entry, x = builder.line(1)
    a, b = builder.split(x, 4, 4)
    builder.trace(builder.couple(a, b, 1), entry)
    assert evaluate(builder.build()) == 0


def test_what_is_refused() -> None:
    builder = NetworkBuilder()
    one, two = builder.line(1)
    with pytest.raises(ValueError, match="equal spin"):
        builder.join(one, builder.line(2)[0])
    with pytest.raises(ValueError, match="is open"):
        builder.build()
    builder.trace(two, one)
    with pytest.raises(ValueError, match="joined already"):
        builder.trace(two, one)


def test_plain_joins_that_are_not_invariant() -> None:
    builder = NetworkBuilder()
    vertices = [builder.add_vertex(2, 2, 2) for _ in range(4)]
    used = [0] * 4
    for one in range(4):
        for two in range(one):
            builder.join(vertices[one][used[one]], vertices[two][used[two]])
            used[one], used[two] = used[one] + 1, used[two] + 1
    with pytest.raises(ValueError, match="not invariant"):
        builder.build()
    circle = NetworkBuilder()
    circle.connect(*circle.line(2))
    with pytest.raises(ValueError, match="not invariant"):
        circle.build()

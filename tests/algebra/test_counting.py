"""Multiplicities by counting, and exact numbers modulo a prime."""

from itertools import combinations_with_replacement
from math import prod
from random import Random
from time import process_time

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionc.algebra.characters import symmetric_power, tensor_product
from fusionc.algebra.groups import O3, SO3, SU2, Group
from fusionc.algebra.integers import prime_divisors, primes_to
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.modular import PRIME_BOUND, PrimeField, QuadraticField, field_for, radicand_primes
from fusionc.algebra.surds import Surd


@pytest.mark.parametrize(
    ("lmax", "counts"),
    [
        (1, [(4, 2), (6, 2)]),
        (2, [(11, 5), (21, 5), (23, 6)]),
        (3, [(23, 8), (51, 12), (65, 14), (65, 15)]),
    ],
)
def test_trees_and_independent_paths(lmax: int, counts: list[tuple[int, int]]) -> None:
    space = O3.spherical(lmax)
    trees = tensor_product(O3, [dict.fromkeys(space, 1)] * 3)
    paths = symmetric_power(O3, space, 3)
    assert [(trees[irrep], paths[irrep]) for irrep in space] == counts


def test_sixth_power_of_spin_four() -> None:
    four, two = Irrep(8), Irrep(4)
    assert tensor_product(SO3, [{four: 1}] * 6)[two] == 1720
    assert symmetric_power(SO3, [four], 6)[two] == 7


@pytest.mark.parametrize(
    ("group", "names"),
    [(O3, "0e 1o"), (O3, "1o 1o 1e"), (O3, "0o 2e"), (SU2, "1/2 1"), (SU2, "3/2"), (SO3, "2 0")],
)
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_symmetric_powers_against_listed_multisets(group: Group, names: str, k: int) -> None:
    irreps = [group.parse(name) for name in names.split()]
    weights = [weight for irrep in irreps for weight in group.weights(irrep)]
    unit = group.trivial.parity
    listed: dict[tuple[int, int], int] = {}
    for chosen in combinations_with_replacement(weights, k):
        parity = unit * int(np.prod([p for _, p in chosen], dtype=int)) if k else unit
        key = (sum(m for m, _ in chosen), parity)
        listed[key] = listed.get(key, 0) + 1
    found = symmetric_power(group, irreps, k)
    counted: dict[tuple[int, int], int] = {}
    for irrep, copies in found.items():
        for m, parity in group.weights(irrep):
            counted[m, parity] = counted.get((m, parity), 0) + copies
    assert counted == listed
    assert [*found] == sorted(found, key=group.edge_key)


def test_products_of_spaces() -> None:
    space = {O3.parse("0e"): 2, O3.parse("1o"): 3}
    product = tensor_product(O3, [space, space])
    assert {O3.format(irrep): count for irrep, count in product.items()} == {
        "0e": 13,
        "1e": 9,
        "1o": 12,
        "2e": 9,
    }
    assert tensor_product(O3, []) == {O3.trivial: 1}
    assert tensor_product(O3, [space, {}]) == {}
    assert sum(tensor_product(SU2, [{Irrep(1): 10**6}] * 40).values()) > 10**240


def test_counting_is_polynomial_and_guarded() -> None:
    start = process_time()
    assert symmetric_power(O3, O3.spherical(3) * 128, 4)[O3.trivial] > 10**6
    tensor_product(O3, [dict.fromkeys(O3.spherical(6), 7)] * 12)
    assert process_time() - start < 2
    huge = Irrep(2 * 10**9)
    assert symmetric_power(SO3, [huge], 1) == {huge: 1}
    with pytest.raises(OverflowError):
        symmetric_power(SO3, [huge], 2)
    with pytest.raises(ValueError, match="from zero"):
        symmetric_power(SO3, [huge], -1)
    assert symmetric_power(SO3, [], 2) == {}


# -- modular -------------------------------------------------------------------------------------------------


def test_fields_are_found_quickly() -> None:
    start = process_time()
    field = field_for(primes_to(61))
    assert process_time() - start < 0.3
    assert field == field_for(reversed([-1, *primes_to(61)]))
    assert field.p < PRIME_BOUND
    for prime in primes_to(61):
        assert field.sqrt(prime) ** 2 % field.p == prime
    assert field.sqrt(-1) ** 2 % field.p == field.p - 1


FIELD = field_for(primes_to(31))
assert isinstance(FIELD, PrimeField)
singles = st.builds(
    lambda root, factor: Surd.root(root) * factor,
    st.integers(1, 36).filter(lambda number: number <= 31 or number % 2 == 0 or number % 5 == 0),
    st.fractions(min_value=-50, max_value=50, max_denominator=60),
)
surds = st.lists(singles, max_size=3).map(lambda parts: sum(parts, Surd.of(0)))


@given(surds, surds)
def test_residues_are_a_homomorphism(a: Surd, b: Surd) -> None:
    p = FIELD.p
    assert FIELD.of(a * b) == FIELD.of(a) * FIELD.of(b) % p
    assert FIELD.of(a + b) == (FIELD.of(a) + FIELD.of(b)) % p
    assert FIELD.of(-a) == -FIELD.of(a) % p


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_vertices_stay_isometries(random: Random) -> None:
    a, b = Irrep(random.randrange(6)), Irrep(random.randrange(6))
    c, _ = random.choice(SU2.product(a, b))
    vertex = SU2.vertex(a, b, c)
    field = field_for(radicand_primes(vertex))
    array = field.array(vertex).astype(object)
    overlap = np.einsum("abc,abd->cd", array, array) % field.p
    assert (overlap == np.eye(SU2.dim(c), dtype=int)).all()


def test_roots_multiply() -> None:
    assert FIELD.sqrt(6) == FIELD.sqrt(2) * FIELD.sqrt(3) % FIELD.p
    assert FIELD.sqrt(12) == 2 * FIELD.sqrt(3) % FIELD.p
    assert FIELD.sqrt(-2) == FIELD.sqrt(-1) * FIELD.sqrt(2) % FIELD.p
    assert FIELD.sqrt(0) == 0
    assert radicand_primes(Surd.root(30) + Surd.root(14)) == (2, 3, 5, 7)


def test_modular_mistakes() -> None:
    with pytest.raises(ValueError, match="not a prime"):
        field_for([4])
    with pytest.raises(ValueError, match="modulo 8"):
        PrimeField(7)
    with pytest.raises(ValueError, match="no square root"):
        PrimeField(17).sqrt(3)
    with pytest.raises(ValueError, match="no residue"):
        PrimeField(17).of(Surd.of(1) / 34)


LARGE = field_for(primes_to(71))


@given(surds, surds)
def test_elements_of_the_quadratic_field_are_a_homomorphism(a: Surd, b: Surd) -> None:
    assert isinstance(LARGE, QuadraticField)
    one, two = LARGE.elements([a]), LARGE.elements([b])
    assert (LARGE.times(one, two) == LARGE.elements([a * b])).all()
    assert ((one + two) % LARGE.p == LARGE.elements([a + b])).all()
    if a:
        assert (LARGE.times(one[0], LARGE.inverse(one[0])) == [1, 0]).all()


def test_every_prime_has_a_root_in_the_quadratic_field() -> None:
    """Of more primes than any one prime below the bound could have as squares."""
    primes = primes_to(2000)
    assert isinstance(field_for(primes), QuadraticField)
    roots = LARGE.elements([Surd.root(prime) for prime in primes])
    assert (LARGE.times(roots, roots) == [[prime, 0] for prime in primes]).all()
    assert LARGE.of(Surd.root(2011 * 2017)) == tuple(LARGE.times(*LARGE.elements([Surd.root(2011), Surd.root(2017)])))


@given(st.lists(st.integers(2, 3000), min_size=1, max_size=8))
def test_prime_divisors_of_products(factors: list[int]) -> None:
    number = prod(factors)
    assert prime_divisors(number) == tuple(sympy.primefactors(number))

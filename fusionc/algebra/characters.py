"""Multiplicities of irreps in products and symmetric powers, by counting and never by listing trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import comb

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep

WEIGHT_LIMIT = 1_000_000
"""The largest dimension of a space whose symmetric powers are counted."""


def symmetric_power(group: Group, irreps: Sequence[Irrep], k: int) -> dict[Irrep, int]:
    """The irreps in Sym^k of the direct sum of ``irreps`` with their multiplicities, ordered by ``edge_key``.

    An irrep that is listed several times stands for so many copies. With N(M) the number of multisets of k
    weights that add up to M, parity by parity, the multiplicity of J is N(J) - N(J+1) (highest weights,
    Weyl). Raises ValueError for a negative power and OverflowError for a space of more than `WEIGHT_LIMIT`
    dimensions.
    """
    if k < 0:
        raise ValueError(f"a symmetric power is counted from zero: it cannot be {k}")
    if k == 0:
        return {group.trivial: 1}
    if k == 1:
        return _ordered(group, [(irrep, 1) for irrep in irreps])
    size = sum(group.dim(irrep) for irrep in irreps)
    if size > WEIGHT_LIMIT:
        raise OverflowError(f"a space of {size} dimensions is too large for its symmetric powers to be counted")
    weights = [weight for irrep in irreps for weight in group.weights(irrep)]
    return _ordered(group, _highest_weights(group, weights, k)) if weights else {}


def _highest_weights(group: Group, weights: Sequence[tuple[int, int]], k: int) -> Iterable[tuple[Irrep, int]]:
    """Each count is a polynomial in the weight, kept as one integer with ``bits`` bits to a coefficient."""
    bits = comb(len(weights) + k - 1, k).bit_length() + 1
    top = max(twice_m for twice_m, _ in weights)
    powers: list[dict[int, int]] = [{group.trivial.parity: 1}] + [{} for _ in range(k)]
    for twice_m, parity in weights:
        shift = bits * (twice_m + top)
        for degree in range(1, k + 1):
            lanes = powers[degree]
            for other, count in powers[degree - 1].items():
                lanes[parity * other] = lanes.get(parity * other, 0) + (count << shift)
    mask = (1 << bits) - 1
    for parity, count in powers[k].items():
        coefficients = [count >> (bits * (twice_m + k * top)) & mask for twice_m in range(k * top + 3)]
        for twice_j in range(k * top + 1):
            yield Irrep(twice_j, parity), coefficients[twice_j] - coefficients[twice_j + 2]


def tensor_product(group: Group, factors: Sequence[Mapping[Irrep, int]]) -> dict[Irrep, int]:
    """The irreps in a product of spaces with their multiplicities, ordered by ``edge_key``.

    A space is given as irrep -> multiplicity. The product of no spaces is the trivial irrep.
    """
    total: dict[Irrep, int] = {group.trivial: 1}
    for factor in factors:
        fused: dict[Irrep, int] = {}
        for a, count in total.items():
            for b, multiplicity in factor.items():
                if not count * multiplicity:
                    continue
                for c, copies in group.product(a, b):
                    fused[c] = fused.get(c, 0) + count * multiplicity * copies
        total = fused
    return _ordered(group, total.items())


def _ordered(group: Group, counts: Iterable[tuple[Irrep, int]]) -> dict[Irrep, int]:
    sums: dict[Irrep, int] = {}
    for irrep, count in counts:
        if count:
            sums[irrep] = sums.get(irrep, 0) + count
    return {irrep: sums[irrep] for irrep in sorted(sums, key=group.edge_key)}

"""Equal operands: as many paths as the symmetric power has copies of the output, linearly independent, the first in
path order (DESIGN 1.3). Three witnesses that share nothing with the compiler's choice: weights of multisets counted one
by one, singular values of the paths' values at random vectors, and all trees of as many different operands."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement, product
from math import prod

import numpy as np
import pytest

import fusionc
from fusionc.diagram import independent
from fusionc.tools.oracle import evaluate, random_legs

LMAX = 4
"""The largest l of an output here."""

Weight = tuple[int, int]  # 2m and the parity


def weights(space: str) -> list[Weight]:
    """The weights of all components of a space: -l … l for each irrep, with its parity (+1 if the group has none)."""
    found: list[Weight] = []
    for term in space.split(" + "):
        count, _, irrep = term.rpartition("x")
        parity = -1 if irrep.endswith("o") else 1
        spin, _, halves = irrep.rstrip("eo").partition("/")
        twice = int(spin) if halves else 2 * int(spin)
        found += [(m, parity) for m in range(-twice, twice + 1, 2)] * int(count or 1)
    return found


def multiplicities(powers: list[tuple[str, int]]) -> Counter[Weight]:
    """The multiplicity of (2J, parity) in a product of symmetric powers of spaces, (space, k) each.

    Sym^k has a basis of multisets of k components. With N(M) of them at total weight M, parity by parity, J occurs
    N(J) - N(J+1) times: each copy of an irrep J' >= J has one state at M = J, and each with J' > J one at J+1 too.
    """
    choices = [list(combinations_with_replacement(weights(space), k)) for space, k in powers]
    sums = [Counter((sum(m for m, _ in some), prod(p for _, p in some)) for some in choice) for choice in choices]
    total = Counter({(0, 1): 1})
    for factor in sums:
        joined: Counter[Weight] = Counter()
        for (one, count), (two, times) in product(total.items(), factor.items()):
            joined[one[0] + two[0], one[1] * two[1]] += count * times
        total = joined
    counts = {(m, parity): n - total[m + 2, parity] for (m, parity), n in total.items() if m >= 0}
    return Counter({key: count for key, count in counts.items() if count})


def spherical(lmax: int) -> str:
    return " + ".join(f"{k}{'eo'[k % 2]}" for k in range(lmax + 1))


def diagram(legs: str, operands: str, group: str = "O(3)", output: str = f"* in lmax {LMAX}") -> fusionc.Diagram:
    """One line that keeps its paths apart."""
    return fusionc.parse(f"group {group}\ndiagram d({legs}) -> {output} {{ {operands} -> out[path] }}")["d"]


def counted(found: fusionc.Diagram) -> Counter[Weight]:
    """The number of listed paths into each output irrep."""
    counts: Counter[Weight] = Counter()
    for path in found.paths:
        (m, parity), *_ = reversed(weights(path.irreps[-1]))
        counts[m, parity] += 1
    assert found.count_paths() == len(found.paths) == counts.total()
    return counts


def up_to(counts: Counter[Weight], lmax: int = LMAX) -> Counter[Weight]:
    return Counter({key: count for key, count in counts.items() if key[0] <= 2 * lmax})


# -- counting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("lmax", [0, 1, 2, 3, 4])
def test_paths_of_spherical_operands(lmax, order):
    """0e + 1o + … + l_max: every output irrep that is reachable, up to l = 4, of either parity."""
    space = spherical(lmax)
    assert counted(diagram(f"a: {space}", "a " * order)) == up_to(multiplicities([(space, order)]))


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("irrep", ["0e", "1o", "2e", "3o", "4e", "0o", "1e"])
def test_paths_of_a_single_irrep(irrep, order):
    assert counted(diagram(f"a: {irrep}", "a " * order)) == up_to(multiplicities([(irrep, order)]))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("spin", ["1/2", "1", "3/2", "5/2"])
def test_paths_of_a_single_spin(spin, order):
    found = diagram(f"a: {spin}", "a " * order, "SU(2)")
    assert counted(found) == up_to(multiplicities([(spin, order)]))


MIXED = {
    "two and two": ("a: 0e + 1o, b: 1o + 2e", "a a b b", [("0e + 1o", 2), ("1o + 2e", 2)]),
    "interleaved": ("a: 1o + 2e, b: 1o", "a b a b", [("1o + 2e", 2), ("1o", 2)]),
    "three and one": ("a: 0e + 1o + 2e, b: 1o", "a a b a", [("0e + 1o + 2e", 3), ("1o", 1)]),
    "pseudovector": ("a: 1e, b: 1o", "b a b b", [("1e", 1), ("1o", 3)]),
    "equal spaces, different legs": ("a: 1o + 2e, b: 1o + 2e", "a b a", [("1o + 2e", 2), ("1o + 2e", 1)]),
    "an irrep twice": ("a: 1o + 1o", "a a a", [("1o + 1o", 3)]),
    "two pairs and one": ("a: 1o, b: 2e, c: 1o", "c a b a b", [("1o", 2), ("2e", 2), ("1o", 1)]),
}


@pytest.mark.parametrize("name", MIXED)
def test_paths_of_mixtures(name):
    """Each leg counts by its symmetric power, wherever it stands."""
    legs, operands, powers = MIXED[name]
    assert counted(diagram(legs, operands)) == up_to(multiplicities(powers))


CHANNELS = {
    "a[u] a[u]": [2],
    "a[u] a[v]": [1, 1],
    "a[u] a[u] a[u]": [3],
    "a[u] a[u] a[v]": [2, 1],
    "a[u] a[v] a[u]": [2, 1],
    "a[u] a[v] a[w]": [1, 1, 1],
    "a[u] a[v] a[u] a[v]": [2, 2],
}


@pytest.mark.parametrize("operands", CHANNELS)
def test_other_channel_indices_are_other_operands(operands):
    """`a[u] a[u]` is a symmetric square, channel by channel; `a[u] a[v]` is a product of two different tensors."""
    space = "0e + 1o + 2e"
    wide = " + ".join(f"3x{irrep}" for irrep in space.split(" + "))
    indices = ", ".join(index for index in "uvw" if f"[{index}]" in operands)
    text = f"diagram d(a: {wide}) -> * in lmax {LMAX} {{ {operands} -> out[path, {indices}] }}"
    assert counted(fusionc.parse(text)["d"]) == up_to(multiplicities([(space, k) for k in CHANNELS[operands]]))


def test_a_summed_edge_is_an_operand_like_any_other():
    """`h` is a plain space once its paths are summed, so its powers count like a leg's."""
    text = "diagram d(a: 0e + 1o + 2e) -> * in lmax 4 { a a -> h in 1o + 2e * V[path]; h h h -> out[path] }"
    found = fusionc.parse(text)["d"]
    first = [path for path in found.paths if path.edge == "h"]
    paths = Counter(path.irreps[-1] for path in found.paths if path.edge == "out")
    squares = multiplicities([("0e + 1o + 2e", 2)])
    assert len(first) == squares[2, -1] + squares[4, 1]
    cubes = up_to(multiplicities([("1o + 2e", 3)]))
    assert paths == Counter({f"{m // 2}{'e' if parity > 0 else 'o'}": count for (m, parity), count in cubes.items()})


# -- linear independence -------------------------------------------------------------------------------------


def values(found: fusionc.Diagram, legs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A matrix for each output irrep: one row for each path, in path order, its values at all points. Rows have norm
    one; a path that vanishes has a row of zeros."""
    table = found.checked.table
    (flat,) = evaluate(table, legs, {})
    rows: dict[str, np.ndarray] = {}
    group, start = table.graph.group, 0
    for block in table.outputs["out"].blocks:
        dim = group.dim(block.irrep)
        piece = flat[:, start : start + block.mul * dim].reshape(len(flat), block.mul, dim)
        matrix = piece.swapaxes(0, 1).reshape(block.mul, -1)
        sizes = np.linalg.norm(matrix, axis=1, keepdims=True)
        vanishes = sizes < 1e-12 * np.abs(flat).max()
        rows[group.format(block.irrep)] = np.where(vanishes, 0.0, matrix / np.where(vanishes, 1.0, sizes))
        start += block.mul * dim
    return rows


def rank(matrix: np.ndarray) -> int:
    """The number of singular values that are not rounding errors. A value in between would make that unclear."""
    sizes = np.linalg.svd(matrix, compute_uv=False)
    assert not np.any((sizes > 1e-12 * sizes[0]) & (sizes < 1e-7 * sizes[0])), sizes
    return int(np.sum(sizes > 1e-9 * sizes[0]))


def first_independent(matrix: np.ndarray) -> list[int]:
    """The rows that are no linear combination of earlier ones: Gram and Schmidt, each projection taken twice."""
    basis, chosen = np.zeros((0, matrix.shape[1])), []
    for number, row in enumerate(matrix):
        rest = row
        for _ in range(2):
            rest = rest - basis.T @ (basis.conj() @ rest)
        size = np.linalg.norm(rest)
        assert not 1e-11 < size < 1e-6, size
        if size > 1e-9:
            basis, chosen = np.vstack([basis, rest / size]), [*chosen, number]
    return chosen


SPACES = [(spherical(lmax), order) for lmax in (1, 2, 3, 4) for order in (2, 3)] + [
    (spherical(2), 4),
    (spherical(3), 4),
    ("2e", 6),
    ("3o", 6),
    ("4e", 5),
    ("1o + 1o", 4),
]


@pytest.mark.parametrize(("space", "order"), SPACES)
def test_chosen_paths_are_independent(space, order):
    found = diagram(f"a: {space}", "a " * order)
    most = max(counted(found).values())
    legs = random_legs(found.checked.table, most + 4, np.random.default_rng(order))
    for irrep, matrix in values(found, legs).items():
        assert rank(matrix) == len(matrix), irrep


ALL_TREES = [
    ("O(3)", "0e + 1o + 2e", "aa"),
    ("O(3)", "0e + 1o + 2e", "aaa"),
    ("O(3)", "0e + 1o + 2e", "aaaa"),
    ("O(3)", "0e + 1o + 2e + 3o", "aaa"),
    ("O(3)", "3o", "aaaaa"),
    ("O(3)", "0e + 1o + 2e", "aab"),
    ("O(3)", "0e + 1o + 2e", "aba"),
    ("O(3)", "1o + 2e", "abab"),
    ("SO(3)", "0 + 1 + 2", "aabb"),
    ("SU(2)", "1/2 + 1", "aaa"),
    ("SU(2)", "3/2", "aaaa"),
]


@pytest.mark.parametrize(("group", "space", "pattern"), ALL_TREES)
def test_the_first_independent_trees_and_no_others(group, space, pattern):
    """The line with different operands has every tree. Given equal vectors, their rank is that of the chosen paths, so
    no other tree adds anything; and going through them in path order, the chosen paths are those that raise it."""
    names = sorted(set(pattern))
    chosen = diagram(", ".join(f"{name}: {space}" for name in names), " ".join(pattern), group)
    compare_with_all_trees(chosen, group, space, pattern, f"* in lmax {LMAX}")


def compare_with_all_trees(chosen: fusionc.Diagram, group: str, space: str, pattern: str, output: str) -> None:
    names, places = sorted(set(pattern)), [f"x{place}" for place in range(len(pattern))]
    trees = diagram(", ".join(f"{place}: {space}" for place in places), " ".join(places), group, output)
    most = max(counted(chosen).values())
    legs = random_legs(chosen.checked.table, most + 4, np.random.default_rng(0))
    vectors = dict(zip(names, legs, strict=True))
    with_all = values(trees, [vectors[name] for name in pattern])
    with_few = values(chosen, legs)
    assert sum(map(len, with_all.values())) == trees.count_paths()
    few: dict[str, list[tuple[str, ...]]] = {}
    many: dict[str, list[tuple[str, ...]]] = {}
    for paths, into in ((chosen.paths, few), (trees.paths, many)):
        for path in paths:
            into.setdefault(path.irreps[-1], []).append(path.irreps)
    for irrep, matrix in with_all.items():
        picked = first_independent(matrix)
        assert [many[irrep][number] for number in picked] == few.get(irrep, [])
        if picked:
            joined = np.vstack([with_few[irrep], matrix])
            assert rank(joined) == len(with_few[irrep]) == len(picked)


def test_sixth_power_of_spin_four():
    """1720 trees from six equal l = 4 to l = 2, and 7 independent paths."""
    chosen = diagram("a: 4", "a a a a a a", "SO(3)", "* in 2")
    assert len(chosen.paths) == chosen.count_paths() == multiplicities([("4", 6)])[4, 1] == 7
    trees = diagram(", ".join(f"x{k}: 4" for k in range(6)), " ".join(f"x{k}" for k in range(6)), "SO(3)", "* in 2")
    assert trees.count_paths() == multiplicities([("4", 1)] * 6)[4, 1] == 1720
    compare_with_all_trees(chosen, "SO(3)", "4", "aaaaaa", "* in 2")


# -- large spins ---------------------------------------------------------------------------------------------

LARGE_SPINS = [
    ("O(3)", "26e", "aaa", "* in 0e"),
    ("O(3)", "200o", "aa", "* in 0e + 2e"),
    ("O(3)", "36e + 31e", "aa", "* in 5e"),
    ("SU(2)", "63/2", "aa", "* in 1 + 3"),
    ("SO(3)", "100", "aaa", "* in 0"),
]


@pytest.mark.parametrize(("group", "space", "pattern", "output"), LARGE_SPINS)
def test_large_spins_have_as_many_paths_as_characters_count(group, space, pattern, output):
    """In their vertices there are roots of more primes than any one prime below 2^31 has as squares."""
    found = diagram(f"a: {space}", " ".join(pattern), group, output)
    assert len(found.paths) == found.count_paths() > 0


def test_both_fields_choose_the_same_trees(monkeypatch):
    cases = [("O(3)", "0e + 1o + 2e", "aaa"), ("SU(2)", "3/2", "aaaaa"), ("SO(3)", "2 + 3", "aaa")]
    before = [diagram(f"a: {space}", " ".join(pattern), group).paths for group, space, pattern in cases]
    monkeypatch.setattr("fusionc.algebra.modular.MOST_ROOTS", -1)
    independent.first_independent.cache_clear()
    after = [diagram(f"a: {space}", " ".join(pattern), group).paths for group, space, pattern in cases]
    assert independent.first_independent.cache_info().misses > 10
    assert after == before
    independent.first_independent.cache_clear()


def test_trees_across_lines_are_compared_at_large_spins():
    text = "diagram d(x: 0e, a: 37e) -> 0e + 1e { x a -> e; e a -> out * W[path] }"
    with pytest.raises(fusionc.CompileError, match="1e of the output `out` is always zero"):
        fusionc.parse(text)

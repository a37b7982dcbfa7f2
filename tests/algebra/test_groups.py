"""Groups: names, fusion rules, conventions (against e3nn), representations, laws."""

import re
from collections.abc import Iterator
from fractions import Fraction
from time import process_time

import numpy as np
import pytest
import torch
from e3nn import o3

from fusionc.algebra import basis as conventions
from fusionc.algebra.complex_tensors import ComplexTensor, contract_pair
from fusionc.algebra.elements import FULL_TURN, INVERSION, Element
from fusionc.algebra.groups import GROUPS, O3, SO3, SU2, Group, RotationGroup
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.laws import LawBroken, check_group, f_symbol_of_vertices
from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.tensors import ExactTensor

ALL_O3 = [Irrep(2 * l, parity) for l in range(7) for parity in (1, -1)]  # noqa: E741
TRIPLES = [(a, b, c) for a in range(7) for b in range(7) for c in range(abs(a - b), min(6, a + b) + 1)]


def spin(l: int) -> Irrep:  # noqa: E741
    return Irrep(2 * l)


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "text", "irrep"),
    [
        (O3, "1o", Irrep(2, -1)),
        (O3, "2e", Irrep(4, 1)),
        (SO3, "3", Irrep(6)),
        (SU2, "0", Irrep(0)),
        (SU2, "1/2", Irrep(1)),
        (SU2, "3/2", Irrep(3)),
        (O3, "1000000000e", Irrep(2 * 10**9, 1)),
    ],
)
def test_names(group: Group, text: str, irrep: Irrep) -> None:
    assert group.parse(text) == irrep
    assert group.format(irrep) == text


@pytest.mark.parametrize(
    ("group", "text", "message"),
    [
        (O3, "1", "an irrep of O(3) needs a parity: write `1e` or `1o`"),
        (SO3, "1o", "SO(3) has no parity: write `1`"),
        (SU2, "1/2e", "SU(2) has no parity: write `1/2`"),
        (O3, "1/2", "half-integer spins need SU(2)"),
        (SO3, "3/2", "half-integer spins need SU(2)"),
        (SU2, "4/2", "write `2`"),
        (O3, "4/2e", "write `2e`"),
        (SU2, "1.5", "write `3/2`"),
        (SU2, "2/4", "write `1/2`"),
        (SU2, "1/3", "halves of integers"),
        (SU2, "1/0", "divides by zero"),
        (O3, "-1o", "a spin is never negative: write `1o`"),
        (SO3, "-1", "a spin is never negative: write `1`"),
        (O3, "1x", "`x` is not a parity"),
        (O3, "01o", "write `1o`"),
        (O3, "", "write for example `1e` or `1o`"),
        (SU2, "½", "write for example `1/2` or `1`"),
        (O3, "9" * 5000 + "e", "too large"),
    ],
)
def test_misnamed(group: Group, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        group.parse(text)


def test_orders() -> None:
    text = "2e+2o+1e+1o+0o+0e+3e+3o+1o"
    theirs = [(mul_ir.ir.l, mul_ir.ir.p) for mul_ir in o3.Irreps(text).sort().irreps]
    ours = sorted((O3.parse(name) for name in text.split("+")), key=O3.sorted_key)
    assert [(irrep.twice_j // 2, irrep.parity) for irrep in ours] == theirs
    edges = sorted((O3.parse(name) for name in text.split("+")), key=O3.edge_key)
    assert [O3.format(irrep) for irrep in edges] == ["0e", "0o", "1e", "1o", "1o", "2e", "2o", "3e", "3o"]
    assert [O3.format(irrep) for irrep in O3.spherical(3)] == ["0e", "1o", "2e", "3o"]
    assert [SU2.format(irrep) for irrep in SU2.spherical(2)] == ["0", "1", "2"]


# -- fusion --------------------------------------------------------------------------------------------------


def test_products_against_e3nn() -> None:
    for a in ALL_O3:
        for b in ALL_O3:
            theirs = list(o3.Irrep(a.twice_j // 2, a.parity) * o3.Irrep(b.twice_j // 2, b.parity))
            assert [O3.format(c) for c, _ in O3.product(a, b)] == [str(c) for c in theirs]


def test_rules_in_words() -> None:
    one_odd, half, one = O3.parse("1o"), SU2.parse("1/2"), SU2.parse("1")
    assert O3.explain(one_odd, one_odd, O3.parse("3o")) == "triangle: |1-1| <= l <= 1+1; parity: o*o = e"
    assert SO3.explain(spin(1), spin(2)) == "triangle: |1-2| <= l <= 1+2"
    assert SU2.explain(half, one) == "triangle: |1/2-1| <= j <= 1/2+1; 1/2 and 1 add up to a half-integer"
    assert O3.violations(one_odd, one_odd, O3.parse("3o")) == ("triangle", "parity")
    assert O3.violations(one_odd, one_odd, O3.parse("2e")) == ()
    assert SU2.violations(half, one, SU2.parse("1")) == ("half-integer",)


def test_huge_labels_cost_nothing() -> None:
    huge, start = O3.parse("1000000000e"), process_time()
    assert O3.contains(huge, huge, huge) == 1
    assert O3.contains(huge, huge, O3.parse("0o")) == 0
    assert O3.dim(huge) == 2 * 10**9 + 1
    assert len(O3.product(huge, O3.parse("1o"))) == 3
    assert not O3.l_at_most(huge, Fraction(7, 2))
    assert SU2.l_at_most(SU2.parse("3/2"), Fraction(3, 2))
    assert "1000000000" in O3.explain(huge, huge)
    assert O3.f_symbol(huge, O3.trivial, huge, O3.trivial, huge, huge) == ONE
    for too_long in (
        lambda: O3.product(huge, huge),
        lambda: O3.spherical(10**9),
        lambda: O3.vertex(huge, huge, O3.trivial),
        lambda: O3.generators(huge),
        lambda: O3.weights(huge),
    ):
        with pytest.raises(OverflowError):
            too_long()
    assert process_time() - start < 0.5


# -- conventions ---------------------------------------------------------------------------------------------


def test_real_vertices_are_those_of_e3nn() -> None:
    for a, b, c in TRIPLES:
        theirs = o3.wigner_3j(a, b, c, dtype=torch.float64).numpy()
        ours = SO3.wigner(spin(a), spin(b), spin(c)).to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)
        vertex = SO3.vertex(spin(a), spin(b), spin(c)).to_numpy()
        np.testing.assert_allclose(vertex, (2 * c + 1) ** 0.5 * theirs, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(np.abs(theirs) > 1e-12, ours != 0)


def test_first_signs() -> None:
    assert SO3.wigner(spin(1), spin(1), spin(1))[0, 1, 2] == Surd.root(Fraction(1, 6))
    assert SO3.vertex(spin(1), spin(1), spin(0))[1, 1, 0] == Surd.root(Fraction(1, 3))
    half, one, zero = SU2.parse("1/2"), SU2.parse("1"), SU2.trivial
    assert SU2.vertex(half, half, zero)[1, 0, 0] == Surd.root(Fraction(1, 2))
    assert SU2.vertex(half, half, zero)[0, 1, 0] == Surd.root(Fraction(1, 2), -1)
    assert SU2.vertex(half, half, one)[1, 1, 2] == ONE


def test_real_vertices_come_from_complex_ones_by_the_change_of_basis() -> None:
    for a, b, c in [(a, b, c) for a, b, c in TRIPLES if a + b + c <= 7]:
        moved = ComplexTensor.of_real(SO3.vertex(spin(a), spin(b), spin(c), basis="complex"))
        moved = contract_pair("mnk,mx->xnk", moved, conventions.real_to_complex(a))
        moved = contract_pair("xnk,ny->xyk", moved, conventions.real_to_complex(b))
        moved = contract_pair("xyk,kz->xyz", moved, conventions.real_to_complex(c).conjugate())
        assert moved == ComplexTensor.of_real(SO3.vertex(spin(a), spin(b), spin(c)))


def test_sparsity_of_all_paths_to_three() -> None:
    paths = [triple for triple in TRIPLES if max(triple) <= 3]
    vertices = {
        basis: [SO3.vertex(spin(a), spin(b), spin(c), basis=basis) for a, b, c in paths]
        for basis in ("real", "complex")
    }
    assert sum(int(np.prod(vertex.shape)) for vertex in vertices["real"]) == 3436
    assert sum(vertex.nonzeros for vertex in vertices["complex"]) == 449
    assert sum(vertex.nonzeros for vertex in vertices["real"]) == 611


def test_vertices_are_quick() -> None:
    conventions.vertex.cache_clear()
    start = process_time()
    for a, b in ((a, b) for a in range(5) for b in range(5)):
        for c in range(abs(a - b), min(4, a + b) + 1):
            SO3.vertex(spin(a), spin(b), spin(c))
    assert process_time() - start < 1
    SO3.vertex(spin(11), spin(11), spin(11))
    assert process_time() - start < 2


def test_vertex_mistakes() -> None:
    half = Irrep(1)
    with pytest.raises(ValueError, match="no real basis"):
        SU2.vertex(half, half, Irrep(2), basis="real")
    with pytest.raises(ValueError, match=r"parity: o\*o = e"):
        O3.vertex(O3.parse("1o"), O3.parse("1o"), O3.parse("1o"))
    with pytest.raises(ValueError, match="no copy 1"):
        SO3.vertex(spin(1), spin(1), spin(1), copy=1)
    with pytest.raises(ValueError, match="not an irrep"):
        SO3.format(half)
    with pytest.raises(ValueError, match="no inversion"):
        SO3.representation(spin(1), INVERSION)


# -- elements ------------------------------------------------------------------------------------------------


@pytest.fixture
def double_precision() -> Iterator[None]:
    """e3nn builds its generators in torch's default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double_precision")
def test_representations_are_those_of_e3nn() -> None:
    rng = np.random.default_rng(3)
    for irrep in ALL_O3:
        element = O3.random_element(rng)
        matrix = torch.tensor(element.matrix())
        theirs = o3.Irrep(irrep.twice_j // 2, irrep.parity).D_from_matrix(matrix).numpy()
        np.testing.assert_allclose(O3.representation(irrep, element), theirs, rtol=0, atol=1e-12)


def test_vectors_turn_like_vectors() -> None:
    element = O3.random_element(np.random.default_rng(4))
    np.testing.assert_allclose(O3.representation(O3.parse("1o"), element), element.matrix(), atol=1e-15)
    quarter = Element.rotation((0, 0, 2), np.pi / 2)
    np.testing.assert_allclose(quarter.matrix() @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_change_of_basis_intertwines() -> None:
    rng = np.random.default_rng(5)
    for l in range(6):  # noqa: E741
        element, change = SO3.random_element(rng), conventions.real_to_complex(l).to_numpy()
        real = SO3.representation(spin(l), element, "real")
        np.testing.assert_allclose(
            change @ real @ change.conj().T, SO3.representation(spin(l), element, "complex"), atol=1e-13
        )


def test_diagonal_rotations_about_the_polar_axis() -> None:
    turn = Element.rotation((0, 1, 0), 0.7)
    found = SU2.representation(Irrep(3), turn)
    np.testing.assert_allclose(found, np.diag(np.exp(-0.35j * np.array([-3, -1, 1, 3]))), atol=1e-14)


def test_named_elements() -> None:
    assert set(O3.elements) == {"identity", "inversion"}
    assert set(SU2.elements) == {"identity", "full turn"}
    np.testing.assert_array_equal(O3.representation(O3.parse("2o"), INVERSION), -np.eye(5))
    np.testing.assert_allclose(SU2.representation(Irrep(1), FULL_TURN), -np.eye(2), atol=1e-15)
    np.testing.assert_allclose(SU2.representation(Irrep(2), FULL_TURN), np.eye(3), atol=1e-15)


def test_large_spins_stay_accurate() -> None:
    g, h = (SU2.random_element(np.random.default_rng(seed)) for seed in (6, 7))
    for twice_j in (21, 40):
        irrep = Irrep(twice_j)
        error = SU2.representation(irrep, g) @ SU2.representation(irrep, h) - SU2.representation(irrep, g * h)
        assert np.abs(error).max() < 1e-13


# -- laws ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "names", "basis"),
    [
        (O3, "0e 1o 1e 2e", "real"),
        (O3, "0e 1o 2o", "complex"),
        (SO3, "0 1 2", "real"),
        (SO3, "0 1 2", "complex"),
        (SU2, "0 1/2 1 3/2", "complex"),
    ],
)
def test_laws(group: Group, names: str, basis: conventions.Basis) -> None:
    check_group(group, [group.parse(name) for name in names.split()], basis)


def test_groups_by_name() -> None:
    assert [*GROUPS] == ["O(3)", "SO(3)", "SU(2)"]
    assert {GROUPS["O(3)"]: 1}[O3] == 1
    assert O3.dual(O3.parse("1o")) == O3.parse("1o")


def test_the_f_symbol_of_three_spins_one_half() -> None:
    half, zero, one = Irrep(1), Irrep(0), Irrep(2)
    assert str(SU2.f_symbol(half, half, half, half, zero, one)) == "√3/2"
    assert str(f_symbol_of_vertices(SU2, half, half, half, half, zero, one)) == "√3/2"


class WrongSign(RotationGroup):
    """SO(3) with one vertex of the wrong sign."""

    def vertex(
        self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0, basis: conventions.Basis | None = None
    ) -> ExactTensor:
        found = super().vertex(a, b, c, copy, basis)
        return found.scaled(-1) if (a, b, c) == (spin(1), spin(1), spin(2)) else found


def test_laws_notice_a_wrong_sign() -> None:
    with pytest.raises(LawBroken, match="F-symbol"):
        check_group(WrongSign("SO(3)", half_integers=False, parities=False), [spin(0), spin(1)])

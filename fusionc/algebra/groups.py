"""Groups as values: irreps and their names, fusion, vertices, recoupling, elements.

Everything outside `algebra` works with a `Group` and treats its irreps as opaque labels. A new group is a new
subclass of `Group` that passes the suite in `laws`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from fusionc.algebra import basis as conventions
from fusionc.algebra.basis import Basis
from fusionc.algebra.elements import FULL_TURN, IDENTITY, INVERSION, Element, random_element
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ZERO, Surd
from fusionc.algebra.tensors import ExactTensor
from fusionc.algebra.wigner import six_j

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIST_LIMIT = 1_000_000
"""The longest list of irreps or weights that a method returns; beyond it, OverflowError."""


class Group(ABC):
    """A compact group with the data that a fusion diagram needs.

    Labels may be huge: ``parse``, ``contains``, ``violations``, ``explain`` and the keys cost the same for
    all of them, and what would list too much raises OverflowError.

    Diagrams of the symbols::

        a b            a b c         a b c            b a         a b
        \\ /             \\ / /         \\ \\ /             \\/          \\ /
         |   vertex      x /   =  F    \\ y             /\\   =  R    |
         c                |             |             \\/           c
                          j             j              c
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """As in the language: ``O(3)``."""

    @property
    def default_basis(self) -> Basis:
        """The basis that is meant where none is named."""
        return self.bases[0]

    @property
    @abstractmethod
    def bases(self) -> tuple[Basis, ...]:
        """The bases that all its irreps have, the default first."""

    @property
    @abstractmethod
    def trivial(self) -> Irrep: ...

    # -- irreps ----------------------------------------------------------------------------------------------

    @abstractmethod
    def parse(self, text: str) -> Irrep:
        """The irrep of that name; else a ValueError that says what is wrong and what to write instead."""

    @abstractmethod
    def format(self, irrep: Irrep) -> str:
        """The name of an irrep; ``parse`` undoes it."""

    @abstractmethod
    def dim(self, irrep: Irrep) -> int: ...

    @abstractmethod
    def dual(self, irrep: Irrep) -> Irrep: ...

    @abstractmethod
    def edge_key(self, irrep: Irrep) -> tuple[int, ...]:
        """Sort key of the irreps of an internal edge: by l, e before o."""

    @abstractmethod
    def sorted_key(self, irrep: Irrep) -> tuple[int, ...]:
        """Sort key of an inferred space: the order of e3nn's ``Irreps.sort``, by l, o before e."""

    @abstractmethod
    def spherical(self, lmax: int) -> tuple[Irrep, ...]:
        """The irreps of the spherical harmonics up to ``lmax``, one each, ascending."""

    @abstractmethod
    def l_at_most(self, irrep: Irrep, bound: Fraction) -> bool:
        """Whether ``lmax bound`` admits the irrep."""

    @abstractmethod
    def weights(self, irrep: Irrep) -> tuple[tuple[int, int], ...]:
        """The weights of an irrep with their multiplicity of one each: pairs (doubled m, parity)."""

    # -- fusion ----------------------------------------------------------------------------------------------

    @abstractmethod
    def product(self, a: Irrep, b: Irrep) -> tuple[tuple[Irrep, int], ...]:
        """The irreps of a x b with their multiplicities, ordered by ``edge_key``."""

    @abstractmethod
    def contains(self, a: Irrep, b: Irrep, c: Irrep) -> int:
        """The multiplicity of c in a x b, without listing the product."""

    @abstractmethod
    def explain(self, a: Irrep, b: Irrep, c: Irrep | None = None) -> str:
        """The rules that decide what a x b contains, in words."""

    @abstractmethod
    def violations(self, a: Irrep, b: Irrep, c: Irrep) -> tuple[str, ...]:
        """The names of the rules that c breaks in a x b; empty exactly when a x b contains c."""

    # -- tensors and symbols ---------------------------------------------------------------------------------

    @abstractmethod
    def vertex(self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0, basis: Basis | None = None) -> ExactTensor:
        """The isometric Clebsch-Gordan tensor of shape (dim a, dim b, dim c).

        V V summed over a and b is the identity on c. The convention is that of `basis`.

        Raises ValueError when a x b contains no such copy of c, or when the basis cannot hold the irreps.
        """

    def wigner(self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0, basis: Basis | None = None) -> ExactTensor:
        """``vertex / sqrt(dim c)``, of Frobenius norm one; in the real basis e3nn's ``wigner_3j``."""
        return self.vertex(a, b, c, copy, basis).scaled(Surd.root(Fraction(1, self.dim(c))))

    @abstractmethod
    def f_symbol(self, a: Irrep, b: Irrep, c: Irrep, j: Irrep, x: Irrep, y: Irrep) -> Surd:
        """((a b)x c)j = sum_y F (a (b c)y)j, for trees of ``vertex``; zero where one is forbidden."""

    @abstractmethod
    def r_symbol(self, a: Irrep, b: Irrep, c: Irrep) -> Surd:
        """vertex(b, a, c) with its first two slots exchanged = R vertex(a, b, c); zero where forbidden."""

    # -- elements --------------------------------------------------------------------------------------------

    @abstractmethod
    def generators(self, irrep: Irrep, basis: Basis | None = None) -> tuple[ExactTensor, ...]:
        """Real matrices of shape (dim, dim) that span the (complexified) Lie algebra, rows come out."""

    @property
    @abstractmethod
    def elements(self) -> Mapping[str, Element]:
        """Elements with a name."""

    @abstractmethod
    def random_element(self, rng: np.random.Generator) -> Element:
        """An element from the Haar measure."""

    @abstractmethod
    def representation(
        self, irrep: Irrep, element: Element, basis: Basis | None = None
    ) -> NDArray[np.float64] | NDArray[np.complex128]:
        """The matrix of an element, shape (dim, dim), acting on columns; accurate to about 1e-14."""


@dataclass(frozen=True)
class RotationGroup(Group):
    """SU(2) and its kin: which of half-integer spins and parities a group has is all that tells them apart.

    Generators: in the real basis the infinitesimal rotations about x, y, z (antisymmetric, hence
    anti-Hermitian), in the complex one J_-, J_z, J_+ (Hermitian J_z, and two that are each other's adjoint).
    """

    title: str
    half_integers: bool
    parities: bool

    @property
    def name(self) -> str:
        return self.title

    def __str__(self) -> str:
        return self.title

    @property
    def bases(self) -> tuple[Basis, ...]:
        return ("complex",) if self.half_integers else ("real", "complex")

    @property
    def trivial(self) -> Irrep:
        return Irrep(0, 1 if self.parities else 0)

    # -- irreps ----------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Irrep:
        return _parse(self, text)

    def format(self, irrep: Irrep) -> str:
        self._check(irrep)
        return _spin(irrep.twice_j) + _PARITY[irrep.parity]

    def dim(self, irrep: Irrep) -> int:
        return irrep.twice_j + 1

    def dual(self, irrep: Irrep) -> Irrep:
        return irrep

    def edge_key(self, irrep: Irrep) -> tuple[int, ...]:
        return irrep.twice_j, -irrep.parity

    def sorted_key(self, irrep: Irrep) -> tuple[int, ...]:
        return irrep.twice_j, irrep.parity

    def spherical(self, lmax: int) -> tuple[Irrep, ...]:
        if lmax < 0:
            raise ValueError(f"spherical harmonics start at l = 0: lmax cannot be {lmax}")
        _refuse_long_list(lmax + 1)
        return tuple(Irrep(2 * l, (-1) ** l if self.parities else 0) for l in range(lmax + 1))  # noqa: E741

    def l_at_most(self, irrep: Irrep, bound: Fraction) -> bool:
        return irrep.twice_j <= 2 * bound

    def weights(self, irrep: Irrep) -> tuple[tuple[int, int], ...]:
        _refuse_long_list(irrep.twice_j + 1)
        return tuple((m, irrep.parity) for m in range(-irrep.twice_j, irrep.twice_j + 1, 2))

    # -- fusion ----------------------------------------------------------------------------------------------

    @lru_cache(maxsize=65536)  # noqa: B019  groups are constants
    def product(self, a: Irrep, b: Irrep) -> tuple[tuple[Irrep, int], ...]:
        _refuse_long_list(min(a.twice_j, b.twice_j) + 1)
        parity = a.parity * b.parity
        spins = range(abs(a.twice_j - b.twice_j), a.twice_j + b.twice_j + 1, 2)
        return tuple((Irrep(twice_j, parity), 1) for twice_j in spins)

    def contains(self, a: Irrep, b: Irrep, c: Irrep) -> int:
        return 0 if self.violations(a, b, c) else 1

    def explain(self, a: Irrep, b: Irrep, c: Irrep | None = None) -> str:
        one, two = _spin(a.twice_j), _spin(b.twice_j)
        letter = "j" if self.half_integers else "l"
        rules = [f"triangle: |{one}-{two}| <= {letter} <= {one}+{two}"]
        if self.parities:
            parity = a.parity * b.parity
            rules.append(f"parity: {_PARITY[a.parity]}*{_PARITY[b.parity]} = {_PARITY[parity]}")
        if self.half_integers:
            kind = "a half-integer" if (a.twice_j + b.twice_j) % 2 else "an integer"
            rules.append(f"{one} and {two} add up to {kind}")
        return "; ".join(rules)

    def violations(self, a: Irrep, b: Irrep, c: Irrep) -> tuple[str, ...]:
        broken: list[str] = []
        if not abs(a.twice_j - b.twice_j) <= c.twice_j <= a.twice_j + b.twice_j:
            broken.append("triangle")
        if a.parity * b.parity != c.parity:
            broken.append("parity")
        if (a.twice_j + b.twice_j + c.twice_j) % 2:
            broken.append("half-integer")
        return tuple(broken)

    # -- tensors and symbols ---------------------------------------------------------------------------------

    def vertex(self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0, basis: Basis | None = None) -> ExactTensor:
        if not 0 <= copy < self.contains(a, b, c):
            names = f"{self.format(a)} x {self.format(b)} contains no"
            raise ValueError(f"{names} copy {copy} of {self.format(c)} ({self.explain(a, b, c)})")
        return conventions.vertex(a.twice_j, b.twice_j, c.twice_j, basis or self.default_basis)

    def wigner(self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0, basis: Basis | None = None) -> ExactTensor:
        self.vertex(a, b, c, copy, basis)
        return _wigner(a.twice_j, b.twice_j, c.twice_j, basis or self.default_basis)

    def f_symbol(self, a: Irrep, b: Irrep, c: Irrep, j: Irrep, x: Irrep, y: Irrep) -> Surd:
        """(-1)^{a+b+c+j} sqrt((2x+1)(2y+1)) {a b x; c j y}  (Racah 1943; Varshalovich 1988, 9.1)."""
        allowed = (
            self.contains(a, b, x) and self.contains(x, c, j) and self.contains(b, c, y) and self.contains(a, y, j)
        )
        if not allowed:
            return ZERO
        symbol = six_j(a.twice_j, b.twice_j, x.twice_j, c.twice_j, j.twice_j, y.twice_j)
        odd = (a.twice_j + b.twice_j + c.twice_j + j.twice_j) // 2 % 2
        return symbol * Surd.root((x.twice_j + 1) * (y.twice_j + 1), -1 if odd else 1)

    def r_symbol(self, a: Irrep, b: Irrep, c: Irrep) -> Surd:
        """(-1)^{a+b-c}."""
        if not self.contains(a, b, c):
            return ZERO
        return Surd.of(-1 if (a.twice_j + b.twice_j - c.twice_j) // 2 % 2 else 1)

    # -- elements --------------------------------------------------------------------------------------------

    def generators(self, irrep: Irrep, basis: Basis | None = None) -> tuple[ExactTensor, ...]:
        if (basis or self.default_basis) == "real":
            return conventions.rotations(irrep.twice_j)
        return conventions.ladder(irrep.twice_j)

    @property
    def elements(self) -> Mapping[str, Element]:
        named = {"identity": IDENTITY}
        if self.parities:
            named["inversion"] = INVERSION
        if self.half_integers:
            named["full turn"] = FULL_TURN
        return MappingProxyType(named)

    def random_element(self, rng: np.random.Generator) -> Element:
        return random_element(rng, inversions=self.parities)

    def representation(
        self, irrep: Irrep, element: Element, basis: Basis | None = None
    ) -> NDArray[np.float64] | NDArray[np.complex128]:
        if element.parity == -1 and not self.parities:
            raise ValueError(f"{self.name} has no inversion")
        matrix = conventions.representation(irrep.twice_j, element, basis or self.default_basis)
        return -matrix if element.parity == -1 == irrep.parity else matrix

    def _check(self, irrep: Irrep) -> None:
        if (irrep.parity != 0) != self.parities or (irrep.twice_j % 2 and not self.half_integers):
            raise ValueError(f"{irrep} is not an irrep of {self.name}")


_PARITY = {1: "e", -1: "o", 0: ""}
_NAME = re.compile(r"(-?)([0-9]+)(?:([./])([0-9]+))?([a-zA-Z]*)")
_MOST_DIGITS = 18


def _refuse_long_list(length: int) -> None:
    if length > LIST_LIMIT:
        raise OverflowError(f"a list of {length} irreps or weights is too long")


def _spin(twice_j: int) -> str:
    return f"{twice_j}/2" if twice_j % 2 else str(twice_j // 2)


@lru_cache(maxsize=4096)
def _wigner(twice_a: int, twice_b: int, twice_c: int, basis: Basis) -> ExactTensor:
    return conventions.vertex(twice_a, twice_b, twice_c, basis).scaled(Surd.root(Fraction(1, twice_c + 1)))


def _parse(group: RotationGroup, text: str) -> Irrep:
    """Each mistake has its own sentence; where the meaning is plain, so has its repair."""
    example = "`1e` or `1o`" if group.parities else "`1/2` or `1`" if group.half_integers else "`1`"
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not an irrep of {group.name}: write for example {example}")
    minus, number, mark, fraction, suffix = match.groups()
    if minus:
        spin = text.strip()[1:].rstrip("eo")
        raise ValueError(f"a spin is never negative: write {_example(group, spin, suffix)}")
    if len(number) + len(fraction or "") > _MOST_DIGITS:
        raise ValueError(f"the spin of `{text}` is too large")
    twice_j = _read_spin(group, text, number, mark, fraction, suffix)
    parity = _read_parity(group, text, _spin(twice_j), suffix)
    if number != _spin(twice_j).split("/")[0] and not mark:
        raise ValueError(f"`{text}` has a leading zero: write `{_spin(twice_j)}{suffix}`")
    return Irrep(twice_j, parity)


def _read_spin(
    group: RotationGroup, text: str, number: str, mark: str | None, fraction: str | None, suffix: str
) -> int:
    if mark is None or fraction is None:
        return 2 * int(number)
    if mark == "/" and int(fraction) == 0:
        raise ValueError(f"`{text}` divides by zero: write a spin such as `1/2` or `1`")
    spin = Fraction(f"{number}.{fraction}") if mark == "." else Fraction(int(number), int(fraction))
    if spin.denominator > 2:
        raise ValueError(f"`{text}` is not a spin: spins are integers or halves of integers, such as `1/2` or `3/2`")
    if spin.denominator == 2 and not group.half_integers:
        raise ValueError(f"{group.name} has no spin {spin}: half-integer spins need SU(2)")
    plain = f"{number}/{fraction}" if mark == "/" else None
    if plain != str(spin):
        repair = _example(group, str(spin), suffix)
        raise ValueError(f"`{text}` is not how a spin is written: write {repair}")
    return int(2 * spin)


def _read_parity(group: RotationGroup, text: str, spin: str, suffix: str) -> int:
    if not group.parities:
        if suffix in ("e", "o"):
            raise ValueError(f"{group.name} has no parity: write `{spin}`")
        if suffix:
            raise ValueError(f"`{text}` is not an irrep of {group.name}: write `{spin}`")
        return 0
    if not suffix:
        raise ValueError(f"an irrep of {group.name} needs a parity: write `{spin}e` or `{spin}o`")
    if suffix not in ("e", "o"):
        raise ValueError(f"`{suffix}` is not a parity: write `{spin}e` (even) or `{spin}o` (odd)")
    return 1 if suffix == "e" else -1


def _example(group: RotationGroup, spin: str, suffix: str) -> str:
    if not group.parities:
        return f"`{spin}`"
    return f"`{spin}{suffix}`" if suffix in ("e", "o") else f"`{spin}e` or `{spin}o`"


O3 = RotationGroup("O(3)", half_integers=False, parities=True)
SO3 = RotationGroup("SO(3)", half_integers=False, parities=False)
SU2 = RotationGroup("SU(2)", half_integers=True, parities=False)
GROUPS: Mapping[str, Group] = MappingProxyType({group.name: group for group in (O3, SO3, SU2)})

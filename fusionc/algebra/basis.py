"""The only home of conventions: order of components, phases, the real basis, the polar axis.

Complex basis: |j m>, m = -j … j ascending, phases of Condon and Shortley. The polar axis is y, as in e3nn:
the complex frame's (x', y', z') are the axes (z, x, y), so a rotation by the angle t about the unit axis n =
(n_x, n_y, n_z) is exp(-i t (n_x J_y' + n_y J_z' + n_z J_x')).

Real basis (integer l): e3nn's, component mu = -l … l ascending; for l = 1 these are x, y, z. Its
relation to the complex one is

    v_complex[m] = sum_mu Q[m, mu] v_real[mu]

    Q[0, 0]      = i^l
    Q[m, m]      = i^l (-1)^m / sqrt2        Q[m, -m]  = -i i^l (-1)^m / sqrt2       m > 0
    Q[-m, m]     = i^l / sqrt2               Q[-m, -m] =  i i^l / sqrt2

with i^l in front so that every real vertex is real (Q is the conjugate of e3nn's
`change_basis_real_to_complex`).

A vertex tensor V[al, be, ga] of a, b, c is the isometric Clebsch-Gordan tensor: V V summed over al, be is
the identity of c. In the complex basis it is <a al, b be | c ga>; in the real one it is sqrt(2c+1) times
e3nn's `wigner_3j`, that is Q_a Q_b conj(Q_c) applied to the complex one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from fusionc.algebra.complex_tensors import ComplexTensor, contract_pair
from fusionc.algebra.elements import Element
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.tensors import ExactTensor, Index
from fusionc.algebra.wigner import clebsch_gordan
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

Basis = Literal["real", "complex"]

SIZE_LIMIT = 4_000_000
"""The largest number of component pairs (dim a * dim b), or of matrix entries, that is tabulated."""

_HALF_ROOT = Surd.root(2) / 2
_HALF_ROOTS = (ONE, _HALF_ROOT, ONE / 2, _HALF_ROOT / 2)


def real_to_complex(l: int) -> ComplexTensor:  # noqa: E741
    """The unitary matrix Q of shape (2l+1, 2l+1): rows are complex components m, columns real ones mu."""
    real: dict[Index, Surd] = {}
    imag: dict[Index, Surd] = {}
    for m in range(-l, l + 1):
        for mu in {m, -m}:
            size = ONE if m == 0 else _HALF_ROOT
            power = _power_of_i(l, m, mu)
            part = imag if power % 2 else real
            part[l + m, l + mu] = -size if power >= 2 else size
    shape = (2 * l + 1, 2 * l + 1)
    return ComplexTensor(ExactTensor.of(shape, real), ExactTensor.of(shape, imag))


def _power_of_i(l: int, m: int, mu: int) -> int:  # noqa: E741
    """The k in 0 … 3 with Q[m, mu] = i^k |Q[m, mu]|."""
    if m == 0:
        return l % 4
    if m < 0:
        return (l + (1 if mu < 0 else 0)) % 4
    return (l + 2 * m + (3 if mu < 0 else 0)) % 4


# -- vertices ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def vertex(twice_a: int, twice_b: int, twice_c: int, basis: Basis) -> ExactTensor:
    """The isometric Clebsch-Gordan tensor of shape (2a+1, 2b+1, 2c+1) in the given basis.

    A triple that breaks a rule gives the zero tensor.

    Raises ValueError for a half-integer spin in the real basis, OverflowError when the tensor is too large to
    list.
    """
    _refuse_huge((twice_a + 1) * (twice_b + 1))
    if basis == "complex":
        return _complex_vertex(twice_a, twice_b, twice_c)
    for label in (twice_a, twice_b, twice_c):
        _refuse_half_integer(label)
    return _real_vertex(twice_a // 2, twice_b // 2, twice_c // 2)


def _complex_vertex(a: int, b: int, c: int) -> ExactTensor:
    entries: dict[Index, Surd] = {}
    for al in range(-a, a + 1, 2):
        for be in range(max(-b, -c - al), min(b, c - al) + 1, 2):
            index = ((a + al) // 2, (b + be) // 2, (c + al + be) // 2)
            entries[index] = clebsch_gordan(a, al, b, be, c, al + be)
    return ExactTensor.of((a + 1, b + 1, c + 1), entries)


def _real_vertex(a: int, b: int, c: int) -> ExactTensor:
    """Real entries straight from complex ones: each has a single pair (m, -m) behind it.

    A real component mu holds m = |mu| and m = -|mu| only, and the m of a nonzero coefficient add up: up to a
    common sign the three sizes |mu| fix the three m. The coefficients of m and -m differ by (-1)^{a+b+c}, so
    a real entry is one Clebsch-Gordan coefficient times a sum of two powers of i over a power of sqrt2.
    """
    entries: dict[Index, Surd] = {}
    for m1 in range(a + 1):
        for m2 in range(0 if m1 == 0 else -b, b + 1):
            m3 = m1 + m2
            if abs(m3) > c:
                continue
            value = clebsch_gordan(2 * a, 2 * m1, 2 * b, 2 * m2, 2 * c, 2 * m3)
            if value:
                _spread(entries, (a, b, c), (m1, m2, m3), value)
    return ExactTensor.of((2 * a + 1, 2 * b + 1, 2 * c + 1), entries)


def _spread(entries: dict[Index, Surd], spins: Index, m: Index, value: Surd) -> None:
    """Write the real entries that come from the complex coefficients at m and -m."""
    a, b, c = spins
    mirror = 2 * (a + b + c)
    value = value * _HALF_ROOTS[sum(1 for part in m if part)]
    values = {1: value, -1: -value, 2: value * 2, -2: value * -2, 0: ZERO}
    for mu1 in {m[0], -m[0]}:
        for mu2 in {m[1], -m[1]}:
            for mu3 in {m[2], -m[2]}:
                power = _power_of_i(a, m[0], mu1) + _power_of_i(b, m[1], mu2) - _power_of_i(c, m[2], mu3)
                total = _REAL_PART[power % 4]
                if any(m):
                    power = _power_of_i(a, -m[0], mu1) + _power_of_i(b, -m[1], mu2) - _power_of_i(c, -m[2], mu3)
                    total += _REAL_PART[(power + mirror) % 4]
                if total:
                    entries[a + mu1, b + mu2, c + mu3] = values[total]


_REAL_PART = (1, 0, -1, 0)


# -- generators and representations --------------------------------------------------------------------------


@lru_cache(maxsize=256)
def ladder(twice_j: int) -> tuple[ExactTensor, ExactTensor, ExactTensor]:
    """J_-, J_z', J_+ in the complex basis, matrices of shape (2j+1, 2j+1), rows are the m that comes out."""
    size = twice_j + 1
    _refuse_huge(size * size)
    steps = [(place, Surd.root((place + 1) * (twice_j - place))) for place in range(twice_j)]
    lowering: dict[Index, Surd] = {(place, place + 1): value for place, value in steps}
    raising: dict[Index, Surd] = {(place + 1, place): value for place, value in steps}
    diagonal: dict[Index, Surd] = {(place, place): Surd.of(2 * place - twice_j) / 2 for place in range(size)}
    shape = (size, size)
    return ExactTensor.of(shape, lowering), ExactTensor.of(shape, diagonal), ExactTensor.of(shape, raising)


@lru_cache(maxsize=256)
def rotations(twice_j: int) -> tuple[ExactTensor, ExactTensor, ExactTensor]:
    """The infinitesimal rotations X about x, y, z in the real basis: antisymmetric, with D = exp(t n.X).

    X_real = Q^dagger X_complex Q with (X_x, X_y, X_z) = -i (J_y', J_z', J_x'). Raises ValueError for a
    half-integer spin.
    """
    _refuse_half_integer(twice_j)
    lowering, diagonal, raising = ladder(twice_j)
    half = ONE / 2
    about_x = ComplexTensor.of_real((lowering - raising).scaled(half))
    about_y = ComplexTensor.of_real(diagonal).times_i().conjugate()
    about_z = ComplexTensor.of_real((lowering + raising).scaled(half)).times_i().conjugate()
    change = real_to_complex(twice_j // 2)
    found = [_to_real(change, generator) for generator in (about_x, about_y, about_z)]
    return found[0], found[1], found[2]


def _to_real(change: ComplexTensor, matrix: ComplexTensor) -> ExactTensor:
    moved = contract_pair("mp,mn->pn", change.conjugate(), contract_pair("mn,np->mp", matrix, change))
    if moved.imag.nonzeros:
        raise ValueError("the matrix is not real in the real basis")
    return moved.real


def representation(twice_j: int, element: Element, basis: Basis) -> NDArray[np.float64] | NDArray[np.complex128]:
    """Wigner's D matrix of an element's rotation, shape (2j+1, 2j+1); its parity is the group's affair.

    float64 in the real basis, complex128 in the complex one. The spectrum of n.J is known exactly, so only
    its eigenvectors are numerical. The identity and the full turn are exact.
    """
    if not (element.x or element.y or element.z):
        sign = -1.0 if element.w < 0 and twice_j % 2 else 1.0
        identity = np.eye(twice_j + 1)
        return sign * identity if basis == "real" else (sign * identity).astype(np.complex128)
    axis, angle = element.axis_angle()
    hermitian = np.tensordot(np.array(axis), _hermitian(twice_j, basis), axes=1)
    vectors = np.linalg.eigh(hermitian)[1]
    phases = np.exp(-0.5j * angle * np.arange(-twice_j, twice_j + 1, 2))
    matrix: NDArray[np.complex128] = (vectors * phases) @ vectors.conj().T
    return matrix.real.copy() if basis == "real" else matrix


@lru_cache(maxsize=256)
def _hermitian(twice_j: int, basis: Basis) -> NDArray[np.complex128]:
    """i X for the rotations about x, y, z, stacked: shape (3, 2j+1, 2j+1)."""
    if basis == "real":
        return np.stack([1j * part.to_numpy() for part in rotations(twice_j)])
    lowering, diagonal, raising = (part.to_numpy() for part in ladder(twice_j))
    return np.stack([-0.5j * (raising - lowering), diagonal + 0j, 0.5 * (raising + lowering) + 0j])


def _refuse_half_integer(label: int) -> None:
    if label % 2:
        raise ValueError(f"spin {label}/2 has no real basis: use the complex one")


def _refuse_huge(size: int) -> None:
    if size > SIZE_LIMIT:
        raise OverflowError(f"a tensor over {size} pairs of components is too large to list")

"""Fusing two operands at sparse vertices, in the cheapest of three ways.

    pairs     p = left[i] * right[j]   once for every pair,    then   out[k] = Σ c p
    right     m = Σ c right[j]         a sparse matrix,        then   out[k] = Σ ± left[i] * m
    left      m = Σ c left[i]          a sparse matrix,        then   out[k] = Σ ± m * right[j]

Constants are contracted with an operand first where that operand has few channels; entries of a matrix that are equal
up to sign are made once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeVar

from fusionc.algebra.surd_codes import UNIT_CODES, ZERO_CODE
from fusionc.algebra.surds import ONE, Surd
from fusionc.plan.vertices import Entries
from fusionc.program.build import Builder
from fusionc.program.ir import Linear, Product

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Side:
    """A value in which several blocks stand one behind the other: where each starts, and what its channels are
    called."""

    value: int
    names: tuple[str, ...]
    starts: Mapping[Any, int]


@dataclass(frozen=True)
class Meeting:
    """One contribution to a fused block: block `left` meets block `right` at a vertex, times a coefficient."""

    left: Any
    right: Any
    entries: Entries
    coefficient: Surd = ONE


Form = dict[tuple[int, int], int]
"""A bilinear form: for left component times right component a coefficient, by its code (`Builder.codes`)."""

LETTERS = "uvwxyzabcdefghijklmnopqrst"


def fuse(
    builder: Builder,
    left: Side,
    right: Side,
    wanted: Mapping[Key, Sequence[Meeting]],
    dims: Mapping[Key, int],
    names: tuple[str, ...],
    note: str = "",
) -> Side:
    """All wanted blocks in one value with the channels `names`; channels of the operands that are not among them are
    summed. Both operands live on the same domain."""
    forms, starts = bilinear_forms(builder, left, right, wanted, dims)
    ways: tuple[_Pairs | _Matrix, ...] = (
        _pairs(builder, left, right, forms, names),
        _right(builder, left, right, forms, names),
        _left(builder, left, right, forms, names),
    )
    best = min(ways, key=lambda way: way.price)
    return Side(best.run(builder, left, right, names, len(forms), note), names, starts)


def bilinear_forms(
    builder: Builder, left: Side, right: Side, wanted: Mapping[Key, Sequence[Meeting]], dims: Mapping[Key, int]
) -> tuple[list[Form], dict[Any, int]]:
    """Every component of the result as a bilinear form of components of the operands."""
    forms: list[Form] = []
    starts: dict[Any, int] = {}
    codes = builder.codes
    same = left.value == right.value and left.names == right.names
    for key, meetings in wanted.items():
        starts[key] = len(forms)
        own: list[Form] = [{} for _ in range(dims[key])]
        for meeting in meetings:
            one, two, factor = left.starts[meeting.left], right.starts[meeting.right], codes.of(meeting.coefficient)
            for i, j, k, value in meeting.entries:
                place = (one + i, two + j)
                if same and place[1] < place[0]:  # the operands commute
                    place = (place[1], place[0])
                code = codes.times(codes.of(value), factor)
                before = own[k].get(place)
                own[k][place] = code if before is None else codes.plus(before, code)
        forms += [{place: code for place, code in form.items() if code != ZERO_CODE} for form in own]
    return forms, starts


def channel_sizes(builder: Builder, *sides: Side) -> dict[str, int]:
    """The size of every channel of some operands."""
    return {name: size for side in sides for name, size in zip(side.names, builder[side.value].channels, strict=True)}


def spelled(names: Sequence[str], letters: dict[str, str]) -> str:
    """Channel names as letters, one each, in order of appearance."""
    for name in names:
        letters.setdefault(name, LETTERS[len(letters)])
    return "".join(letters[name] for name in names)


def product(
    builder: Builder,
    left: Side,
    right: Side,
    names: tuple[str, ...],
    terms: Sequence[tuple[int, int, int, int]],
    components: int,
    note: str = "",
) -> int:
    """Emit a product of two values; the domain of the result is that of the operand that has one."""
    letters: dict[str, str] = {}
    one, two = spelled(left.names, letters), spelled(right.names, letters)
    sizes = channel_sizes(builder, left, right)
    op = Product(left.value, right.value, one, two, spelled(names, letters), tuple(sorted(terms, key=_by_result)))
    domain = builder[left.value].domain if builder[left.value].domain is not None else builder[right.value].domain
    return builder.emit(op, components, tuple(sizes[name] for name in names), domain, note)


def _by_result(term: tuple[int, int, int, int]) -> tuple[int, int, int]:
    return term[2], term[0], term[1]


@dataclass(frozen=True)
class _Pairs:
    price: float
    products: tuple[tuple[tuple[int, int, int], ...], ...]
    """Each component before the constants: (left, right, sign) added up."""
    entries: tuple[tuple[int, int, int], ...] | None
    """(component, k, code of the coefficient); None where the products are the result."""

    def run(self, builder: Builder, left: Side, right: Side, names: tuple[str, ...], count: int, note: str) -> int:
        terms = [(i, j, number, sign) for number, parts in enumerate(self.products) for i, j, sign in parts]
        value = product(builder, left, right, names, terms, len(self.products), note)
        if self.entries is None:
            return value
        op = Linear((value,), tuple((0, i, k, builder.codes[code]) for i, k, code in self.entries))
        return builder.emit(op, count, builder[value].channels, builder[value].domain, note)


def _pairs(builder: Builder, left: Side, right: Side, forms: Sequence[Form], names: tuple[str, ...]) -> _Pairs:
    """Forms whose coefficients are all ±1 are summed at once, where that takes no more products than shared pairs."""
    sizes = channel_sizes(builder, left, right)
    unit = [max(form.values(), default=0) < UNIT_CODES for form in forms]
    shared = {place: None for form, plain in zip(forms, unit, strict=True) if not plain for place in form}
    everything = {place: None for form in forms for place in form}
    direct = sum(len(form) for form, plain in zip(forms, unit, strict=True) if plain)
    if len(everything) < len(shared) + direct:
        shared, unit = everything, [False] * len(forms)
    inside, outside = prod(sizes.values()), prod(sizes[name] for name in names)
    products: list[tuple[tuple[int, int, int], ...]] = [((i, j, 1),) for i, j in sorted(shared)]
    number = {place: at for at, place in enumerate(sorted(shared))}
    entries: list[tuple[int, int, int]] = []
    scaled = 0
    for k, (form, plain) in enumerate(zip(forms, unit, strict=True)):
        if plain:
            entries.append((len(products), k, 0))
            products.append(tuple((i, j, sign_of(code)) for (i, j), code in sorted(form.items())))
            continue
        for place, code in sorted(form.items()):
            entries.append((number[place], k, code))
            scaled += code >= UNIT_CODES
    count = sum(map(len, products))
    trivial = all(i == k and code == 0 for i, k, code in entries) and len(entries) == len(forms) == len(products)
    moved = len(entries) * 0.25 + len(forms) * 0.0625
    price = count * inside * 1.25 + (scaled + (0 if trivial else moved)) * outside
    return _Pairs(price, tuple(products), None if trivial else tuple(entries))


Row = tuple[tuple[int, int], ...]
"""A linear form of the components of a value: (component, code of its coefficient), by component."""


def sign_of(code: int) -> int:
    """The sign of a coefficient, by its code."""
    return -1 if code & 1 else 1


@dataclass(frozen=True)
class _Matrix:
    """`rows`: the distinct entries of the matrix as linear forms (None: the operand itself); `terms`: where each is
    used: (component of the other operand, row, k, sign)."""

    price: float
    rows: tuple[Row, ...] | None
    terms: tuple[tuple[int, int, int, int], ...]
    from_right: bool

    def run(self, builder: Builder, left: Side, right: Side, names: tuple[str, ...], count: int, note: str) -> int:
        source = right if self.from_right else left
        made = source if self.rows is None else Side(linear(builder, source.value, self.rows), source.names, {})
        if self.from_right:
            return product(builder, left, made, names, self.terms, count, note)
        return product(builder, made, right, names, [(n, i, k, s) for i, n, k, s in self.terms], count, note)


def linear(builder: Builder, value: int, rows: Iterable[Row], note: str = "") -> int:
    """Emit linear forms of one value's components."""
    rows = tuple(rows)
    entries = tuple((0, i, k, builder.codes[code]) for k, row in enumerate(rows) for i, code in row)
    source = builder[value]
    return builder.emit(Linear((value,), entries), len(rows), source.channels, source.domain, note)


def _right(builder: Builder, left: Side, right: Side, forms: Sequence[Form], names: tuple[str, ...]) -> _Matrix:
    turned = [[(i, j, code) for (i, j), code in form.items()] for form in forms]
    return _matrix(builder, left, right, turned, True)


def _left(builder: Builder, left: Side, right: Side, forms: Sequence[Form], names: tuple[str, ...]) -> _Matrix:
    turned = [[(j, i, code) for (i, j), code in form.items()] for form in forms]
    return _matrix(builder, right, left, turned, False)


def _matrix(
    builder: Builder, other: Side, source: Side, forms: Sequence[Sequence[tuple[int, int, int]]], from_right: bool
) -> _Matrix:
    """The forms as a matrix that is linear in `source`, applied to `other`: forms are lists (other, source, code)."""
    rows = Rows()
    terms = [term for k, form in enumerate(forms) for term in rows.place(k, form)]
    sizes = channel_sizes(builder, other, source)
    own = prod(builder[source.value].channels)
    price = len(terms) * prod(sizes.values()) * 1.25
    if rows.trivial:
        terms = [(i, rows.only(n), k, s) for i, n, k, s in terms]
        return _Matrix(price, None, tuple(terms), from_right)
    price += (rows.nonunit + rows.entries * 0.25 + len(rows.forms) * 0.0625) * own
    return _Matrix(price, tuple(rows.forms), tuple(terms), from_right)


class Rows:
    """The distinct entries of a sparse matrix as linear forms, up to sign."""

    def __init__(self) -> None:
        self.forms: dict[Row, int] = {}

    def place(self, k: int, form: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
        """One row (or column) of the matrix, given as (other component, component, code): terms (other component,
        entry, k, sign)."""
        entries: dict[int, dict[int, int]] = {}
        for i, j, code in form:
            entries.setdefault(i, {})[j] = code
        found = [(i, *self.number(entry)) for i, entry in entries.items()]
        return [(i, number, k, sign) for i, number, sign in found]

    def number(self, entry: Mapping[int, int]) -> tuple[int, int]:
        """The number of a linear form, and its sign."""
        row = tuple(sorted(entry.items()))
        sign = sign_of(row[0][1])
        if sign < 0:
            row = tuple((j, code ^ 1) for j, code in row)
        return self.forms.setdefault(row, len(self.forms)), sign

    @property
    def nonunit(self) -> int:
        return sum(code >= UNIT_CODES for form in self.forms for _, code in form)

    @property
    def entries(self) -> int:
        return sum(map(len, self.forms))

    @property
    def trivial(self) -> bool:
        """Whether every entry is a component of the operand, as it is."""
        return all(len(form) == 1 and form[0][1] == 0 for form in self.forms)

    def only(self, number: int) -> int:
        """The component that an entry is."""
        return self._list[number]

    @cached_property
    def _list(self) -> list[int]:
        return [form[0][0] for form in self.forms]


def starts_of(keys: Iterable[Any], dims: Mapping[Any, int]) -> tuple[dict[Any, int], int]:
    """Blocks one behind the other: where each starts, and the size of all."""
    starts: dict[Any, int] = {}
    total = 0
    for key in keys:
        starts[key] = total
        total += dims[key]
    return starts, total

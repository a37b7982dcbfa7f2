"""Which instructions mix channels in a way that `tl.dot` can do: matrix products over all rows.

    Mixed     out[row, k, b] = Σ ± value[row, i, a] * mixer[j, a, b]    shared weights, either of their axes summed;
                                                                        of several values where they are added up
    Outer     out[k, a, b]   = Σ ± left[row, i, a] * right[row, j, b]   summed over the rows: gradients by such weights

Everything else that mixes channels stays in torch, and `Mixing.reasons` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fusionc.algebra.surds import ONE
from fusionc.program.ir import Instruction, Linear, Product, Program, Spread, Total, WeightBlock, operands

LEAST = 16
"""The smallest side of a matrix that `tl.dot` multiplies; with fewer channels most of a product would be padding."""

FEW = f": fewer than {LEAST} channels"
EACH_ROW = ": each row has weights of its own"
NO_SUM = ": no sum over all rows follows"
SEVERAL = ": several channels at a time"
TABLE = ": weights stand in a table"
NO_ROWS = ": weights alone, no rows"

Term = tuple[int, int, int]
"""(i, j, sign): component of the left value, component of the right one, +1 or -1."""

MixedTerm = tuple[int, int, int, int]
"""(source, j, i, sign): which source, component of its mixer, component of its value, +1 or -1."""


@dataclass(frozen=True)
class Source:
    """A value, of `summed` channels, and a mixer without a domain. `turned`: the mixer's axes are the channels left and
    the summed ones."""

    value: int
    mixer: int
    summed: int
    turned: bool


@dataclass(frozen=True)
class Mixed:
    """Values whose channels are mixed into so many others, and added up. `terms`: those of each component."""

    number: int
    channels: int
    sources: tuple[Source, ...]
    terms: tuple[tuple[MixedTerm, ...], ...]


@dataclass(frozen=True)
class Outer:
    """Two values, of `rows` and `columns` channels, multiplied and summed over all rows. `product` is the instruction
    that only the sum, `number`, reads."""

    number: int
    product: int
    left: int
    right: int
    rows: int
    columns: int
    terms: tuple[tuple[Term, ...], ...]


@dataclass(frozen=True)
class Mixing:
    """The matrix products of a program, by the value that they give, and the values that nothing but these need; for
    each other product that mixes channels the reason why it is not one."""

    found: dict[int, Mixed | Outer] = field(default_factory=dict)
    inside: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)


def mixes(op: Product) -> bool:
    """Whether a product sums a channel that only one of its operands has, or sets two side by side."""
    letters = {op.left_axes, op.right_axes, op.axes} - {""}
    return len(letters) > 1 or any(len(letter) > 1 for letter in letters)


def mixing(program: Program) -> Mixing:
    """All matrix products of a program."""
    found, readers = Mixing(), _readers(program)
    for number, one in enumerate(program.instructions):
        if isinstance(one.op, Product) and mixes(one.op):
            product = _product(program, number, one, one.op, readers.get(number, []))
            if isinstance(product, str):
                found.reasons[number] = product
            else:
                found.found[product.number] = product
                found.inside.update({number} - {product.number})
    for number, one in enumerate(program.instructions):
        if isinstance(one.op, Linear):
            _add_up(found, number, one, one.op, readers)
    return found


def _add_up(found: Mixing, number: int, one: Instruction, op: Linear, readers: dict[int, list[int]]) -> None:
    """A sum of mixed values that nothing else reads is one mixed value."""
    parts = [part for part in map(found.found.get, op.values) if isinstance(part, Mixed)]
    alone = all(readers[value] == [number] for value in op.values)
    if len(parts) < len(op.values) or op.order or not alone or any(abs(c) != ONE for *_, c in op.entries):
        return
    sources = tuple(dict.fromkeys(source for part in parts for source in part.sources))
    terms: list[list[MixedTerm]] = [[] for _ in range(one.components)]
    for place, i, k, c in op.entries:
        part, other = parts[place], -1 if float(c) < 0 else 1
        terms[k] += [(sources.index(part.sources[s]), j, at, sign * other) for s, j, at, sign in part.terms[i]]
    for value in op.values:
        found.inside.add(value)
        del found.found[value]
    found.found[number] = Mixed(number, one.channels[0], sources, tuple(tuple(sorted(each)) for each in terms))


def everywhere(program: Program, value: int) -> int:
    """The value that is the same everywhere, without the instruction that says so."""
    op = program.instructions[value].op
    if isinstance(op, Spread) and program.instructions[op.value].domain is None:
        return op.value
    return value


def _readers(program: Program) -> dict[int, list[int]]:
    readers: dict[int, list[int]] = {}
    for number, one in enumerate(program.instructions):
        for value in operands(one.op):
            readers.setdefault(value, []).append(number)
    for output in program.outputs:
        for value in output.values:
            readers.setdefault(value, []).append(-1)
    return readers


def _product(program: Program, number: int, one: Instruction, op: Product, readers: list[int]) -> Mixed | Outer | str:
    if one.domain is None:
        return NO_ROWS
    axes = sorted((op.left_axes, op.right_axes, op.axes), key=len)
    if [len(each) for each in axes] != [1, 1, 2] or {*axes[0], *axes[1]} != {*axes[2]}:
        return SEVERAL
    if len(op.axes) == 2:
        return _outer(program, number, one, op, readers)
    right = len(op.right_axes) == 2
    mixer, value = (op.right, op.left) if right else (op.left, op.right)
    mixer = everywhere(program, mixer)
    if program.instructions[mixer].domain is not None:
        return EACH_ROW
    if _of_table(program, mixer) or _of_table(program, value):
        return TABLE
    summed, channels = program.instructions[value].channels[0], one.channels[0]
    if min(summed, channels) < LEAST:
        return FEW
    terms = _terms(op, one.components, not right)
    turned = tuple(tuple(sorted((0, j, i, sign) for i, j, sign in each)) for each in terms)
    return Mixed(number, channels, (Source(value, mixer, summed, axes[2][0] == op.axes),), turned)


def _outer(program: Program, number: int, one: Instruction, op: Product, readers: list[int]) -> Outer | str:
    turned = op.left_axes != op.axes[0]
    left, right = (op.right, op.left) if turned else (op.left, op.right)
    into = program.instructions[readers[0]].op if len(readers) == 1 and readers[0] >= 0 else None
    if not isinstance(into, Total) or into.rows:
        return NO_SUM
    if any(program.instructions[value].domain is None for value in (left, right)):
        return NO_ROWS
    if any(_of_table(program, value) for value in (left, right)):
        return TABLE
    if min(one.channels) < LEAST:
        return FEW
    rows, columns = one.channels
    return Outer(readers[0], number, left, right, rows, columns, _terms(op, one.components, turned))


def _of_table(program: Program, value: int) -> bool:
    """Whether index legs select the rows of a table that a value is."""
    op = program.instructions[value].op
    return isinstance(op, WeightBlock) and bool(op.rows)


def _terms(op: Product, components: int, turned: bool) -> tuple[tuple[Term, ...], ...]:
    found: list[list[Term]] = [[] for _ in range(components)]
    for i, j, k, sign in op.terms:
        found[k].append((j, i, sign) if turned else (i, j, sign))
    return tuple(tuple(sorted(terms)) for terms in found)

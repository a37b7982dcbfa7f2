"""Arithmetic for a compiler: a statement for each component, nothing but additions and multiplications.

torch.compile makes one loop of such statements: every number is read once, what is in between stays in registers, the
output is written once. Run one by one they would cost more than the large operations of `torch_ops`, which is what an
eager call runs.

A component has shape [..., channels], [..., 1] where it has no channels. What has none and meets channels is expanded
first, for each number of channels: its gradients are then added up before they are summed over channels, in one sum for
each component of an operand, where a compiler would take one for each product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    LegBlock,
    Linear,
    OutputBlock,
    Product,
    Program,
    WeightBlock,
    Zeros,
    channel_sizes,
    operands,
)
from fusionc.program.thresholds import now
from fusionc.targets.torch_text import WIDTH, listed, unflattened


def why_not_scalar(program: Program, most: int | None = None) -> str:
    """Why a program has no statement for each component; empty where it has. Channels go element by element or are
    summed away, nothing ranges over sites, and there are so many terms at most."""
    if program.sites:
        return "it ranges over sites"
    if program.is_complex:
        return "its numbers are complex"
    terms, most = 0, now().most_terms if most is None else most
    for instruction in program.instructions:
        op = instruction.op
        if len(instruction.channels) > 1 or (isinstance(op, Linear) and op.order):
            return "it has more than one channel index"
        if isinstance(op, Product):
            if len({op.left_axes, op.right_axes, op.axes} - {""}) > 1:
                return "it mixes channels"
            terms += len(op.terms)
        elif isinstance(op, Linear):
            if any(prod(program.instructions[value].channels) != prod(instruction.channels) for value in op.values):
                return "it has more than one channel index"
            terms += len(op.entries)
    return f"it has {terms:,} terms, and {most:,} are as many as a compiler likes" if terms > most else ""


@dataclass
class ScalarArithmetic:
    """Prints the statements of a program for which `why_not_scalar` has nothing to say; `fresh` makes names, `say`
    takes statements."""

    program: Program
    fresh: Callable[[str], str]
    say: Callable[[str], None]
    _names: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """The components of a value; of one without channels, as they meet so many channels (1: none)."""
    _rows: dict[tuple[str, ...], str] = field(default_factory=dict)

    def run(self) -> None:
        """All statements, and the return of what the outputs are put together of: for each a tuple of what stands side
        by side, in a tuple of its own what is interleaved."""
        for number, asked in enumerate(self._asked()):
            for channels in sorted(asked):
                self._names[number, channels] = self._made(number, channels)
        self.say("")
        self.say("return (")
        for output in self.program.outputs:
            self._wide("    (", (part for block in output.blocks for part in self._block(block)), "    ),", indent=8)
        self.say(")")

    def _asked(self) -> list[set[int]]:
        """For each value the numbers of channels that it meets: its own, or those of what it is multiplied with."""
        asked: list[set[int]] = [set() for _ in self.program.instructions]
        for output in self.program.outputs:
            for value in output.values:
                asked[value].add(self._width(value, 1))
        for number in range(len(asked) - 1, -1, -1):
            if self._is_source(number) and asked[number]:
                asked[number].add(self._width(number, 1))
            for channels in asked[number]:
                for value in operands(self.program.instructions[number].op):
                    asked[value].add(self._width(value, self._inside(number, channels)))
        return asked

    def _width(self, number: int, channels: int) -> int:
        """The channels of a value; of one without any as many as it meets."""
        own = self.program.instructions[number].channels
        return own[0] if own else channels

    def _is_source(self, number: int) -> bool:
        """Whether a value without channels comes from an operand, or from what had some: then it is expanded."""
        op = self.program.instructions[number].op
        return not isinstance(op, Linear) and not (isinstance(op, Product) and not self._summed(op))

    def _inside(self, number: int, channels: int) -> int:
        """How many channels the operands of an operation meet."""
        op = self.program.instructions[number].op
        return self._summed(op) or channels if isinstance(op, Product) else channels

    def _components(self, number: int, channels: int = 1) -> list[str]:
        """The components of a value, where it meets so many channels."""
        return self._names[number, self._width(number, channels)]

    def _made(self, number: int, channels: int) -> list[str]:
        instruction = self.program.instructions[number]
        op, own = instruction.op, instruction.channels
        if self._is_source(number) and not own and channels > 1:
            return self._over(channels, self._components(number))
        if isinstance(op, Linear):
            return self._linear(op, instruction.components, channels)
        if isinstance(op, Product):
            return self._product(op, instruction.components, self._inside(number, channels))
        if isinstance(op, LegBlock):
            return self._leg(op, own)
        if isinstance(op, WeightBlock):
            return self._weight(op, instruction.components, own)
        assert isinstance(op, Zeros)
        like = self._components(op.value, channels)[0]
        return [self._let("zero", f"{like}.new_zeros((*{like}.shape[:-1], {channels}))")] * instruction.components

    def _summed(self, op: Product) -> int:
        """How many channels a product sums over (0: none)."""
        return 0 if op.axes else next(iter(channel_sizes(self.program, op).values()), 0)

    def _over(self, channels: int, narrow: Sequence[str]) -> list[str]:
        """Components without channels, the same for so many."""
        names = [self.fresh(name.rstrip("_0123456789")) for name in narrow]
        self._wide("(", names, ") = _over(")
        self._wide(f"    {channels},", narrow, ")")
        return names

    # --- inputs --------------------------------------------------------------------------------------------------

    def _leg(self, op: LegBlock, channels: tuple[int, ...]) -> list[str]:
        mul, start, names = (channels or (1,))[0], op.start, list[str]()
        together = self.program.layout == "ir_mul" or mul == 1 or set(op.dims) == {1}
        for dim in (sum(op.dims),) if together else op.dims:
            piece = f"{op.leg}[..., {start}:{start + dim * mul}]"
            start += dim * mul
            if together:
                names += self._unbound(op.leg, f"{unflattened(piece, -1, (dim, mul))}.unbind(-2)", dim)
            else:
                names += self._unbound(op.leg, f"{unflattened(piece, -1, (mul, dim))}.unbind(-1)", dim)
        return names

    def _weight(self, op: WeightBlock, components: int, channels: tuple[int, ...]) -> list[str]:
        name = op.weight
        if op.rows:
            if (op.weight, *op.rows) not in self._rows:
                rows = f"_rows_at({op.weight}, {', '.join(op.rows)})"
                self._rows[op.weight, *op.rows] = self._let(f"{op.weight}_rows", rows)
            name = self._rows[op.weight, *op.rows]
        size = channels[0] if channels else 1
        piece = f"{name}[..., {op.start}:{op.start + components * size}]"
        text = f"{unflattened(piece, -1, (components, size))}.unbind(-2)"
        return self._unbound(op.weight, text, components)

    def _unbound(self, wish: str, text: str, count: int) -> list[str]:
        names = [self.fresh(wish) for _ in range(count)]
        left = ", ".join(names) + ("," if count == 1 else "")
        if len(left) + len(text) < WIDTH:
            self.say(f"{left} = {text}")
        else:
            self._wide("(", names, f") = {text}")
        return names

    # --- arithmetic ------------------------------------------------------------------------------------------------

    def _product(self, op: Product, components: int, channels: int) -> list[str]:
        left, right = self._components(op.left, channels), self._components(op.right, channels)
        terms: list[list[tuple[str, bool]]] = [[] for _ in range(components)]
        for i, j, k, sign in op.terms:
            terms[k].append((f"{left[i]} * {right[j]}", sign > 0))
        zero = (f"torch.zeros_like({left[0]} * {right[0]})", True)
        return [self._sum(each or [zero], self._summed(op) > 0) for each in terms]

    def _linear(self, op: Linear, components: int, channels: int) -> list[str]:
        terms: list[list[tuple[str, bool]]] = [[] for _ in range(components)]
        for source, i, k, c in op.entries:
            name = self._components(op.values[source], channels)[i]
            terms[k].append((_times(c, name), c.sign() > 0))
        zero = (f"torch.zeros_like({self._components(op.values[0], channels)[0]})", True)
        return [self._sum(each or [zero], False) for each in terms]

    def _sum(self, terms: Sequence[tuple[str, bool]], summed: bool) -> str:
        """Signed terms added up, a positive one first; over the channels too where they are summed."""
        ordered = sorted(terms, key=lambda term: not term[1])
        text = ordered[0][0] if ordered[0][1] else f"-({ordered[0][0]})"
        text += "".join(f" {'+' if positive else '-'} {term}" for term, positive in ordered[1:])
        return self._let("t", f"({text}).sum(-1, keepdim=True)" if summed else text)

    def _let(self, wish: str, text: str) -> str:
        if text.isidentifier():
            return text
        name = self.fresh(f"{wish}")
        if len(name) + len(text) < WIDTH:
            self.say(f"{name} = {text}")
        else:
            self._wide(f"{name} = (", text.replace(" + ", "\n+ ").replace(" - ", "\n- ").split("\n"), ")", "")
        return name

    def _wide(self, head: str, parts: Iterable[str], end: str, comma: str = ",", indent: int = 4) -> None:
        """A statement in several lines."""
        self.say(head)
        for line in listed([f"{part}{comma}" for part in parts], WIDTH - indent):
            self.say(f"{' ' * indent}{line}")
        self.say(end)

    # --- outputs ---------------------------------------------------------------------------------------------------

    def _block(self, block: OutputBlock) -> Iterator[str]:
        """The parts of a block in the order of memory; what is interleaved as the text of a tuple."""
        pieces = [[self._components(value)[place] for place in places] for value, places in block.places]
        if self.program.layout == "ir_mul" or block.dim == 1:
            for k in range(block.dim):
                yield from (piece[k] for piece in pieces)
            return
        for piece in pieces:
            yield f"({', '.join(piece)})"


def _times(c: Surd, name: str) -> str:
    """A constant's magnitude times a value."""
    magnitude = abs(float(c))
    return name if c == ONE or c == -ONE else f"{magnitude!r} * {name}"

"""Matrices of operands fall apart: what is block-diagonal is applied block by block.

out[k] = Σ M[k, i] x[i]      rows k of different blocks of x share no column: one small product for each
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod

from fusionc.algebra.surds import ONE
from fusionc.program.ir import (
    MOVES,
    Instruction,
    Linear,
    Op,
    OutputBlock,
    Product,
    Program,
    WeightBlock,
    renumbered,
)
from fusionc.program.thresholds import now


def split(program: Program) -> Program:
    """The program with every wide matrix product cut into its independent blocks, where all that reads the result are
    weights and outputs."""
    for number, instruction in enumerate(program.instructions):
        parts = _parts(program, number, instruction)
        if parts:
            return split(_Cut(program, number, parts).program())
    return program


def _parts(program: Program, number: int, instruction: Instruction) -> list[list[int]]:
    """The independent sets of components of a matrix product; empty where it stays whole."""
    op = instruction.op
    if not isinstance(op, Product) or op.right_axes or not op.left_axes or op.left_axes != op.axes:
        return []
    if instruction.domain is None or program.instructions[op.right].domain is None:
        return []
    groups: dict[int, set[int]] = {}  # columns of each group, by its first row
    owner: dict[int, int] = {}
    rows: dict[int, set[int]] = {}
    for i, _, k, _ in op.terms:
        rows.setdefault(k, set()).add(i)
    for k, columns in rows.items():
        found = {owner[i] for i in columns if i in owner}
        first = min(found, default=k)
        merged = set(columns).union(*(groups.pop(other) for other in found))
        groups[first] = merged
        owner.update(dict.fromkeys(merged, first))
    members: dict[int, list[int]] = {}
    for k, columns in rows.items():
        members.setdefault(owner[next(iter(columns))], []).append(k)
    work = sum(len(members[first]) * len(columns) for first, columns in groups.items())
    whole = instruction.components * program.instructions[op.left].components
    if len(members) < 2 or whole < max(now().whole, now().cut * work) or len(rows) != instruction.components:
        return []
    chain = _chain(program, number)
    if chain is None:
        return []
    owners = {k: first for first, part in members.items() for k in part}
    target = chain[-1] if chain else number
    for output in program.outputs:
        for block in output.blocks:
            for value, places in block.places:
                if value == target and len({owners[k] for k in places}) > 1:
                    return []  # a block of the output would be torn apart
    return list(members.values())


def _chain(program: Program, number: int) -> list[int] | None:
    """What a value goes through on its way to the outputs, each alone reading the one before: products with weights,
    component by component, and moves between sites and pairs. None where something else reads it."""
    readers, is_returned = program.readers[number], number in program.returned
    if not readers:
        return [] if is_returned else None
    op = program.instructions[readers[0]].op
    if len(readers) > 1 or is_returned or not (isinstance(op, MOVES) or _is_weighing(op, number)):
        return None
    rest = _chain(program, readers[0])
    return None if rest is None else [readers[0], *rest]


def _is_weighing(op: Op, value: int) -> bool:
    if not isinstance(op, Product) or op.left != value or not op.left_axes == op.right_axes == op.axes:
        return False
    return [term[0] for term in op.terms] == [term[2] for term in op.terms] == list(range(len(op.terms)))


@dataclass
class _Cut:
    """Rewrites a program with one product cut."""

    source: Program
    number: int
    parts: list[list[int]]
    instructions: list[Instruction] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)

    def program(self) -> Program:
        chain = _chain(self.source, self.number) or []
        target = chain[-1] if chain else self.number
        results: list[tuple[int, dict[int, int]]] = []
        for number, instruction in enumerate(self.source.instructions):
            if number == self.number:
                cut = [self._product(part) for part in self.parts]
                results = [
                    (value, {k: at for at, k in enumerate(part)}) for value, part in zip(cut, self.parts, strict=True)
                ]
            elif number in chain:
                results = [(self._carried(instruction, *result), result[1]) for result in results]
            else:
                self.place[number] = self._add(replace(instruction, op=renumbered(instruction.op, self.place)))
        outputs = tuple(
            replace(output, blocks=tuple(self._block(block, target, results) for block in output.blocks))
            for output in self.source.outputs
        )
        return replace(self.source, instructions=tuple(self.instructions), outputs=outputs)

    def _add(self, instruction: Instruction) -> int:
        self.instructions.append(instruction)
        return len(self.instructions) - 1

    def _product(self, part: list[int]) -> int:
        """The product for some components, on the components of the operands that it uses."""
        instruction = self.source.instructions[self.number]
        op = instruction.op
        assert isinstance(op, Product)
        own = {k: at for at, k in enumerate(part)}
        terms = [term for term in op.terms if term[2] in own]
        left, lefts = self._some(op.left, (term[0] for term in terms))
        right, rights = self._some(op.right, (term[1] for term in terms))
        moved = sorted((lefts[i], rights[j], own[k], sign) for i, j, k, sign in terms)
        cut: Op = replace(op, left=left, right=right, terms=tuple(sorted(moved, key=lambda term: (term[2], term[0]))))
        return self._add(replace(instruction, op=cut, components=len(part)))

    def _some(self, value: int, components: Iterable[int]) -> tuple[int, dict[int, int]]:
        """Some components of a value: a copy of the linear map that makes them, or a selection."""
        used = sorted(set(components))
        at = {component: place for place, component in enumerate(used)}
        source = self.source.instructions[value]
        if isinstance(source.op, Linear):
            entries = tuple((s, i, at[k], c) for s, i, k, c in source.op.entries if k in at)
            values = tuple(self.place[v] for v in source.op.values)
            op: Op = replace(source.op, values=values, entries=entries)
        else:
            op = Linear((self.place[value],), tuple((0, k, place, ONE) for k, place in at.items()))
        return self._add(replace(source, op=op, components=len(used))), at

    def _carried(self, instruction: Instruction, value: int, own: dict[int, int]) -> int:
        """Some components of a value, moved or weighed as the whole was."""
        op = instruction.op
        if isinstance(op, MOVES):
            return self._add(replace(instruction, op=replace(op, value=value), components=len(own)))
        assert isinstance(op, Product)
        right, rights = self._weights(op.right, sorted({j for i, j, _, _ in op.terms if i in own}))
        terms = tuple(sorted((own[i], rights[j], own[k], sign) for i, j, k, sign in op.terms if i in own))
        cut = replace(op, left=value, right=right, terms=terms)
        return self._add(replace(instruction, op=cut, components=len(own)))

    def _weights(self, value: int, used: list[int]) -> tuple[int, dict[int, int]]:
        """Weights that stand side by side, as a view of their own; others as they are."""
        source = self.source.instructions[value]
        if not isinstance(source.op, WeightBlock) or used != list(range(used[0], used[-1] + 1)):
            return self.place[value], {j: j for j in used}
        view = replace(source.op, start=source.op.start + used[0] * prod(source.channels))
        return self._add(replace(source, op=view, components=len(used))), {j: at for at, j in enumerate(used)}

    def _block(self, block: OutputBlock, target: int, results: list[tuple[int, dict[int, int]]]) -> OutputBlock:
        pieces = []
        for value, start in block.pieces:
            if value != target:
                pieces.append((self.place[value], start))
                continue
            pieces += [(number, own[start]) for number, own in results if start in own]
        return replace(block, pieces=tuple(pieces))

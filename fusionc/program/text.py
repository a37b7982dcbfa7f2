"""A program as text that is read back unchanged: what golden files hold, and what `--print-after` shows.

    program d, mul_ir, real
    leg x: tensor 32, over ., blocks 8x1 8x3 = 8x0e + 8x1o
    weight W: 16, rows 4
    %0 [. | 4 | 8] leg x 0: 1 3  # x
    %3 [. | 4 | 8] product u,->u %0 %1: +0*1>0 -2*0>3
    %4 [. | 4 | 8] linear %3: 0.1>2=1/2√3
    output out over .: 8x3 = %4.0:1

A value is [domain | components | channels…]: `.` is the batch, `-` no domain at all. A term `+i*j>k` adds left
component i times right component j to component k; a coefficient `s.i>k=c` adds c times component i of value number s.
Lines that begin with blanks go on with the one before.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Literal, cast, get_args

from fusionc.algebra.surds import Surd
from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Op,
    OutputBlock,
    Pool,
    Product,
    Program,
    ProgramLeg,
    ProgramOutput,
    ProgramRelation,
    ProgramWeight,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.program.memory import Layout

WIDTH = 118
INDENT = "    "
PLAIN: dict[str, type[Pool | Spread | Zeros]] = {"pool": Pool, "spread": Spread, "zeros": Zeros}
MOVES: dict[str, type[Gather | Scatter]] = {"gather": Gather, "scatter": Scatter}


# --- writing ---------------------------------------------------------------------------------------------------------


def program_text(program: Program) -> str:
    """The program, line by line."""
    return "".join(f"{line}\n" for line in _lines(program))


def _lines(program: Program) -> Iterator[str]:
    yield f"program {program.name}, {program.layout}, {'complex' if program.is_complex else 'real'}"
    yield from (f"sites {name}" for name in program.sites)
    yield from (f"pairs {one.name}: {one.first} {one.second}" for one in program.relations)
    for leg in program.legs:
        blocks = "".join(f" {mul}x{dim}" for mul, dim in leg.blocks)
        yield f"leg {leg.name}: {leg.kind} {leg.dim}, over {_domain(leg.domain)}, blocks{blocks} = {leg.text}"
    for weight in program.weights:
        yield f"weight {weight.name}: {weight.numel}, rows{_spaced(weight.rows)}"
    for number, instruction in enumerate(program.instructions):
        yield from _instruction(number, instruction)
    for output in program.outputs:
        blocks = " ; ".join(_block(block) for block in output.blocks)
        rows = f", rows{_spaced(output.rows)}" if output.rows else ""
        yield from _wrapped(f"output {output.name} over {_domain(output.domain)}{rows}: {blocks}")


def _instruction(number: int, instruction: Instruction) -> Iterator[str]:
    shape = " | ".join((_domain(instruction.domain), *map(str, (instruction.components, *instruction.channels))))
    head, items = _operation(instruction.op)
    note = f"  # {instruction.note}" if instruction.note else ""
    line = f"%{number} [{shape}] {head}"
    if not items or len(line) + 2 + len(items) + len(note) <= WIDTH:
        yield line + (f": {items}" if items else "") + note
        return
    yield f"{line}:{note}"
    yield from textwrap.wrap(items, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)


def _operation(op: Op) -> tuple[str, str]:
    """An operation, and the list that goes with it."""
    if isinstance(op, LegBlock):
        return f"leg {op.leg} {op.start}", _spaced(op.dims).strip()
    if isinstance(op, WeightBlock):
        return f"weight {op.weight} {op.start}", _rows(op.rows, op.reads)
    if isinstance(op, Product):
        terms = " ".join(f"{'+' if sign > 0 else '-'}{i}*{j}>{k}" for i, j, k, sign in op.terms)
        return f"product {op.left_axes},{op.right_axes}->{op.axes} %{op.left} %{op.right}", terms
    if isinstance(op, Linear):
        order = f" order {','.join(map(str, op.order))}" if op.order else ""
        values = " ".join(f"%{value}" for value in op.values)
        return f"linear {values}{order}", " ".join(f"{s}.{i}>{k}={_number(c)}" for s, i, k, c in op.entries)
    if isinstance(op, Gather | Scatter):
        return f"{type(op).__name__.lower()} %{op.value} {op.relation}.{op.row}", ""
    return f"{type(op).__name__.lower()} %{op.value}", _rows(op.rows, op.reads) if isinstance(op, Total) else ""


def _block(block: OutputBlock) -> str:
    strides = block.strides or (0,) * len(block.pieces)
    pieces = zip(block.pieces, strides, strict=True)
    return f"{block.mul}x{block.dim} = " + " ".join(f"%{v}.{at}:{stride}" for (v, at), stride in pieces)


def _rows(rows: Sequence[str], reads: Sequence[tuple[str, int] | None]) -> str:
    """`z@edges.0 y`: the index legs that select rows, each with where it is read."""
    told = (*reads, *(None,) * (len(rows) - len(reads)))
    return " ".join(row if read is None else f"{row}@{read[0]}.{read[1]}" for row, read in zip(rows, told, strict=True))


def _number(value: Surd) -> str:
    """`1/2+-1/6√3`, as many terms as there are roots."""
    return "+".join(f"{c}" if radicand == 1 else f"{c}√{radicand}" for radicand, c in value.terms) or "0"


def _domain(domain: str | None) -> str:
    return "-" if domain is None else domain or "."


def _spaced(numbers: Iterable[int]) -> str:
    return "".join(f" {number}" for number in numbers)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False, break_long_words=False)


# --- reading ---------------------------------------------------------------------------------------------------------

_TERM = re.compile(r"([+-])(\d+)\*(\d+)>(\d+)")
_ENTRY = re.compile(r"(\d+)\.(\d+)>(\d+)=(\S+)")
_PIECE = re.compile(r"%(\d+)\.(\d+):(\d+)")
_LEG = re.compile(r"(\w+): (\w+) (\d+), over (\S+), blocks((?: \d+x\d+)*) = (.*)")
_VALUE = re.compile(r"%(\d+) \[([^]]*)\] (.*)")


def read_program(text: str) -> Program:
    """The program that a text stands for. Raises ValueError for a line that is none of a program."""
    sites, relations = list[str](), list[ProgramRelation]()
    legs, weights = list[ProgramLeg](), list[ProgramWeight]()
    instructions, outputs = list[Instruction](), list[ProgramOutput]()
    name, layout, field = "", "", ""
    for line, note in _joined(text):
        kind, _, rest = line.partition(" ")
        if kind == "program":
            name, layout, field = rest.split(", ")
        elif kind == "sites":
            sites.append(rest)
        elif kind == "pairs":
            relation, ends = rest.split(": ")
            relations.append(ProgramRelation(relation, *ends.split(" ")))
        elif kind == "leg":
            legs.append(_read_leg(rest))
        elif kind == "weight":
            weight, numel, *rows = re.findall(r"\w+", rest.replace(", rows", ""))
            weights.append(ProgramWeight(weight, tuple(map(int, rows)), int(numel)))
        elif kind == "output":
            outputs.append(_read_output(rest))
        else:
            instructions.append(_read_instruction(line, note, len(instructions)))
    if layout not in get_args(Layout) or field not in ("real", "complex"):
        raise ValueError("a program begins with its name, its layout, and `real` or `complex`")
    return Program(
        name,
        cast(Layout, layout),
        field == "complex",
        tuple(legs),
        tuple(weights),
        tuple(instructions),
        tuple(outputs),
        tuple(sites),
        tuple(relations),
    )


def _joined(text: str) -> Iterator[tuple[str, str]]:
    """The lines, those that go on put together, each with its note."""
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        body, _, note = line.partition("  # ")
        if body.startswith(INDENT):
            before, kept = lines.pop()
            lines.append((f"{before} {body.strip()}", kept))
        elif body:
            lines.append((body, note))
    return iter(lines)


def _read_leg(text: str) -> ProgramLeg:
    match = _LEG.fullmatch(text)
    if match is None:
        raise ValueError(f"no leg: {text}")
    name, kind, dim, domain, blocks, space = match.groups()
    found = tuple((int(mul), int(size)) for mul, size in (block.split("x") for block in blocks.split()))
    known = cast(Literal["tensor", "weights", "index"], kind)
    return ProgramLeg(name, known, int(dim), space, _read_domain(domain) or "", found)


def _read_output(text: str) -> ProgramOutput:
    head, _, blocks = text.partition(": ")
    name, domain, *rows = head.replace(" over ", " ").replace(", rows", "").split(" ")
    found = tuple(_read_block(block) for block in blocks.split(" ; ") if block)
    return ProgramOutput(name, found, _read_domain(domain), tuple(map(int, rows)))


def _read_block(text: str) -> OutputBlock:
    size, _, pieces = text.partition(" = ")
    mul, dim = map(int, size.split("x"))
    found = [tuple(map(int, piece)) for piece in _PIECE.findall(pieces)]
    strides = tuple(stride for _, _, stride in found)
    return OutputBlock(tuple((value, at) for value, at, _ in found), mul, dim, strides if any(strides) else ())


def _read_instruction(line: str, note: str, number: int) -> Instruction:
    match = _VALUE.fullmatch(line)
    if match is None or int(match[1]) != number:
        raise ValueError(f"no instruction {number}: {line}")
    domain, components, *channels = match[2].split(" | ")
    head, _, items = match[3].partition(":")
    op = _read_operation(head.split(" "), items.strip())
    return Instruction(op, int(components), tuple(map(int, channels)), _read_domain(domain), note)


def _read_operation(head: list[str], items: str) -> Op:
    kind, *words = head
    if kind == "leg":
        return LegBlock(words[0], int(words[1]), tuple(map(int, items.split())))
    if kind == "weight":
        return WeightBlock(words[0], int(words[1]), *_read_rows(items))
    if kind == "product":
        left, right, axes = re.split(",|->", words[0])
        terms = ((int(i), int(j), int(k), 1 if sign == "+" else -1) for sign, i, j, k in _TERM.findall(items))
        return Product(int(words[1][1:]), int(words[2][1:]), left, right, axes, tuple(terms))
    if kind == "linear":
        values = tuple(int(word[1:]) for word in words if word.startswith("%"))
        order = tuple(map(int, words[-1].split(","))) if "order" in words else ()
        entries = ((int(s), int(i), int(k), _read_number(c)) for s, i, k, c in _ENTRY.findall(items))
        return Linear(values, tuple(entries), order)
    value = int(words[0][1:])
    if kind in MOVES:
        relation, row = words[1].split(".")
        return MOVES[kind](value, relation, int(row))
    if kind == "total":
        return Total(value, *_read_rows(items))
    if kind not in PLAIN:
        raise ValueError(f"no operation: {kind}")
    return PLAIN[kind](value)


def _read_rows(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, int] | None, ...]]:
    rows, reads = list[str](), list[tuple[str, int] | None]()
    for word in text.split():
        row, at, read = word.partition("@")
        rows.append(row)
        relation, _, number = read.partition(".")
        reads.append((relation, int(number)) if at else None)
    return tuple(rows), tuple(reads)


def _read_number(text: str) -> Surd:
    terms = (term.partition("√") for term in text.split("+") if term != "0")
    return Surd(tuple((int(radicand) if root else 1, Fraction(number)) for number, root, radicand in terms))


def _read_domain(text: str) -> str | None:
    return None if text == "-" else "" if text == "." else text

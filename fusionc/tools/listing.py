"""The stages of a compilation as text: `fusionc compile --emit …` and `fusionc paths`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from math import prod

from fusionc.diagram.fusion import lists_paths
from fusionc.diagram.paths import public_paths
from fusionc.driver import Checked, CheckedDiagram
from fusionc.language import syntax
from fusionc.language.errors import CompileError
from fusionc.plan.expand import Expansion
from fusionc.plan.states import Pair, Scalar, State, Summed
from fusionc.program.ir import (
    Gather,
    Instruction,
    Layout,
    LegBlock,
    Linear,
    Product,
    Program,
    Scatter,
    Total,
    WeightBlock,
)
from fusionc.program.passes import BATCHED_VALUE, run
from fusionc.program.text import program_text


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, aligned; the last one is not padded."""
    everything = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in everything) for column in range(len(header))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    )
    return "\n".join(lines)


# --- stages ------------------------------------------------------------------------------------------------------


def list_ast(checked: Checked) -> str:
    """The syntax tree, one node a line."""
    return "\n".join(_nodes(checked.file, 0)) + "\n"


def _nodes(value: object, depth: int, label: str = "") -> Iterator[str]:
    indent = "  " * depth + (f"{label}: " if label else "")
    if isinstance(value, syntax.Comment):
        return
    if is_dataclass(value) and not isinstance(value, type):
        inner = [(f.name, getattr(value, f.name)) for f in fields(value) if f.name not in ("span", "comments")]
        simple = [f"{name}={_atom(item)}" for name, item in inner if _is_simple(item)]
        yield f"{indent}{type(value).__name__}({', '.join(simple)})"
        for name, item in inner:
            if not _is_simple(item):
                yield from _nodes(item, depth + 1, name)
    elif isinstance(value, tuple):
        yield f"{indent}[{len(value)}]"
        for item in value:
            yield from _nodes(item, depth + 1)
    else:
        yield f"{indent}{value!r}"


def _is_simple(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, syntax.Name) for item in value)
    return isinstance(value, syntax.Name) or not is_dataclass(value)


def _atom(value: object) -> str:
    if isinstance(value, syntax.Name):
        return value.text
    if isinstance(value, tuple):
        return f"[{', '.join(map(_atom, value))}]"
    return str(value) if value is None or isinstance(value, int) else repr(str(value))


def list_graph(checked: Checked) -> str:
    """Edges with the irreps that fusion leaves them, and lines with their number of paths."""
    return "\n".join("\n".join(_graph(diagram)) for diagram in checked.diagrams) + "\n"


def _graph(diagram: CheckedDiagram) -> Iterator[str]:
    graph, fusion = diagram.graph, diagram.fusion
    settings = f"normalize {graph.settings.normalize}, paths {graph.settings.paths}"
    yield f"diagram {graph.name} over {graph.group.name}, {settings}"
    for edge, irreps in fusion.reachable.items():
        alive = [irrep for irrep in irreps if irrep in fusion.alive.get(edge, ())]
        kind = "leg" if edge in graph.tensor_legs else "output" if edge in graph.output_table else "edge"
        domain = f" over {over}" if (over := graph.domain(edge)) else ""
        apart = ", keeps its paths" if kind == "edge" and graph.keeps_paths(edge) else ""
        yield f"  {kind:<6} {edge}: {' + '.join(map(graph.group.format, alive))}{domain}{apart}"
    for line in graph.ordered():
        left = " ".join(_bracket(operand.edge, operand.indices) for operand in line.operands)
        right = _bracket(line.target, line.indices)
        weights = "".join(f" * {weight.name}" for weight in line.weights)
        counted = f", {fusion.count(line):,} paths" if lists_paths(graph, line) else ""
        yield f"  line {line.number}: {left} -> {right}{weights}{counted}"


def _bracket(name: str, indices: tuple[str, ...]) -> str:
    return f"{name}[{','.join(indices)}]" if indices else name


def list_plan(checked: Checked) -> str:
    """In which order every product couples its leaves, and what its paths become."""
    return "\n".join("\n".join(_plan(diagram)) for diagram in checked.diagrams) + "\n"


def _plan(diagram: CheckedDiagram) -> Iterator[str]:
    yield f"diagram {diagram.name}: strategy `{diagram.strategy}`"
    for edge in diagram.plan(diagram.strategy).edges:
        for expansion in edge.expansions:
            yield from _expansion(diagram, expansion)


def _expansion(diagram: CheckedDiagram, expansion: Expansion) -> Iterator[str]:
    product = expansion.product
    weights = "".join(f" * {factor.name}" for factor in product.factors)
    leaves = " ".join(_bracket(leaf.edge, (*leaf.sites, *leaf.channels)) for leaf in product.leaves)
    yield f"  {leaves} -> {_bracket(product.target, product.channels)}{weights}"
    for path, combination in zip(product.paths, expansion.paths, strict=True):
        terms = " + ".join(f"{value} {_state(diagram, use.state)}" for use, value in combination) or "0"
        yield f"    path {path.number}: {terms}"


def _state(diagram: CheckedDiagram, state: State) -> str:
    """A state with the irreps of its parts: `((x.1o a.2e)1o b.0e)1o` (in steps: trees may be deep)."""
    group, texts, todo = diagram.graph.group, dict[int, str](), [state]
    while todo:
        node, what = todo[-1], todo[-1].what
        below = [what.left.state, what.right.state] if isinstance(what, Pair) else []
        below = [what.inner] if isinstance(what, Summed) else below
        missing = [part for part in below if part.number not in texts]
        if missing:
            todo += missing
            continue
        todo.pop()
        irrep = group.format(node.irrep)
        if isinstance(what, Pair):
            texts[node.number] = f"({texts[what.left.state.number]} {texts[what.right.state.number]}){irrep}"
        elif isinstance(what, Summed):
            texts[node.number] = f"sum {texts[what.inner.number]}"
        elif isinstance(what, Scalar):
            texts[node.number] = f"{what.weight.name}[{what.path}]"
        else:
            texts[node.number] = f"{what.edge}.{irrep}"
    return texts[state.number]


def list_program(checked: Checked, layout: Layout = "mul_ir") -> str:
    """The straight-line program, one instruction a line."""
    return "\n".join("\n".join(_program(diagram.program(layout=layout))) for diagram in checked.diagrams) + "\n"


LOWERING = "lowering"


def list_after(checked: Checked, name: str, layout: Layout = "mul_ir") -> str:
    """The whole program of every diagram (`program.text`) as it is after a pass. Raises ValueError for no pass."""
    shown = (LOWERING, *(one.name for one in BATCHED_VALUE))
    if name not in shown:
        raise ValueError(f"it is one of {', '.join(shown)}, not `{name}`")
    texts = []
    for diagram in checked.diagrams:
        program = diagram.program(layout=layout)
        found = {LOWERING: program}
        run(program, BATCHED_VALUE, found.__setitem__)
        texts.append(program_text(found[name]))
    return "\n".join(texts)


def _program(program: Program) -> Iterator[str]:
    yield f"program {program.name}, layout {program.layout}"
    for number, instruction in enumerate(program.instructions):
        domain = (
            "" if instruction.domain is None else "..., " + (f"{instruction.domain}, " if instruction.domain else "")
        )
        shape = ", ".join(map(str, (instruction.components, *instruction.channels)))
        yield f"  %{number}: [{domain}{shape}] = {_operation(instruction)}"
    for output in program.outputs:
        blocks = " ++ ".join("|".join(f"%{value}.{start}" for value, start in block.pieces) for block in output.blocks)
        yield f"  return {output.name} = {blocks}"


def _operation(instruction: Instruction) -> str:
    op = instruction.op
    if isinstance(op, LegBlock):
        return f"{op.leg}[{op.start}:{op.start + instruction.size}]"
    if isinstance(op, WeightBlock):
        rows = f"[{', '.join(op.rows)}]" if op.rows else ""
        return f"{op.weight}{rows}[{op.start}:{op.start + instruction.size}]"
    if isinstance(op, Product):
        return f"product {op.left_axes},{op.right_axes}->{op.axes} %{op.left} %{op.right}, {len(op.terms)} terms"
    if isinstance(op, Linear):
        return f"linear {' '.join(f'%{value}' for value in op.values)}, {len(op.entries)} coefficients"
    if isinstance(op, Gather | Scatter):
        return f"{type(op).__name__.lower()} %{op.value}, row {op.row} of {op.relation}"
    rows = f" into rows {', '.join(op.rows)}" if isinstance(op, Total) and op.rows else ""
    return f"{type(op).__name__.lower()} %{op.value}{rows}"


# --- paths -------------------------------------------------------------------------------------------------------


def list_paths_table(diagram: CheckedDiagram, most: int | None) -> str:
    """The paths of a diagram as a table; the first `most` of them. Where they are too many to list, or too large to
    tell which are independent, their number and the reason."""
    count = diagram.count_paths()
    try:
        path_table = diagram.table
    except CompileError as error:
        if not all(found.code.startswith("F3") for found in error.diagnostics):
            raise
        reasons = "; ".join(f"{found.message} ({found.code})" for found in error.diagnostics)
        return f"{diagram.name}: {count:,} path{'' if count == 1 else 's'}; no table: {reasons}"
    weights = [
        f"{layout.name}: {' x '.join(map(str, (*layout.rows, layout.numel)))}" for layout in path_table.weights.values()
    ]
    head = f"{diagram.name}: {count:,} path{'' if count == 1 else 's'}" + (f"; {', '.join(weights)}" if weights else "")
    rows = []
    for number, path in enumerate(public_paths(path_table)):
        if most is not None and number == most:
            break
        weight = "" if path.weight is None else f"{path.weight}[{path.offset}:{path.offset + prod(path.shape)}]"
        shape = "" if path.weight is None else " x ".join(map(str, path.shape)) or "1"
        rows.append((str(number), " ".join(path.irreps[:-1]), path.irreps[-1], path.edge, weight, shape))
    body = table(("path", "irreps", "to", "edge", "weight", "shape"), rows)
    more = f"\n… {count - most:,} more: --all lists them" if most is not None and count > most else ""
    return f"{head}\n{body}{more}"

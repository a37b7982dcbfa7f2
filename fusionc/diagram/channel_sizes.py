"""Multiplicities: how many channels a line makes on its right edge, and how many its weights need (F1022, F1028,
F1029, F3006)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.fusion import Coupling, Fusion, target_sizes
from fusionc.diagram.ir import Block, FusionGraph, Line, Output, Weight
from fusionc.diagram.line_words import blocks_text, without_restriction
from fusionc.language.diagnostics import Advice, Diagnostic, Edit, Label, Repair, behind, diagnose, instead, write
from fusionc.language.source import Span


def edge_mistakes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    """Where the channels that a line makes are not those of its right edge, or nothing says how many there are."""
    output = graph.output_table.get(line.target)
    if output is not None and output.space is not None:
        yield from _declared_sizes(graph, fusion, line, output)
        return
    coupling, restriction = fusion.couplings[line.number], graph.restriction(line.target)
    for (irrep, binding), _ in coupling.counts.items():
        if irrep not in fusion.alive[line.target]:
            continue
        mul = graph.multiplicity(line, irrep)
        if target_sizes(line, coupling.indices, binding, mul) is None:
            known = {index for index, size in zip(coupling.indices, binding, strict=True) if size is not None}
            new = [index for index in line.channels if index not in known]
            name = graph.group.format(irrep)
            if mul is None and new:
                yield diagnose(
                    "F1022",
                    f"nothing says how many channels `{new[0]}` has for {name} of `{line.target}`",
                    line.target_span,
                    notes=["an index that is new on the right takes its size from the right edge's multiplicity"],
                    help=_with_multiplicities(graph, fusion, line),
                )
            else:
                span = restriction.span if restriction is not None else line.target_span
                yield _misfit(graph, line, irrep, binding, coupling, mul or 0, span)
            return


def _with_multiplicities(graph: FusionGraph, fusion: Fusion, line: Line) -> Advice:
    """The right edge with all the irreps that it carries, and as many channels of each as the line's operands have."""
    group, output = graph.group, graph.output_table.get(line.target)
    restriction = graph.restriction(line.target)
    sizes = [size for _, binding in fusion.couplings[line.number].counts for size in binding if size is not None]
    mul = max((size for size in sizes if size > 1), default=64)
    key = group.edge_key if output is None else group.sorted_key
    known = dict((restriction.allowed if restriction is not None else None) or ())
    irreps = sorted(fusion.alive[line.target], key=key)
    text = " + ".join(f"{known.get(irrep) or mul}x{group.format(irrep)}" for irrep in irreps)
    effect = f"{mul:,} channels are chosen"
    if output is not None:
        edits = [Edit(output.type_span, text)] if output.type_span is not None else []
        if output.restriction is not None:
            edits.append(without_restriction(output.restriction.span))
        return Advice(f"write the multiplicity: `-> {text}`", (Repair(tuple(edits), effect),))
    repair = behind(line.target_span, f" in {text}", effect)
    if restriction is not None:
        repair = instead(restriction.span, text, effect)
    return Advice(f"write the multiplicity: `in {text}`", (repair,))


def two_indices(graph: FusionGraph, line: Line, shared: str) -> Advice:
    """A line whose operands share an index of two sizes, with an index for each and a weight that mixes them."""
    operands = [operand for operand in line.operands if shared in operand.channels]
    taken = {index for operand in line.operands for index in operand.indices} | set(line.channels)
    taken |= {index for weight in line.weights for index in weight.channels}
    fresh = [letter for letter in (*"vwstabcdfghmnpq", *(f"c{k}" for k in range(99))) if letter not in taken]
    edits, new, counted = [], list[str](), dict[str, str]()
    for operand in operands[1:]:
        if operand.edge == operands[0].edge:
            continue
        index = counted.setdefault(operand.edge, fresh[len(counted)])
        indices = [index if one == shared else one for one in operand.indices]
        edits.append(Edit(operand.span, f"{operand.edge}[{', '.join(indices)}]"))
        new.append(index)
    result = fresh[len(counted)]
    channels = [result if one == shared else one for one in line.channels]
    summed = [one for one in (*line.summed, shared) if one not in channels]
    if shared in line.channels:
        edits.append(Edit(line.target_span, f"{line.target}[{', '.join((*line.sites, *channels))}]"))
    bracket = dict.fromkeys((*summed, *new, *(one for one in channels if one == result)))
    weight = next((one for one in line.weights if one.has_path), None)
    if weight is not None:
        old = [one for one in weight.channels if one != shared]
        text = replace(weight, channels=()).with_indices(*dict.fromkeys((*old, *bracket)))
        edits.append(Edit(weight.span, text))
    else:
        text = f"{line.span.source.unused('W', 'V', 'W1')}[path, {', '.join(bracket)}]"
        edits.append(Edit(line.span.source.span(line.span.end, line.span.end), f" * {text}"))
    names = " ".join(f"`{edit.text}`" for edit in edits[: len(new)])
    written = f"write {names} and mix the channels: `-> {line.target}"
    bracket_text = f"[{', '.join((*line.sites, *channels))}]" if channels or line.sites else ""
    return Advice(
        f"{written}{bracket_text} * {text}`", (Repair(tuple(edits), f"the weights `{text}` mix the channels"),)
    )


def _misfit(
    graph: FusionGraph,
    line: Line,
    irrep: Irrep,
    binding: tuple[int | None, ...],
    coupling: Coupling,
    mul: int,
    span: Span,
) -> Diagnostic:
    indices = coupling.indices
    known = dict(zip(indices, binding, strict=True))
    sizes = [f"{index} = {known[index]:,}" for index in line.channels if known.get(index) is not None]
    made = _made(line, indices, binding)
    others = {_made(line, indices, other) for reached, other in coupling.counts if reached == irrep}
    name = graph.group.format(irrep)
    what, notes = "this line", [f"the channels of `{line.target}`: {', '.join(sizes) or 'none'}"]
    if len(others) > 1:
        listed = ", ".join(f"{other:,}" for other in sorted(others))
        what = "one of its paths"
        notes = [f"its paths to {name} make {listed} channels: channels that are kept are of one multiplicity"]
    declare = f"declare `{made}x{name}`, or " if len(others) == 1 else ""
    repairs = []
    if declare and span.text.endswith(name) and re.fullmatch(r"(?:[0-9]+x)?[0-9/]+[eo]?", span.text):
        repairs.append(instead(span, f"{made}x{name}", f"{name} of `{line.target}` has {made:,} channels"))
    repairs.append(_mixing(line, indices))
    return diagnose(
        "F1029",
        f"{name} of `{line.target}` has multiplicity {mul:,}, and {what} makes {made:,}",
        line.target_span,
        notes=notes,
        help=f"{declare}mix the channels: {_mixed(line, indices)}",
        related=[Label(span, f"multiplicity {mul:,}")],
        repairs=repairs,
    )


def _made(line: Line, indices: tuple[str, ...], binding: tuple[int | None, ...]) -> int:
    """How many channels a line makes on the right of those on the left."""
    known = dict(zip(indices, binding, strict=True))
    return prod(known[index] or 1 for index in line.channels if index in known)


def _mixed(line: Line, indices: tuple[str, ...]) -> str:
    """How a line is written that mixes all channels on its left into a new index: `-> out[w] * W[path, u, v, w]`."""
    taken = {*indices, *line.channels, *(index for weight in line.weights for index in weight.channels)}
    new = next((letter for letter in "vwstabc" if letter not in taken), "k")
    weight = next((one for one in line.weights if one.has_path), None)
    inner = f"{line.span.source.unused('W', 'V', 'W1')}[path, {', '.join((*indices, new))}]"
    if weight is not None:
        inner = replace(weight, channels=()).with_indices(*indices, new)
    return f"`-> {line.target}[{', '.join((*line.sites, new))}] * {inner}`"


def _mixing(line: Line, indices: tuple[str, ...]) -> Repair:
    """`_mixed` as edits."""
    target, _, text = _mixed(line, indices).strip("`").removeprefix("-> ").partition(" * ")
    weight = next((one for one in line.weights if one.has_path), None)
    place = weight.span if weight is not None else line.span.source.span(line.span.end, line.span.end)
    edits = (Edit(line.target_span, target), Edit(place, text if weight is not None else f" * {text}"))
    return Repair(edits, f"the weights `{text}` mix the channels")


def _declared_sizes(graph: FusionGraph, fusion: Fusion, line: Line, output: Output) -> Iterator[Diagnostic]:
    """The multiplicities of a declared output: each path fills its block, or, where paths are kept, all together do."""
    coupling = fusion.couplings[line.number]
    blocks = output.space.blocks if output.space is not None else ()
    if line.keeps:
        yield from _kept_sizes(graph, fusion, line, blocks)
        return
    for block in blocks:
        for binding in [binding for irrep, binding in coupling.counts if irrep == block.irrep]:
            if target_sizes(line, coupling.indices, binding, block.mul) is None:
                yield _misfit(graph, line, block.irrep, binding, coupling, block.mul, block.span)
                return


def _kept_sizes(graph: FusionGraph, fusion: Fusion, line: Line, blocks: Iterable[Block]) -> Iterator[Diagnostic]:
    """Where paths are kept, a block holds all of its paths' channels; one diagnostic for all blocks that do not."""
    coupling, group = fusion.couplings[line.number], graph.group
    wrong: list[tuple[Block, int, int]] = []
    right: list[Block] = []
    for block in blocks:
        total, paths = 0, 0
        for (irrep, binding), count in coupling.counts.items():
            if irrep == block.irrep:
                sizes = target_sizes(line, coupling.indices, binding, None)
                if sizes is None:
                    yield _unsized_paths(line)
                    return
                total, paths = total + count * prod(sizes), paths + count
        if paths and total != block.mul:
            wrong.append((block, paths, total))
        right.append(Block(block.irrep, total or block.mul, block.span))
    if wrong:
        block, paths, total = wrong[0]
        name = f"{group.format(block.irrep)} of `{line.target}`"
        made = f"its {paths:,} kept paths make" if paths > 1 else "its kept path makes"
        yield diagnose(
            "F1029",
            f"{name} has multiplicity {block.mul:,}, and {made} {total:,}",
            line.target_span,
            help=f"declare `{blocks_text(group, right)}`, or let the output be inferred: `*`",
            repairs=[
                instead(output.type_span, text, f"the output `{line.target}` is another space")
                for text in (blocks_text(group, right), "*")
                if (output := graph.output_table[line.target]).type_span is not None
            ],
            related=[Label(other.span, f"multiplicity {other.mul:,}, not {n:,}") for other, _, n in wrong],
        )


def _unsized_paths(line: Line) -> Diagnostic:
    return diagnose(
        "F1022",
        f"nothing says how many channels each kept path of `{line.target}` has",
        line.target_span,
        notes=["where paths are kept, the declared multiplicity is shared by all of them"],
        help="put the index on an edge on the left, or sum the paths",
    )


def weight_mistakes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    """Weights of a line that would need two shapes, or too many numbers."""
    for weight in line.weights:
        shapes = list(_weight_shapes(graph, fusion, line, weight))
        if not shapes:  # no path of this line reaches an output
            continue
        if not weight.has_path and len({shape for shape, _ in shapes}) > 1:
            listed = sorted({shape for shape, _ in shapes})
            yield diagnose(
                "F1028",
                f"the weight `{weight.name}` would need two shapes: {list(listed[0])} and {list(listed[1])}",
                weight.span,
                notes=["without `path`, one weight serves all paths, so its indices have one size for all of them"],
                help=write(weight.span, weight.with_indices(path=True), "each path has weights of its own"),
            )
            continue
        total = sum(prod(shape) * count for shape, count in shapes) if weight.has_path else prod(shapes[0][0])
        rows = prod(graph.index_legs[row].size for row in weight.rows)
        if total * rows > limits.MAX_WEIGHTS:
            yield limits.too_many_weights(weight.span, total * rows, weight.name)


def _weight_shapes(
    graph: FusionGraph, fusion: Fusion, line: Line, weight: Weight
) -> Iterator[tuple[tuple[int, ...], int]]:
    """The shapes that a weight's bracket has on the line's paths, each with the number of such paths."""
    coupling, output = fusion.couplings[line.number], graph.output_table.get(line.target)
    for (irrep, binding), count in coupling.counts.items():
        if irrep not in fusion.alive[line.target]:
            continue
        muls: list[int | None] = [graph.multiplicity(line, irrep)]
        if output is not None and output.space is not None:
            muls = [None if line.keeps else block.mul for block in output.space.blocks if block.irrep == irrep]
        for mul in muls:
            sizes = dict(zip(coupling.indices, binding, strict=True))
            sizes |= dict(zip(line.channels, target_sizes(line, coupling.indices, binding, mul) or (), strict=False))
            yield tuple(sizes.get(index) or 0 for index in weight.channels), count

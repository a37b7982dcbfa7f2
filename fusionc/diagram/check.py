"""The rules that need angular momentum (F2xxx), and those of sizes that need to know the paths: one function a rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.fusion import Fusion, TooManyPaths, alive_factors, target_sizes
from fusionc.diagram.ir import Block, FusionGraph, Line, Output, Weight
from fusionc.language.diagnostics import Diagnostic, Label, diagnose
from fusionc.language.source import Span


def check(graph: FusionGraph, fusion: Fusion) -> tuple[Diagnostic, ...]:
    """Everything that angular momentum and multiplicities say against a diagram."""
    found: list[Diagnostic] = [*_overflows(fusion)]
    found += _always_zero_outputs(graph, fusion)
    for line in graph.lines:
        if fusion.known(line):
            found += check_line(graph, fusion, line)
    found += _named_irreps(graph, fusion)
    found += _uneven_sums(graph, fusion)
    found += _dead_leg_irreps(graph, fusion)
    if not any(diagnostic.is_error for diagnostic in found):
        found += _too_many_paths(graph, fusion)
    return tuple(found)


def check_line(graph: FusionGraph, fusion: Fusion, line: Line) -> tuple[Diagnostic, ...]:
    """The first rule that a line breaks; the later ones presuppose the earlier."""
    for rule in (_nothing_allowed, _adds_nothing, _unequal_sizes, _unweighed_paths, _target_sizes, _weight_sizes):
        found = tuple(rule(graph, fusion, line))
        if found:
            return found
    return ()


def lists_paths(graph: FusionGraph, line: Line) -> bool:
    """Lines whose paths are the diagram's own: they end in an output, or a weight tells them apart."""
    return line.target in graph.output_table or any(weight.has_path for weight in line.weights)


def count_paths(graph: FusionGraph, fusion: Fusion) -> int:
    """Number of paths of a diagram, without listing them (DESIGN 1.2)."""
    return sum(count_line_paths(graph, fusion, line) for line in graph.lines if lists_paths(graph, line))


def count_line_paths(graph: FusionGraph, fusion: Fusion, line: Line) -> int:
    """Paths of one line; an output that declares an irrep in several blocks has the paths into each."""
    output = graph.output_table.get(line.target)
    if output is None or output.space is None:
        return fusion.count(line)
    coupling = fusion.couplings[line.number]
    return sum(coupling.count(block.irrep) for block in output.space.blocks)


# --- words -------------------------------------------------------------------------------------------------------


def irreps_text(group: Group, irreps: Iterable[Irrep], most: int = 12) -> str:
    """`0e + 1o + 2e`, cut after a dozen."""
    names = [group.format(irrep) for irrep in irreps]
    return " + ".join(names[:most]) + (" + …" if len(names) > most else "") if names else "nothing"


@dataclass(frozen=True)
class _Words:
    """How a line's coupling reads: `1o x 1o`, and what it contains."""

    graph: FusionGraph
    fusion: Fusion

    def operands(self, line: Line) -> str:
        irreps = [self.fusion.reachable[operand.edge] for operand in line.operands]
        if all(len(found) == 1 for found in irreps):
            return " x ".join(self.graph.group.format(found[0]) for found in irreps)
        names = [f"`{operand.edge}`" for operand in line.operands]
        return " x ".join(names)

    def contents(self, line: Line) -> str:
        """The note that states what the left side contains, with the rule where it concerns two single irreps."""
        group = self.graph.group
        reached = sorted(self.fusion.couplings[line.number].irreps, key=group.edge_key)
        return f"{self.operands(line)} = {irreps_text(group, reached)}"

    def spaces(self, line: Line) -> Iterator[str]:
        for name in dict.fromkeys(operand.edge for operand in line.operands):
            reachable = self.fusion.reachable[name]
            if len(reachable) > 1:
                yield f"`{name}` carries {irreps_text(self.graph.group, reachable)}"

    def why_not(self, line: Line, irrep: Irrep) -> tuple[str, ...]:
        """The rule that keeps an irrep out of a line."""
        group = self.graph.group
        contents = self.contents(line)
        irreps = [self.fusion.reachable[operand.edge] for operand in line.operands]
        if self.vanishes(line, irrep):
            name = line.operands[0].edge
            return (
                contents,
                f"the operands are equal: {group.format(irrep)} is in the part of the product that changes sign when "
                f"two of them are exchanged, so it vanishes for `{name}` with itself",
            )
        if len(line.operands) == 2 and all(len(found) == 1 for found in irreps):
            rule = group.explain(irreps[0][0], irreps[1][0], irrep)
            return (f"{contents}  ({rule})",)
        if len(line.operands) == 1:
            return (contents, "a line with one edge on the left is a linear map: it keeps the irrep (Schur's lemma)")
        return (contents, *self.spaces(line))

    def vanishes(self, line: Line, irrep: Irrep) -> bool:
        """The irrep is in the product of the operands, and not in the symmetric power of the equal ones."""
        if irrep in self.fusion.couplings[line.number].irreps:
            return False
        factors = [set(self.fusion.reachable[operand.edge]) for operand in line.operands]
        return any(alive_factors(self.graph.group, factors, {irrep}))


def nearest(group: Group, wanted: Irrep, candidates: Iterable[Irrep]) -> Irrep | None:
    """The candidate of the nearest dimension; the smaller of two."""
    return min(
        candidates, key=lambda irrep: (abs(group.dim(irrep) - group.dim(wanted)), group.edge_key(irrep)), default=None
    )


# --- outputs and internal irreps ---------------------------------------------------------------------------------


def _always_zero_outputs(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    for output in graph.outputs:
        writers = graph.writers.get(output.name, ())
        if not writers or output.name in fusion.poisoned or not all(fusion.known(line) for line in writers):
            continue
        reached = {irrep for line in writers for irrep in fusion.couplings[line.number].irreps}
        if output.space is None:
            if not fusion.alive.get(output.name):
                message = f"nothing reaches the output `{output.name}`"
                notes = [note for line in writers for note in _Words(graph, fusion).why_not(line, graph.group.trivial)[:1]]
                yield diagnose("F2002", message, output.span, notes=notes)
            continue
        missing: dict[tuple[int, int], list[Block]] = {}
        for block in output.space.blocks:
            if block.irrep not in reached:
                missing.setdefault((block.span.start, block.span.end), []).append(block)
        for blocks in missing.values():
            yield _always_zero(graph, fusion, output, blocks, writers, reached)


def _always_zero(
    graph: FusionGraph,
    fusion: Fusion,
    output: Output,
    blocks: list[Block],
    writers: tuple[Line, ...],
    reached: set[Irrep],
) -> Diagnostic:
    group, words = graph.group, _Words(graph, fusion)
    irreps = tuple(dict.fromkeys(block.irrep for block in blocks))
    verb = "is" if len(irreps) == 1 else "are"
    notes = list(dict.fromkeys(note for line in writers for note in words.why_not(line, irreps[0])))
    candidate = nearest(group, irreps[0], reached - {block.irrep for block in output.space.blocks})  # type: ignore[union-attr]
    repair = f"leave {irreps_text(group, irreps)} out of the output"
    if candidate is not None:
        repair += f", or write {group.format(candidate)}"
    return diagnose(
        "F2002",
        f"{irreps_text(group, irreps)} of the output `{output.name}` {verb} always zero",
        blocks[0].span,
        label="no path leads here",
        notes=notes,
        help=repair,
        related=[Label(line.span, "written here") for line in writers[:1]],
    )


def _named_irreps(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    """Irreps that a restriction writes out: each must be reachable, and should reach an output."""
    for edge, restriction in graph.restrictions:
        writers = graph.writers.get(edge, ())
        if edge in fusion.poisoned or not writers or not all(fusion.known(line) for line in writers):
            continue
        for irrep, span in restriction.named:
            yield from _named_irrep(graph, fusion, edge, writers, irrep, span)


def _named_irrep(
    graph: FusionGraph, fusion: Fusion, edge: str, writers: tuple[Line, ...], irrep: Irrep, span: Span
) -> Iterator[Diagnostic]:
    group, words, name = graph.group, _Words(graph, fusion), graph.group.format(irrep)
    if not any(irrep in fusion.couplings[line.number].irreps for line in writers):
        notes = words.why_not(writers[0], irrep)
        if any(words.vanishes(line, irrep) for line in writers):
            message = f"{name} vanishes: the operands of `{edge}` are equal"
            yield diagnose("F2007", message, span, notes=notes, help="leave it out")
        else:
            yield _unreachable(graph, words, writers[0], irrep, span, notes)
    elif fusion.alive.get(edge) and irrep not in fusion.alive[edge]:
        yield diagnose(
            "F2004",
            f"{name} of the edge `{edge}` reaches no output",
            span,
            notes=["it has no paths and no weights, and is not computed"],
            help="leave it out",
        )


def _unreachable(
    graph: FusionGraph, words: _Words, line: Line, irrep: Irrep, span: Span, notes: Iterable[str]
) -> Diagnostic:
    group = graph.group
    reached = words.fusion.couplings[line.number].irreps
    candidate = nearest(group, irrep, reached)
    help = f"write `in {group.format(candidate)}`" if candidate is not None else None
    partners = _partners(graph, words, line, irrep)
    if help and partners:
        help += f", or couple with {partners} edge first"
    return diagnose(
        "F2001",
        f"{words.operands(line)} does not contain {group.format(irrep)}",
        span,
        label="not reachable",
        notes=notes,
        help=help,
    )


def _partners(graph: FusionGraph, words: _Words, line: Line, irrep: Irrep) -> str:
    """Irreps with which the last operand would reach the wanted one: `a 2e or 4e`."""
    group = graph.group
    last = words.fusion.reachable[line.operands[-1].edge]
    if len(last) != 1 or len(line.operands) < 2:
        return ""
    options = [found for found, _ in group.product(irrep, last[0]) if found != group.trivial]
    names = [group.format(option) for option in options]
    return f"a {names[0]} or {names[-1]}" if len(names) > 1 else f"a {names[0]}" if names else ""


def _dead_leg_irreps(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    for leg in graph.tensor_legs.values():
        alive = fusion.alive.get(leg.name)
        if not alive or leg.name in fusion.poisoned:
            continue
        dead: dict[tuple[int, int], list[Block]] = {}
        for block in leg.space.blocks:
            if block.irrep not in alive:
                dead.setdefault((block.span.start, block.span.end), []).append(block)
        for blocks in dead.values():
            irreps = dict.fromkeys(block.irrep for block in blocks)
            verb = "reaches" if len(irreps) == 1 else "reach"
            yield diagnose(
                "F2005",
                f"{irreps_text(graph.group, irreps)} of the leg `{leg.name}` {verb} no output",
                blocks[0].span,
                notes=["its components are read by nothing"],
            )


# --- one line ----------------------------------------------------------------------------------------------------


def _admitted(graph: FusionGraph, fusion: Fusion, line: Line) -> set[Irrep]:
    irreps = fusion.couplings[line.number].irreps
    restriction = graph.restriction_table.get(line.target)
    if restriction is None:
        return set(irreps)
    return {irrep for irrep in irreps if restriction.admits(graph.group, irrep)}


def _nothing_allowed(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    restriction = graph.restriction_table.get(line.target)
    if restriction is None or restriction.named or _admitted(graph, fusion, line):
        return
    yield diagnose(
        "F2003",
        f"no irrep of {_Words(graph, fusion).operands(line)} is allowed by this restriction",
        restriction.span,
        notes=(_Words(graph, fusion).contents(line), *_Words(graph, fusion).spaces(line)),
    )


def _adds_nothing(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    alive = fusion.alive.get(line.target, frozenset())
    if not alive or alive & fusion.couplings[line.number].irreps:
        return
    words = _Words(graph, fusion)
    yield diagnose(
        "F2006",
        f"this line adds nothing to `{line.target}`",
        line.span,
        notes=[*words.why_not(line, next(iter(alive))), f"`{line.target}` carries {irreps_text(graph.group, sorted(alive, key=graph.group.edge_key))}"],
        help="leave the line out",
    )


def _unequal_sizes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    group = graph.group
    wanted = _wanted(graph, fusion, line)
    for irrep, conflict in fusion.couplings[line.number].conflicts.items():
        if irrep in wanted:
            (size, irrep_a), (other, irrep_b) = conflict.first, conflict.second
            operand = next(op for op in reversed(line.operands) if conflict.index in op.channels)
            yield diagnose(
                "F1020",
                f"the index `{conflict.index}` has {size:,} channels on {group.format(irrep_a)} "
                f"and {other:,} on {group.format(irrep_b)}",
                operand.span,
                notes=["edges that share an index have equal multiplicities, in every pair of blocks that couple"],
                help="use two indices, and a weight that mixes them: `* W[path, u, v]`",
            )
            return


def _wanted(graph: FusionGraph, fusion: Fusion, line: Line) -> set[Irrep]:
    """Irreps that a line may contribute, whether or not its sizes are in order."""
    output = graph.output_table.get(line.target)
    if output is None:
        return _admitted(graph, fusion, line)
    irreps = set(fusion.couplings[line.number].irreps)
    if output.space is not None:
        return irreps & {block.irrep for block in output.space.blocks}
    return {irrep for irrep in irreps if output.restriction is None or output.restriction.admits(graph.group, irrep)}


def _unweighed_paths(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    """A plain space adds paths up: they must be weighed, or there must be one only for each irrep."""
    if line.keeps or line.sums_paths or graph.keeps_paths(line.target):
        return
    coupling = fusion.couplings[line.number]
    crowded = [irrep for irrep in sorted(coupling.irreps & fusion.alive[line.target], key=graph.group.edge_key) if coupling.count(irrep) > 1]
    if not crowded:
        return
    name, group = line.target, graph.group
    indices = "".join(f", {index}" for index in line.channels)
    bracket = ", ".join(dict.fromkeys((*line.channels, *line.summed)))
    weigh = f"`* W[path{', ' + bracket if bracket else ''}]`"
    is_output = name in graph.output_table
    keep = f"keep them apart: `-> {name}[path{indices}]`" if is_output else "give the line an edge of its own"
    yield diagnose(
        "F1027",
        f"{coupling.count(crowded[0]):,} paths lead into {group.format(crowded[0])} of `{name}`, and nothing tells them apart",
        line.target_span,
        notes=[f"more than one path leads into {irreps_text(group, crowded)}"],
        help=f"weigh the paths: {weigh}, or {keep}",
    )


def _target_sizes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    output = graph.output_table.get(line.target)
    if output is not None and output.space is not None:
        yield from _declared_sizes(graph, fusion, line, output)
        return
    coupling, restriction = fusion.couplings[line.number], graph.restriction_table.get(line.target)
    if output is not None:
        restriction = output.restriction
    for (irrep, binding), _ in coupling.counts.items():
        if irrep not in fusion.alive[line.target]:
            continue
        mul = restriction.multiplicities.get(irrep) if restriction is not None else None
        if target_sizes(line, coupling.indices, binding, mul) is None:
            known = {index for index, size in zip(coupling.indices, binding, strict=True) if size is not None}
            new = [index for index in line.channels if index not in known]
            name = graph.group.format(irrep)
            if mul is None and new:
                example = f"in 64x{name}" if line.target not in graph.output_table else f"-> 64x{name}"
                yield diagnose(
                    "F1022",
                    f"nothing says how many channels `{new[0]}` has for {name} of `{line.target}`",
                    line.target_span,
                    notes=["an index that is new on the right takes its size from the right edge's multiplicity"],
                    help=f"write the multiplicity: `{example}`",
                )
            else:
                span = restriction.span if restriction is not None else line.target_span
                yield _misfit(graph, line, irrep, binding, coupling.indices, mul or 0, span)
            return


def _misfit(
    graph: FusionGraph,
    line: Line,
    irrep: Irrep,
    binding: tuple[int | None, ...],
    indices: tuple[str, ...],
    mul: int,
    span: Span,
) -> Diagnostic:
    known = dict(zip(indices, binding, strict=True))
    sizes = [f"{index} = {known[index]:,}" for index in line.channels if known.get(index) is not None]
    made = prod(known[index] or 1 for index in line.channels if index in known)
    name = graph.group.format(irrep)
    return diagnose(
        "F1029",
        f"{name} of `{line.target}` has multiplicity {mul:,}, and this line makes {made:,}",
        line.target_span,
        notes=[f"the channels of `{line.target}`: {', '.join(sizes) or 'none'}"],
        help=f"declare {made}x{name}, or mix the channels: `* W[path, u, v]` with `v` on the right",
        related=[Label(span, f"multiplicity {mul:,}")],
    )


def _declared_sizes(graph: FusionGraph, fusion: Fusion, line: Line, output: Output) -> Iterator[Diagnostic]:
    """The multiplicities of a declared output: each path fills its block, or, where paths are kept, all together do."""
    coupling = fusion.couplings[line.number]
    for block in output.space.blocks:  # type: ignore[union-attr]
        bindings = [(b, count) for (irrep, b), count in coupling.counts.items() if irrep == block.irrep]
        if line.keeps:
            yield from _kept_sizes(graph, line, block, bindings, coupling.indices)
            continue
        for binding, _ in bindings:
            if target_sizes(line, coupling.indices, binding, block.mul) is None:
                yield _misfit(graph, line, block.irrep, binding, coupling.indices, block.mul, block.span)
                return


def _kept_sizes(
    graph: FusionGraph,
    line: Line,
    block: Block,
    bindings: list[tuple[tuple[int | None, ...], int]],
    indices: tuple[str, ...],
) -> Iterator[Diagnostic]:
    total = 0
    for binding, count in bindings:
        sizes = target_sizes(line, indices, binding, None)
        if sizes is None:
            yield diagnose(
                "F1022",
                f"nothing says how many channels each kept path of `{line.target}` has",
                line.target_span,
                notes=["where paths are kept, the declared multiplicity is shared by all of them"],
                help="put the index on an edge on the left, or sum the paths",
            )
            return
        total += count * prod(sizes)
    if bindings and total != block.mul:
        name = graph.group.format(block.irrep)
        paths = sum(count for _, count in bindings)
        yield diagnose(
            "F1029",
            f"{name} of `{line.target}` has multiplicity {block.mul:,}, and its {paths:,} kept paths make {total:,}",
            line.target_span,
            help=f"declare {total}x{name}, or let the output be inferred: `-> *`",
            related=[Label(block.span, f"multiplicity {block.mul:,}")],
        )


def _weight_sizes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    for weight in line.weights:
        shapes = list(weight_shapes(graph, fusion, line, weight))
        if not weight.has_path and len({shape for shape, _ in shapes}) > 1:
            listed = sorted({shape for shape, _ in shapes})
            yield diagnose(
                "F1028",
                f"the weight `{weight.name}` would need two shapes: {list(listed[0])} and {list(listed[1])}",
                weight.span,
                notes=["without `path`, one weight serves all paths, so its indices have one size for all of them"],
                help=f"write `{weight.name}[{', '.join(('path', *weight.channels))}]`",
            )
            continue
        total = sum(prod(shape) * count for shape, count in shapes) if weight.has_path else prod(shapes[0][0])
        rows = prod(graph.index_legs[row].size for row in weight.rows)
        if total * rows > limits.MAX_WEIGHTS:
            yield limits.too_many_weights(weight.span, total * rows, weight.name)


def weight_shapes(
    graph: FusionGraph, fusion: Fusion, line: Line, weight: Weight
) -> Iterator[tuple[tuple[int, ...], int]]:
    """The shapes that a weight's bracket has on the line's paths, each with the number of such paths."""
    coupling, output = fusion.couplings[line.number], graph.output_table.get(line.target)
    restriction = graph.restriction_table.get(line.target)
    for (irrep, binding), count in coupling.counts.items():
        if irrep not in fusion.alive[line.target]:
            continue
        muls: list[int | None] = [restriction.multiplicities.get(irrep) if restriction is not None else None]
        if output is not None and output.space is not None:
            muls = [None if line.keeps else block.mul for block in output.space.blocks if block.irrep == irrep]
        for mul in muls:
            sizes = dict(zip(coupling.indices, binding, strict=True))
            sizes |= dict(zip(line.channels, target_sizes(line, coupling.indices, binding, mul) or (), strict=False))
            yield tuple(sizes.get(index) or 0 for index in weight.channels), count


# --- several lines, and the whole ----------------------------------------------------------------------------------


def _uneven_sums(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    """Paths and lines that add up in a plain edge without declared multiplicities have equal channels."""
    for edge, writers in graph.writers.items():
        output = graph.output_table.get(edge)
        declared = output is not None and output.space is not None
        if declared or edge in fusion.poisoned or graph.keeps_paths(edge) or any(line.keeps for line in writers):
            continue
        first: dict[Irrep, tuple[tuple[int, ...], Line]] = {}
        for line in writers:
            clash = _uneven_line(graph, fusion, line, first) if fusion.known(line) else None
            if clash is not None:
                yield clash
                break


def _uneven_line(
    graph: FusionGraph, fusion: Fusion, line: Line, first: dict[Irrep, tuple[tuple[int, ...], Line]]
) -> Diagnostic | None:
    coupling, restriction = fusion.couplings[line.number], graph.restriction_table.get(line.target)
    for irrep, binding in coupling.counts:
        mul = restriction.multiplicities.get(irrep) if restriction is not None else None
        sizes = target_sizes(line, coupling.indices, binding, mul)
        if sizes is None or irrep not in fusion.alive[line.target]:
            continue
        before, other = first.setdefault(irrep, (sizes, line))
        if before != sizes:
            name = graph.group.format(irrep)
            return diagnose(
                "F1020",
                f"paths with {_channels(before)} and with {_channels(sizes)} would add up in {name} of `{line.target}`",
                line.target_span,
                notes=["what is added up has equal multiplicities"],
                help="mix the channels to one size with a weight, or keep the paths apart",
                related=[Label(other.target_span, "the other line")] if other is not line else (),
            )
    return None


def _channels(sizes: tuple[int, ...]) -> str:
    return f"{' x '.join(f'{size:,}' for size in sizes)} channels" if sizes else "one channel"


def _overflows(fusion: Fusion) -> Iterator[Diagnostic]:
    for line, problem in fusion.overflow:
        if isinstance(problem, TooManyPaths):
            yield limits.too_many_paths(line.span, 10**200, "this line")
        else:
            yield limits.too_many_states(line.span)


def _too_many_paths(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    counts = {
        line.number: count_line_paths(graph, fusion, line)
        for line in graph.lines
        if fusion.known(line) and lists_paths(graph, line)
    }
    total = sum(counts.values())
    if total > limits.MAX_PATHS:
        worst = max(counts, key=counts.__getitem__)
        line = graph.lines_by_number[worst]
        what = "this line" if counts[worst] > limits.MAX_PATHS else f"the diagram `{graph.name}`"
        yield limits.too_many_paths(line.span, max(counts[worst], total) if what != "this line" else counts[worst], what)

"""The rules that need angular momentum (F2xxx), and those of sizes that need to know the paths: one function a rule."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sized
from dataclasses import replace
from fractions import Fraction
from math import prod

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.channel_sizes import edge_mistakes, two_indices, weight_mistakes
from fusionc.diagram.coupled_fragments import alive_wires, inner_wires
from fusionc.diagram.fusion import Fusion, TooManyPaths, count_line_paths, fuse, lists_paths, target_sizes
from fusionc.diagram.impossible import impossible_vertex
from fusionc.diagram.ir import Block, FusionGraph, Line, Output, Restriction
from fusionc.diagram.line_words import Words, blocks_text, irreps_text, nearest, weighing
from fusionc.language.diagnostics import (
    Advice,
    Diagnostic,
    Edit,
    Label,
    Repair,
    diagnose,
    instead,
    without,
    without_term,
)
from fusionc.language.source import Span

FEW_LINES = 200  # a longer diagram is not analysed again to word a repair

NOT_COMPUTED = "what reaches no output has no paths and no weights, and is not computed"
ZERO_ON_WIRES = (
    "the vertices of its wire do not allow it, or it is zero by Schur's lemma: what goes in is not what comes out; "
    "so it has no paths and no weights"
)


def check(graph: FusionGraph, fusion: Fusion) -> tuple[Diagnostic, ...]:
    """Everything that angular momentum and multiplicities say against a diagram."""
    found: list[Diagnostic] = [*_overflows(fusion)]
    known, in_order = _sound_lines(graph, fusion)
    found += in_order
    found += _always_zero_outputs(graph, fusion, known)
    found += _uneven_sums(graph, fusion, known)
    found += _factors_along_trees(graph)
    if not found and not graph.poisoned and not graph.excused:
        found += [*_dead_edge_irreps(graph, fusion), *_dead_leg_irreps(graph, fusion)]
    if not any(diagnostic.is_error for diagnostic in found):
        found += _too_many_paths(graph, fusion)
        return tuple(found)
    return tuple(diagnostic for diagnostic in found if diagnostic.code != "F2007")  # the error says more


def _factors_along_trees(graph: FusionGraph) -> Iterator[Diagnostic]:
    """The factors of lines that one tree runs through multiply; each by itself is in range."""
    totals: dict[int, Fraction] = {}
    for line in graph.ordered():
        below = [graph.subtree(operand.edge) for operand in line.operands]
        total = line.factor * prod((totals[child.number] for child in below if child is not None), start=Fraction(1))
        if limits.is_in_range(line.factor) and not limits.is_in_range(total):
            yield limits.factor_out_of_range(line.span)
        totals[line.number] = total if limits.is_in_range(total) else Fraction(1)


def _sound_lines(graph: FusionGraph, fusion: Fusion) -> tuple[set[int], list[Diagnostic]]:
    """What is wrong with single lines and restrictions, and the numbers of the lines that start from sound edges.

    Goes from the legs to the outputs: what depends on an edge with an error is not judged.
    """
    found: list[Diagnostic] = []
    known: set[int] = set()
    broken: set[str] = set()
    for line in graph.ordered():
        if fusion.known(line) and all(operand.edge not in broken for operand in line.operands):
            known.add(line.number)
            problems = () if line.target in graph.poisoned else check_line(graph, fusion, line)
        else:
            problems = ()
            broken.add(line.target)
        writers = graph.writers[line.target]
        if line.number == writers[-1].number and all(writer.number in known for writer in writers):
            problems += tuple(_named_irreps(graph, fusion, line.target))
        if any(problem.is_error for problem in problems):
            broken.add(line.target)
        found += problems
    return known, found


def check_line(graph: FusionGraph, fusion: Fusion, line: Line) -> tuple[Diagnostic, ...]:
    """The first rule that a line breaks; the later ones presuppose the earlier."""
    for rule in (
        _impossible_wires,
        _nothing_allowed,
        _adds_nothing,
        _unequal_sizes,
        _unweighed_paths,
        edge_mistakes,
        weight_mistakes,
    ):
        found = tuple(rule(graph, fusion, line))
        if found:
            return found
    return ()


# --- outputs and internal irreps ---------------------------------------------------------------------------------


def _always_zero_outputs(graph: FusionGraph, fusion: Fusion, known: Container[int]) -> Iterator[Diagnostic]:
    for output in graph.outputs:
        writers = graph.writers.get(output.name, ())
        if not writers or output.name in fusion.poisoned or not all(line.number in known for line in writers):
            continue
        if any(line.fragment is not None and not fusion.couplings[line.number].irreps for line in writers):
            continue  # (one of its vertices allows nothing, which is said there)
        reached = {irrep for line in writers for irrep in fusion.couplings[line.number].irreps}
        if output.space is None:
            if not fusion.alive.get(output.name):
                yield _nothing_reaches(graph, fusion, output, writers)
            continue
        missing: dict[tuple[int, int], list[Block]] = {}
        for block in output.space.blocks:
            if block.irrep not in reached:
                missing.setdefault((block.span.start, block.span.end), []).append(block)
        for blocks in missing.values():
            yield _always_zero(graph, fusion, output, blocks, writers, reached)


def _nothing_reaches(graph: FusionGraph, fusion: Fusion, output: Output, writers: Iterable[Line]) -> Diagnostic:
    """An inferred output whose restriction admits nothing."""
    words, group = Words(graph, fusion), graph.group
    reached = {irrep for line in writers for irrep in fusion.couplings[line.number].irreps}
    smallest = min(reached, key=group.edge_key, default=None)
    return diagnose(
        "F2002",
        f"nothing reaches the output `{output.name}`",
        output.span,
        notes=[*dict.fromkeys(words.contents(line) for line in writers), "the restriction allows none of these"],
        help=_only(output, group.format(smallest)) if smallest is not None else None,
    )


def _only(output: Output, text: str) -> Advice:
    """Another restriction of an inferred output."""
    repairs = [instead(output.restriction.span, text, f"the output carries {text}")] if output.restriction else []
    return Advice(f"write `-> * in {text}`", tuple(repairs))


def _always_zero(
    graph: FusionGraph,
    fusion: Fusion,
    output: Output,
    blocks: list[Block],
    writers: tuple[Line, ...],
    reached: set[Irrep],
) -> Diagnostic:
    group, words = graph.group, Words(graph, fusion)
    irreps = tuple(dict.fromkeys(block.irrep for block in blocks))
    verb = "is" if len(irreps) == 1 else "are"
    notes = list(dict.fromkeys(note for line in writers for note in words.why_not(line, irreps[0])))
    return diagnose(
        "F2002",
        f"{irreps_text(group, irreps)} of the output `{output.name}` {verb} always zero",
        blocks[0].span,
        label="no path leads here",
        notes=notes,
        help=without_zeros(group, output, irreps, reached),
        related=[Label(line.span, "written here") for line in writers[:1]],
    )


def without_zeros(group: Group, output: Output, zero: tuple[Irrep, ...], reached: set[Irrep]) -> Advice:
    """The repair: the output's space without what is always zero, or with what does reach it."""
    if output.space is None:
        rest = irreps_text(group, sorted(reached, key=group.edge_key), most=len(reached))
        return Advice(f"write `{_declared(output)} * in {rest}`" if reached else "leave it out")
    blocks = output.space.blocks
    left = [block for block in blocks if block.irrep in reached]
    if left:
        names, rest = irreps_text(group, zero), blocks_text(group, left)
        text = f"leave {names} out of the output: `{_declared(output)} {rest}`"
        return _redeclared(output, text, rest, f"{names} of the output `{output.name}` is left out")
    candidate = nearest(group, zero[0], reached)
    if candidate is None:
        return Advice("leave it out")
    written = blocks_text(group, [Block(candidate, blocks[0].mul, blocks[0].span)])
    effect = f"the output `{output.name}` carries {group.format(candidate)} instead of {group.format(zero[0])}"
    return _redeclared(output, f"write `{_declared(output)} {written}`", written, effect)


def _redeclared(output: Output, text: str, space: str, effect: str) -> Advice:
    """An output's space written anew."""
    return Advice(text, (instead(output.type_span, space, effect),) if output.type_span is not None else ())


def _declared(output: Output) -> str:
    return "->" if output.name == "out" else f"{output.name}:"


def _named_irreps(graph: FusionGraph, fusion: Fusion, edge: str) -> Iterator[Diagnostic]:
    """Irreps that a restriction writes out: each must be reachable."""
    restriction = graph.restriction_table.get(edge)
    if restriction is not None and edge not in fusion.poisoned:
        for irrep, span in restriction.named:
            yield from _named_irrep(graph, fusion, edge, graph.writers[edge], irrep, span)


def _named_irrep(
    graph: FusionGraph, fusion: Fusion, edge: str, writers: tuple[Line, ...], irrep: Irrep, span: Span
) -> Iterator[Diagnostic]:
    words, name = Words(graph, fusion), graph.group.format(irrep)
    if not any(irrep in fusion.couplings[line.number].irreps for line in writers):
        notes = words.why_not(writers[0], irrep)
        if any(words.vanishes(line, irrep) for line in writers):
            message = f"{name} vanishes: the operands of `{edge}` are equal"
            repair = without_term(span)
            yield diagnose("F2007", message, span, notes=notes, help="leave it out", repairs=[repair] if repair else ())
        else:
            yield _unreachable(graph, words, writers[0], irrep, span, notes)


def _dead_edge_irreps(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    """Irreps that a restriction writes out should reach an output, and those of a wire stand in a path."""
    on_wires = _alive_on_wires(graph, fusion)
    for edge, restriction in graph.restrictions:
        alive = on_wires.get(edge, fusion.alive.get(edge))
        dead = [(irrep, span) for irrep, span in restriction.named if alive and irrep not in alive]
        if dead:
            words = irreps_text(graph.group, [irrep for irrep, _ in dead])
            written = dict(restriction.allowed or ())
            left = [(written.get(irrep), irrep) for irrep in sorted(alive or (), key=graph.group.edge_key)]
            kept = " + ".join(f"{'' if mul is None else f'{mul}x'}{graph.group.format(irrep)}" for mul, irrep in left)
            yield diagnose(
                "F2004",
                f"{words} of the edge `{edge}` {_reaches(dead)} no output",
                dead[0][1],
                related=[Label(span, "nor does this") for _, span in dead[1:]],
                notes=[ZERO_ON_WIRES if edge in on_wires else NOT_COMPUTED],
                help=f"restrict the edge to what is used: `in {kept}`",
                repairs=[instead(restriction.span, kept)],
            )


def _alive_on_wires(graph: FusionGraph, fusion: Fusion) -> dict[str, frozenset[Irrep]]:
    """For each wire inside of a loop the irreps that it has in some path."""
    alive: dict[str, frozenset[Irrep]] = {}
    labelled = {edge for edge, restriction in graph.restrictions if restriction.named}
    for line in graph.lines:
        if line.fragment is not None and not labelled.isdisjoint(inner_wires(line.fragment)):
            irreps = [list(fusion.reachable[operand.edge]) for operand in line.operands]
            alive |= alive_wires(graph.group, line.fragment, irreps, fusion.alive.get(line.target, ()))
    return alive


def _reaches(subjects: Sized) -> str:
    return "reaches" if len(subjects) == 1 else "reach"


def _unreachable(
    graph: FusionGraph, words: Words, line: Line, irrep: Irrep, span: Span, notes: Iterable[str]
) -> Diagnostic:
    group = graph.group
    partners = _partners(graph, words, line, irrep)
    help = _reachable_instead(graph, words, line, irrep, span)
    if partners:
        couple = f"couple with {partners} edge first"
        help = Advice(f"{help.text}, or {couple}", help.repairs) if help is not None else Advice(couple)
    return diagnose(
        "F2001",
        f"{words.operands(line)} does not contain {group.format(irrep)}",
        span,
        label="not reachable",
        notes=notes,
        help=help,
    )


def _reachable_instead(graph: FusionGraph, words: Words, line: Line, irrep: Irrep, span: Span) -> Advice | None:
    """A restriction without an irrep that cannot be reached; where it has no other that can, with the nearest one."""
    group, restriction = graph.group, graph.restriction_table[line.target]
    everything = {found for one in graph.writers[line.target] for found in words.fusion.couplings[one.number].irreps}
    name, repair = group.format(irrep), None
    if any(other in everything for other in restriction.multiplicities):
        repair = without_term(span, f"{name} is left out")
    if repair is not None:
        (edit,) = repair.edits
        source, start = edit.span.source.text, restriction.span.start
        rest = source[start : edit.span.start] + source[edit.span.end : restriction.span.end]
        return Advice(f"leave it out: `{'in ' * (line.target_span.end < start)}{rest}`", (repair,))
    candidate = nearest(group, irrep, _useful(graph, line.target, words.fusion.couplings[line.number].irreps))
    if candidate is None:
        return None  # nothing that the line contains would reach an output
    text = group.format(candidate)
    written = span.text.removesuffix(name) + text if span.text.endswith(name) else text
    return Advice(f"write `in {written}`", (instead(span, written, f"{text} is written for {name}"),))


def _useful(graph: FusionGraph, edge: str, reached: frozenset[Irrep]) -> frozenset[Irrep]:
    """Of the irreps that an edge can have those that would reach an output, if there are any: the edge set free."""
    if len(graph.lines) > FEW_LINES:
        return reached
    restrictions = tuple((name, restriction) for name, restriction in graph.restrictions if name != edge)
    free = fuse(replace(graph, restrictions=restrictions))
    return reached & free.alive.get(edge, frozenset())


def _partners(graph: FusionGraph, words: Words, line: Line, irrep: Irrep) -> str:
    """Irreps with which the last operand would reach the wanted one: `a 2e or 4e`."""
    group = graph.group
    last = words.fusion.reachable[line.operands[-1].edge] if len(line.operands) > 1 else ()
    if len(last) != 1:
        return ""
    options = [found for found, _ in group.product(irrep, last[0]) if found != group.trivial]
    names = [group.format(option) for option in options]
    return f"a {names[0]} or {names[-1]}" if len(names) > 1 else f"a {names[0]}" if names else ""


def _dead_leg_irreps(graph: FusionGraph, fusion: Fusion) -> Iterator[Diagnostic]:
    for leg in graph.tensor_legs.values():
        alive = fusion.alive.get(leg.name)
        if not alive or leg.name in fusion.poisoned:
            continue
        dead = [block for block in leg.space.blocks if block.irrep not in alive]
        if dead:
            irreps = dict.fromkeys(block.irrep for block in dead)
            spans = dict.fromkeys(block.span for block in dead)
            left = blocks_text(graph.group, [block for block in leg.space.blocks if block.irrep in alive])
            yield diagnose(
                "F2005",
                f"{irreps_text(graph.group, irreps)} of the leg `{leg.name}` {_reaches(irreps)} no output",
                dead[0].span,
                related=[Label(span, "nor does this") for span in list(spans)[1:]],
                notes=["nothing reads these components"],
                help=f"declare `{leg.name}: {left}`",
                repairs=[instead(leg.space.span, left, f"the operand `{leg.name}` has fewer components")]
                if leg.space.span is not None
                else (),
            )


# --- one line ----------------------------------------------------------------------------------------------------


def _admitted(graph: FusionGraph, fusion: Fusion, line: Line) -> set[Irrep]:
    irreps = fusion.couplings[line.number].irreps
    restriction = graph.restriction_table.get(line.target)
    if restriction is None:
        return set(irreps)
    return {irrep for irrep in irreps if restriction.admits(graph.group, irrep)}


def _impossible_wires(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    """A split, pair or loop between the operands of a line that allows nothing."""
    if line.fragment is None or fusion.couplings[line.number].irreps:
        return
    leaves = zip(line.fragment.leaves, line.operands, strict=True)
    known = {leaf: fusion.reachable[operand.edge] for leaf, operand in leaves}
    if mistake := impossible_vertex(graph.group, line.fragment.wiring, known):
        yield mistake
    else:
        words = Words(graph, fusion)
        yield diagnose(
            "F2003",
            "no irreps fit on the wires between these operands",
            line.span,
            notes=list(words.spaces(line)),
            help="each vertex allows some, all of them together none: widen a label or a restriction",
        )


def _nothing_allowed(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    restriction = graph.restriction_table.get(line.target)
    if restriction is None or restriction.named or _admitted(graph, fusion, line):
        return
    yield diagnose(
        "F2003",
        f"no irrep of {Words(graph, fusion).operands(line)} is allowed by this restriction",
        restriction.span,
        notes=(Words(graph, fusion).contents(line), *Words(graph, fusion).spaces(line)),
        help=_wider(graph, line.target, restriction, fusion.couplings[line.number].irreps),
    )


def _wider(graph: FusionGraph, edge: str, restriction: Restriction, irreps: frozenset[Irrep]) -> Advice | None:
    """The repair of a restriction that is too narrow: the least that lets something through."""
    smallest = min(_useful(graph, edge, irreps), key=graph.group.edge_key, default=None)
    if smallest is None:
        return None
    text = graph.group.format(smallest)
    written = f"lmax {text.rstrip('eo')}" if restriction.lmax is not None else text
    return Advice(f"write `in {written}`", (instead(restriction.span, written, f"the edge carries {text}"),))


def _adds_nothing(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    alive = fusion.alive.get(line.target, frozenset())
    if not alive or alive & fusion.couplings[line.number].irreps:
        return
    words = Words(graph, fusion)
    carried = irreps_text(graph.group, sorted(alive, key=graph.group.edge_key))
    yield diagnose(
        "F2006",
        f"this line adds nothing to `{line.target}`",
        line.span,
        notes=[*words.why_not(line, min(alive, key=graph.group.edge_key)), f"`{line.target}` carries {carried}"],
        help="leave the line out",
        repairs=[without(line.span, "the line is left out")],
    )


def _unequal_sizes(graph: FusionGraph, fusion: Fusion, line: Line) -> Iterator[Diagnostic]:
    group = graph.group
    wanted = _wanted(graph, fusion, line)
    for irrep, conflict in fusion.couplings[line.number].conflicts.items():
        if irrep in wanted:
            (size, irrep_a, edge_a), (other, irrep_b, edge_b) = conflict.first, conflict.second
            operand = next(op for op in reversed(line.operands) if conflict.index in op.channels)
            yield diagnose(
                "F1020",
                f"the index `{conflict.index}` has {size:,} channels on {group.format(irrep_a)} of `{edge_a}` "
                f"and {other:,} on {group.format(irrep_b)} of `{edge_b}`",
                operand.span,
                notes=["edges that share an index have equal multiplicities, in every pair of blocks that couple"],
                help=two_indices(graph, line, conflict.index),
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
    wanted = sorted(coupling.irreps & fusion.alive[line.target], key=graph.group.edge_key)
    crowded = [irrep for irrep in wanted if coupling.count(irrep) > 1]
    if not crowded:
        return
    name, group = line.target, graph.group
    kept = ", ".join((*line.sites, "path", *line.channels))
    bracket = dict.fromkeys((*line.channels, *line.summed))
    weight, weighed = weighing(line, *(() if line.weights else bracket), path=True)
    output = graph.output_table.get(name)
    many = f"{coupling.count(crowded[0]):,} paths lead into {group.format(crowded[0])} of `{name}`"
    keep, repairs = "give the line an edge of its own", [weighed]
    if output is not None and len(graph.writers[name]) == 1:
        keep = f"keep them apart: `-> {name}[{kept}]`"
        edits = [Edit(line.target_span, f"{name}[{kept}]")]
        if output.space is not None and output.type_span is not None:
            keep, edits = f"{keep} into `*`", [*edits, Edit(output.type_span, "*")]
        repairs.append(Repair(tuple(edits), f"the paths are channels of `{name}`"))
    yield diagnose(
        "F1027",
        f"{many}, and nothing tells them apart",
        line.target_span,
        notes=[f"more than one path leads into {irreps_text(group, crowded)}"],
        help=f"weigh the paths: `* {weight}`, or {keep}",
        repairs=repairs,
    )


# --- several lines, and the whole ----------------------------------------------------------------------------------


def _uneven_sums(graph: FusionGraph, fusion: Fusion, known: Container[int]) -> Iterator[Diagnostic]:
    """Paths and lines that add up in a plain edge without declared multiplicities have equal channels."""
    for edge, writers in graph.writers.items():
        output = graph.output_table.get(edge)
        declared = output is not None and output.space is not None
        if declared or edge in fusion.poisoned or graph.keeps_paths(edge) or any(line.keeps for line in writers):
            continue
        first: dict[Irrep, tuple[tuple[int, ...], Line]] = {}
        for line in writers:
            clash = _uneven_line(graph, fusion, line, first) if line.number in known else None
            if clash is not None:
                yield clash
                break


def _uneven_line(
    graph: FusionGraph, fusion: Fusion, line: Line, first: dict[Irrep, tuple[tuple[int, ...], Line]]
) -> Diagnostic | None:
    coupling = fusion.couplings[line.number]
    for irrep, binding in coupling.counts:
        sizes = target_sizes(line, coupling.indices, binding, graph.multiplicity(line, irrep))
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
            yield limits.too_many_paths(line.span, 10**40, "this line")
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
        yield limits.too_many_paths(line.span, counts[worst] if what == "this line" else total, what)

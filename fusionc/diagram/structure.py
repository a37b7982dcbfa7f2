"""The rules of names and indices (F1xxx) that need no angular momentum: one function a rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from fusionc.diagram.ir import FusionGraph, IndexLeg, Leg, Line, Operand, Output, TensorLeg, Weight
from fusionc.diagram.line_words import carried, weighing, without_restriction
from fusionc.language import syntax
from fusionc.language.diagnostics import Advice, Diagnostic, Edit, Label, Repair, diagnose, instead, without, write
from fusionc.language.resolve import nearest_name
from fusionc.language.source import Span


def _meant_index(weight: Weight, index: str, names: Iterable[str]) -> Advice | None:
    """What a weight's index that stands on no edge may have been meant to be."""
    near = nearest_name(index, ["path", *names])
    if near is None:
        return None
    texts = [near if text == index else text for text in _bracket_texts(weight.span.text)]
    written, effect = _written(weight.name, texts), f"`{near}` is taken for what was meant"
    return Advice(f"did you mean `{near}`?", (instead(weight.span, written, effect),))


def _bracket_texts(text: str) -> list[str]:
    """The indices of a reference as written."""
    return re.findall(r"\w+", re.sub("#.*", "", text.partition("[")[2]))


def _with_index(line: Line, span: Span, text: str, index: str, effect: str) -> Advice:
    """The advice to write an edge with an index, and the index where it has to stand then."""
    more = carried(line, index)
    words = f"write `{text}`" + "".join(f" and `{edit.text.strip()}`" for edit in more)
    return Advice(words, (Repair((Edit(span, text), *more), effect),))


def _written(name: str, indices: Iterable[str]) -> str:
    inside = ", ".join(indices)
    return f"{name}[{inside}]" if inside else name


def check_brackets(vertex: syntax.Vertex, legs: Mapping[str, Leg]) -> tuple[Diagnostic, ...]:
    """The rules of brackets as written, which are asked before their site indices are told from their channels."""
    rules = (_repeated_index(vertex), _path_on_the_left(vertex), _row_as_channel(vertex, legs))
    return next((found for found in map(tuple, rules) if found), ())


def check_line(line: Line, vertex: syntax.Vertex, legs: Mapping[str, Leg]) -> tuple[Diagnostic, ...]:
    """What is wrong with the indices of one line; the first broken rule of each kind."""
    rules = (
        _repeated_index(vertex),
        _path_on_the_left(vertex),
        _path_not_first(line, vertex),
        _row_as_channel(vertex, legs),
        _leg_brackets(line, legs),
        _unweighted_sums(line),
        _sourceless_indices(line),
        _sizeless_weight_indices(line, legs),
    )
    for rule in rules:
        found = tuple(rule)
        if found:
            return found
    return ()


def check_indices(line: Line, legs: Mapping[str, Leg]) -> tuple[Diagnostic, ...]:
    """The rules of indices for a line that was made of several: the first that is broken."""
    rules = (
        _leg_brackets(line, legs),
        _unweighted_sums(line),
        _sourceless_indices(line),
        _sizeless_weight_indices(line, legs),
    )
    return next((found for found in map(tuple, rules) if found), ())


def _brackets(vertex: syntax.Vertex) -> Iterator[tuple[str, tuple[syntax.Name, ...]]]:
    for ref in vertex.left:
        yield ref.name.text, ref.indices or ()
    for target in vertex.right:
        yield target.edge.name.text, target.edge.indices or ()
    for factor in vertex.factors:
        if isinstance(factor, syntax.WeightRef):
            yield factor.name.text, factor.indices or ()


def _repeated_index(vertex: syntax.Vertex) -> Iterator[Diagnostic]:
    for name, indices in _brackets(vertex):
        seen: set[str] = set()
        for index in indices:
            if index.text in seen:
                message = f"the index `{index.text}` stands twice on `{name}`"
                yield diagnose("F1024", message, index.span, help="a diagonal has no channels of its own; rename one")
            seen.add(index.text)


def _path_on_the_left(vertex: syntax.Vertex) -> Iterator[Diagnostic]:
    for ref in vertex.left:
        for index in ref.indices or ():
            if index.text == "path":
                yield diagnose(
                    "F1031",
                    "`path` stands on the left",
                    index.span,
                    notes=["an internal edge keeps its paths apart without saying so, unless a weight sums them"],
                    help="leave `path` out of this bracket",
                    repairs=[instead(ref.span, _written(ref.name.text, _others(ref, "path")))],
                )


def _path_not_first(line: Line, vertex: syntax.Vertex) -> Iterator[Diagnostic]:
    """`path` stands before all channels, behind the site indices."""
    target = vertex.right[0].edge
    for place, index in enumerate(target.indices or ()):
        if index.text == "path" and place > len(line.sites):
            head, rest = (*line.sites, "path"), [text for text in _others(target, "path") if text not in line.sites]
            help = f"write `{_written(target.name.text, (*head, '…'))}`: kept paths are path-major"
            repair = instead(target.span, _written(target.name.text, (*head, *rest)))
            yield diagnose("F1031", "`path` does not stand first", index.span, help=help, repairs=[repair])


def _others(ref: syntax.EdgeRef, index: str) -> list[str]:
    return [other.text for other in ref.indices or () if other.text != index]


def _row_as_channel(vertex: syntax.Vertex, legs: Mapping[str, Leg]) -> Iterator[Diagnostic]:
    edges = [*vertex.left, *(target.edge for target in vertex.right)]
    for ref in edges:
        for index in ref.indices or ():
            if isinstance(legs.get(index.text), IndexLeg):
                message = f"the index leg `{index.text}` stands in an edge's bracket"
                help = f"it selects rows of weights: `* W[{index.text}, path]`"
                yield diagnose("F1030", message, index.span, help=help)
                return


def _leg_brackets(line: Line, legs: Mapping[str, Leg]) -> Iterator[Diagnostic]:
    """A leg has one multiplicity, hence one channel index, or none where every multiplicity is one."""
    proposed: dict[str, int] = {}
    for operand in line.operands:
        leg = legs.get(operand.edge)
        if not isinstance(leg, TensorLeg):
            continue
        if len(operand.channels) > 1:
            message = f"the leg `{leg.name}` has one multiplicity, and {len(operand.channels)} indices here"
            message = message if leg.domain is None else message.replace("indices", "channel indices")
            yield diagnose("F1026", message, operand.span, help=_one_channel(line, operand))
        if not operand.channels:
            wide = next((block for block in leg.space.blocks if block.mul > 1), None)
            if wide is not None:
                index = _fitting_index(line, legs, wide.mul, proposed)
                proposed[index] = wide.mul
                yield _missing_index(leg, wide.mul, operand, index, line)


def _one_channel(line: Line, operand: Operand) -> Advice:
    """An operand with the first of its channel indices alone; what stands nowhere else is left out of the line."""
    elsewhere = {index for other in line.operands if other is not operand for index in other.channels}
    gone = {index for index in operand.channels[1:] if index not in elsewhere}
    edits = [Edit(operand.span, _written(operand.edge, (*operand.sites, operand.channels[0])))]
    if gone & {*line.channels}:
        edits.append(Edit(line.target_span, _written(line.target, [one for one in line.indices if one not in gone])))
    for weight in line.weights:
        if gone & {*weight.channels}:
            texts = [text for text in _bracket_texts(weight.span.text) if text not in gone]
            edits.append(Edit(weight.span, _written(weight.name, texts)))
    texts = [f"`{edit.text}`" for edit in edits]
    named = ", ".join(f"`{index}`" for index in operand.channels[1:])
    return Advice(f"write {' and '.join(texts)}", (Repair(tuple(edits), f"{named} is left out"),))


def _missing_index(leg: TensorLeg, mul: int, operand: Operand, index: str, line: Line) -> Diagnostic:
    """F1025: an edge without a channel index has multiplicity one."""
    without = "with site indices alone" if operand.sites else "without a bracket"
    return diagnose(
        "F1025",
        f"`{leg.name}` has multiplicity {mul:,} and no channel index here",
        operand.span,
        notes=[f"an edge written {without} has multiplicity 1"],
        help=_with_index(
            line,
            operand.span,
            _written(leg.name, (*operand.sites, index)),
            index,
            f"`{index}` is chosen for the channels of `{leg.name}`",
        ),
        related=[Label(leg.span, "declared here")],
    )


def _fitting_index(line: Line, legs: Mapping[str, Leg], mul: int, proposed: Mapping[str, int]) -> str:
    """A channel index that may have so many channels: another leg's of as many, or one that the line does not use and
    that is not proposed for others."""
    used = {index for operand in line.operands for index in operand.channels}
    used |= {index for index, other in proposed.items() if other != mul}
    for operand in line.operands:
        leg = legs.get(operand.edge)
        as_many = not isinstance(leg, TensorLeg) or {block.mul for block in leg.space.blocks} == {mul}
        if len(operand.channels) == 1 and as_many:
            return operand.channels[0]
    letters: Iterator[str] = (letter for letter in "uvwstabc" if letter not in used)
    return next(letters, "k")


def _unweighted_sums(line: Line) -> Iterator[Diagnostic]:
    weighed = {index for weight in line.weights for index in weight.channels}
    for index in line.summed:
        if index not in weighed:
            operand = next(operand for operand in line.operands if index in operand.channels)
            right = ", ".join((*line.indices, index))
            text, repair = weighing(line, index)
            yield diagnose(
                "F1021",
                f"the index `{index}` is summed, and no weight carries it",
                operand.span,
                notes=["an index that stands on the left and not on the right is summed, and must appear in a weight"],
                help=f"weigh it: `* {text}`, or keep it: `-> {line.target}[{right}]`",
                repairs=[repair],
            )


def _sourceless_indices(line: Line) -> Iterator[Diagnostic]:
    left = {index for operand in line.operands for index in operand.channels}
    weighed = {index for weight in line.weights for index in weight.channels}
    for index in line.channels:
        if index not in left and index not in weighed:
            text, repair = weighing(line, index)
            yield diagnose(
                "F1023",
                f"the index `{index}` stands on the right alone",
                line.target_span,
                notes=["an index that is new on the right must appear in a weight"],
                help=f"write `* {text}`, or put `{index}` on an edge on the left",
                repairs=[repair],
            )


def _sizeless_weight_indices(line: Line, legs: Mapping[str, Leg]) -> Iterator[Diagnostic]:
    sized = {*line.channels, *(index for operand in line.operands for index in operand.channels)}
    for weight in line.weights:
        for index in weight.channels:
            if index not in sized:
                yield diagnose(
                    "F1022",
                    f"the index `{index}` of `{weight.name}` stands on no edge of this line",
                    weight.span,
                    notes=["an index takes its size from an edge that carries it"],
                    help=_meant_index(weight, index, [leg.name for leg in legs.values() if isinstance(leg, IndexLeg)])
                    or Advice(
                        f"leave `{index}` out: `* {_without(weight, index)}`, or put it on the right edge",
                        (instead(weight.span, _without(weight, index), f"`{index}` is left out"),),
                    ),
                )


def _without(weight: Weight, index: str) -> str:
    kept = (*weight.head, *(("path",) if weight.has_path else ()), *(name for name in weight.channels if name != index))
    return f"{weight.name}[{', '.join(kept)}]" if kept else weight.name


def check_structure(graph: FusionGraph, incomplete: bool) -> tuple[tuple[Diagnostic, ...], frozenset[str]]:
    """What is wrong with the diagram as a graph, and the edges of which nothing more should be said."""
    cycle = graph.cycle()
    found = list(_cycle(cycle))
    broken = {line.target for line in cycle}
    for rule in (_edges_used_twice, _ranks, _unaddable):
        for edge, diagnostic in rule(graph):
            if edge not in broken:
                found.append(diagnostic)
                broken.add(edge)
    if not incomplete:
        found += [*_loose_ends(graph), *_unused_legs(graph)]
    return tuple(found), frozenset(broken)


def _loose_ends(graph: FusionGraph) -> Iterator[Diagnostic]:
    """Outputs that no line writes and edges that nothing uses: where there are both, one was meant to be the other."""
    silent = graph.poisoned | graph.excused
    outputs = {o.name: o for o in graph.outputs if o.name not in graph.writers and o.name not in silent}
    for edge, writers in graph.writers.items():
        if edge not in graph.output_table and edge not in graph.readers and edge not in silent:
            meant = nearest_name(edge, list(outputs)) or next(iter(outputs), None)
            yield _dangling_edge(graph, edge, writers[0], outputs.pop(meant) if meant is not None else None)
    for output in outputs.values():
        help = f"add a line that ends in `-> {output.name}`"
        yield diagnose("F1010", f"no line writes the output `{output.name}`", output.span, help=help)


def _dangling_edge(graph: FusionGraph, edge: str, line: Line, meant: Output | None) -> Diagnostic:
    if meant is not None:
        notes = [f"no line writes the output `{meant.name}`"]
        text = f"{meant.name}{line.target_span.text.removeprefix(edge)}"
        restriction = graph.restriction_table.get(edge)
        edits = [Edit(line.target_span, text)]
        if restriction is not None and restriction.span.start > line.target_span.end:
            edits.append(without_restriction(restriction.span))
        help = Advice(f"write `-> {text}`", (Repair(tuple(edits), f"the line ends in `{meant.name}`"),))
    else:
        notes = [f"the outputs of this diagram are: {', '.join(f'`{name}`' for name in graph.output_table)}"]
        repair = without(line.span, "the line is left out")
        help = Advice("use it on the left of a line, or leave this line out", (repair,))
    related = [Label(meant.span, "never written")] if meant is not None else []
    message = f"nothing uses the edge `{edge}`"
    return diagnose("F1011", message, line.target_span, notes=notes, help=help, related=related)


def _unused_legs(graph: FusionGraph) -> Iterator[Diagnostic]:
    factors = {weight.name for line in graph.lines for weight in line.weights}
    rows = {row for line in graph.lines for weight in line.weights for row in weight.rows}
    used = {*graph.readers, *factors, *rows, *graph.poisoned, *graph.excused}
    for leg in graph.legs if graph.lines else ():  # of an empty diagram its outputs are what is missing
        if leg.name not in used:
            repair = _without_leg(leg)
            help = Advice("leave it out of the header", (repair,) if repair is not None else ())
            yield diagnose("F1012", f"nothing uses the leg `{leg.name}`", leg.span, help=help)


def _without_leg(leg: Leg) -> Repair | None:
    """A leg left out of the header, with the comma before or behind it; None where comments stand between."""
    text, depth, end = leg.span.source.text, 0, leg.span.end
    while end < len(text) and (depth or text[end] not in ",)"):
        depth += (text[end] in "([") - (text[end] in ")]")
        end += 1
    before = re.compile(r",?\s*\Z").search(text, max(0, leg.span.start - 200), leg.span.start)
    start = before.start() if before is not None and text[end : end + 1] == ")" else leg.span.start
    if text[end : end + 1] == ",":
        end = re.compile(r",[ \t]*").match(text, end).end()  # type: ignore[union-attr]
    whole = leg.span.source.span(start, end)
    return None if "#" in whole.text else instead(whole, "", f"the leg `{leg.name}` is left out")


def _edges_used_twice(graph: FusionGraph) -> Iterator[tuple[str, Diagnostic]]:
    for edge, uses in graph.readers.items():
        if len(uses) > 1 and edge in graph.writers and edge not in graph.poisoned and graph.keeps_paths(edge):
            first, second = (line.operands[position].span for line, position in uses[:2])
            writer = graph.writers[edge][0]
            weighed = weighing(writer, *(() if writer.weights else writer.channels), path=True)
            yield (
                edge,
                diagnose(
                    "F1014",
                    f"the edge `{edge}` is used twice",
                    second,
                    related=[Label(first, "first used here")],
                    notes=["an edge that keeps its paths apart runs from one vertex to one other"],
                    help=f"weigh its paths where it is written, `* {weighed[0]}`: "
                    "a plain space is free to be used again",
                    repairs=[weighed[1]] if len(graph.writers[edge]) == 1 else (),
                ),
            )


def _ranks(graph: FusionGraph) -> Iterator[tuple[str, Diagnostic]]:
    """An internal edge has as many channel indices wherever it stands."""
    for edge, writers in graph.writers.items():
        if edge in graph.output_table or edge in graph.poisoned:
            continue
        rank = len(writers[0].channels)
        places = [(line, line.channels, line.target_span) for line in writers[1:]]
        places += [
            (line, line.operands[position].channels, line.operands[position].span)
            for line, position in graph.readers.get(edge, ())
        ]
        for line, channels, span in places:
            if len(channels) != rank:
                written = writers[0].target_span
                yield (
                    edge,
                    diagnose(
                        "F1026",
                        f"`{edge}` has {_indices(len(channels))} here and {_indices(rank)} where it is first written",
                        span,
                        related=[Label(written, _indices(rank))],
                        help=_like_the_first(line, writers[0], span) if not channels else None,
                    ),
                )
                break


def _like_the_first(line: Line, first: Line, span: Span) -> Advice:
    """An edge with the indices that it has where it is first written."""
    text, effect = first.target_span.text, "its indices are those of where it is first written"
    if span != line.target_span and len(first.channels) == 1:
        return _with_index(line, span, text, first.channels[0], effect)
    return write(span, text, effect)


def _indices(count: int) -> str:
    return {0: "no channel index", 1: "one channel index"}.get(count, f"{count} channel indices")


def _unaddable(graph: FusionGraph) -> Iterator[tuple[str, Diagnostic]]:
    """Several lines add up in one edge: then none of them can keep its paths."""
    for edge, writers in graph.writers.items():
        if len(writers) < 2 or edge in graph.poisoned:
            continue
        for line in writers:
            if line.keeps:
                bracket = ", ".join((*line.sites, *line.channels))
                plain = f"{edge}[{bracket}]" if bracket else edge
                has_path = any(weight.has_path for weight in line.weights)
                weight, repair = weighing(line, *(() if line.weights else line.channels), path=True)
                edits = (Edit(line.target_span, plain), *(() if has_path else repair.edits))
                weigh = f"-> {plain} * {weight}"
                yield (
                    edge,
                    diagnose(
                        "F1032",
                        f"{len(writers)} lines add up in `{edge}`, and this one keeps its paths",
                        line.target_span,
                        notes=["what is added up has one shape; kept paths are extra channels"],
                        help=f"sum the paths, weighed: `{weigh}`, or give the line an edge of its own",
                        repairs=[Repair(edits, "the paths are summed")],
                    ),
                )
                break


def _cycle(cycle: tuple[Line, ...]) -> Iterator[Diagnostic]:
    if cycle:
        route = " -> ".join([*(line.target for line in cycle), cycle[0].target])
        yield diagnose(
            "F1015",
            f"these edges form a cycle: {route}",
            cycle[0].span,
            related=[Label(line.target_span, "and here") for line in cycle[1:4]],
            notes=["a line may use only what other lines have made without it"],
        )

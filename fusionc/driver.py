"""The pipeline, stage by stage, each a pure function between two frozen values:

    text --parse--> syntax --resolve--> scoped diagrams --build--> graph --fuse, check--> checked diagram
         --list_paths--> path table --networks--> terms --lower, in several orders--> program --emit--> text

Nothing here computes; this file says what follows what. What comes after the checks is imported where it begins: most
commands end before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fusionc.algebra.groups import GROUPS
from fusionc.diagram import limits
from fusionc.diagram.build import build, check_spaces
from fusionc.diagram.check import check
from fusionc.diagram.dependent import comparable, dependent_trees
from fusionc.diagram.exchanged import exchangeable, redundant_weights
from fusionc.diagram.fusion import Fusion, count_paths, fuse
from fusionc.diagram.ir import FusionGraph
from fusionc.diagram.paths import PathTable, list_paths, public_paths, refuse_large_vertices, refuse_many_trees
from fusionc.diagram.wires import WireDiagram, all_labelings, is_closed, is_number, is_wired, wire_diagram
from fusionc.language import syntax
from fusionc.language.collector import without_collector
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.errors import CompileError
from fusionc.language.parser import limited, parse
from fusionc.language.repair import edited
from fusionc.language.resolve import ScopedDiagram, Unit, resolve
from fusionc.language.source import Source, Span
from fusionc.language.standalone import diagram_text, standalone_text
from fusionc.targets.names import (
    class_name,
    name_diagnostic,
    unusable,
    unusable_argument,
    unusable_keyword,
    unusable_output,
    unusable_weight,
)
from fusionc.targets.registry import Emission, Options, UnknownTarget, described, find

if TYPE_CHECKING:  # the planner is loaded where something is planned: whoever finds a module in the cache needs none
    from fusionc.algebra.surds import Surd
    from fusionc.program.ir import Layout, Program
    from fusionc.program.lower import Lowered
    from fusionc.program.select import Plan
    from fusionc.rewrite.formula import Formula

PLANNING_BATCH = 1000
TRIED, TRIED_LENGTH = 4, 4000  # repairs that are tried, in texts of so many characters
NOT_COMPILED = ("F1027", "F2002", "F2003", "F3001", "F3003", "F3005", "F3007", "F3011", "F4004")
"""What keeps a diagram from one irrep to one irrep from being a module, and is no mistake in a number: its labels are
added up, it may be zero by Schur's lemma, and no tensor is made of its spins."""
DEFAULTS = Options()


@dataclass(frozen=True, repr=False)
class CheckedDiagram:
    """A diagram that broke no rule; what follows is computed when it is asked for, and once."""

    scoped: ScopedDiagram
    graph: FusionGraph
    fusion: Fusion
    _programs: dict[tuple[str, Layout], Lowered] = field(default_factory=dict, repr=False, compare=False)
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.graph.name

    def count_paths(self) -> int:
        return count_paths(self.graph, self.fusion)

    @cached_property
    def table(self) -> PathTable:
        return list_paths(self.graph, self.fusion)

    def check_length(self) -> None:
        """Raise `CompileError` with F3008 where there are too many paths to become code."""
        count = self.count_paths()
        if count > limits.MAX_EMITTED_PATHS:
            raise CompileError([limits.program_too_long(self.graph.span, count, self.name)])

    def program(self, strategy: str = "", layout: Layout = "mul_ir") -> Program:
        """The program of one of `program.select.STRATEGIES` (by default of the cheapest)."""
        return self.lowered(strategy or self.strategy, layout).program

    def lowered(self, strategy: str, layout: Layout = "mul_ir") -> Lowered:
        """A strategy's program, and what was decided on the way."""
        from fusionc.program.build import Builder
        from fusionc.program.cost import domain_sizes
        from fusionc.program.lower import lower

        if (strategy, layout) not in self._programs:
            edges, builder = self.plan(strategy).edges, Builder(domain_sizes(self.graph, PLANNING_BATCH))
            self._programs[strategy, layout] = lower(self.table, edges, builder, layout)
        return self._programs[strategy, layout]

    def plan(self, strategy: str) -> Plan:
        """What a strategy couples in which order."""
        from fusionc.program.cost import domain_sizes
        from fusionc.program.select import plan

        if strategy not in self._plans:
            self.check_length()  # before the paths are listed: there may be too many
            self._plans[strategy] = plan(self.table, strategy, domain_sizes(self.graph, PLANNING_BATCH))
        return self._plans[strategy]

    @cached_property
    def strategy(self) -> str:
        """The strategy whose program needs the fewest multiplications, those with constants included."""
        from fusionc.program.cost import count
        from fusionc.program.select import RECOUPLED, STRATEGIES, WRITTEN

        if not self.plan(RECOUPLED).changes:
            return WRITTEN
        costs = {name: count(self.program(name), PLANNING_BATCH) for name in STRATEGIES}
        return min(costs, key=lambda name: costs[name].multiplications + costs[name].scalings)

    @cached_property
    def meaning(self) -> str:
        """A fingerprint of what the learned weights multiply: the paths, in path order. No plan changes it."""
        paths = [(path.irreps, path.weight, path.shape, path.offset, path.edge) for path in public_paths(self.table)]
        text = repr((self.graph.group.name, paths))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def text(self) -> str:
        """The diagram in canonical form, without comments."""
        return diagram_text(self.scoped)

    @property
    def content(self) -> FusionGraph:
        """What the diagram says, whatever its text looks like."""
        return self.graph

    @cached_property
    def standalone(self) -> str:
        """The same with everything that it needs: a file with the same meaning."""
        return standalone_text(self.scoped)

    def __reduce__(self) -> tuple[type[CheckedDiagram], tuple[object, ...]]:
        """(What was computed from these is not worth its size.)"""
        return CheckedDiagram, (self.scoped, self.graph, self.fusion)

    def __repr__(self) -> str:
        return f"<CheckedDiagram {self.name}>"


@dataclass(frozen=True, repr=False)
class CheckedNumber:
    """A diagram that is a number: closed, or from one irrep to one irrep. `not_compiled` says why it is no module,
    where it has legs and is none."""

    scoped: ScopedDiagram
    wires: WireDiagram
    not_compiled: tuple[Diagnostic, ...] = ()

    @property
    def name(self) -> str:
        return self.wires.name

    def __reduce__(self) -> tuple[type[CheckedNumber], tuple[object, ...]]:
        return CheckedNumber, (self.scoped, self.wires, self.not_compiled)

    def __repr__(self) -> str:
        return f"<CheckedNumber {self.name}>"

    @property
    def content(self) -> WireDiagram:
        """What the diagram says, whatever its text looks like."""
        return self.wires

    @cached_property
    def text(self) -> str:
        """The diagram in canonical form, without comments."""
        return diagram_text(self.scoped)

    @cached_property
    def standalone(self) -> str:
        """A file with the same meaning, in canonical form."""
        return standalone_text(self.scoped)

    @cached_property
    def value(self) -> Surd:
        """The exact value. Raises `CompileError` where the irreps of a loop are unbounded or too many."""
        from fusionc.rewrite.closed import value

        return value(self.wires)

    def refuse_too_long(self) -> None:
        """Raise `CompileError` with F3013 where the sums behind the value are too long to be begun."""
        from fusionc.rewrite.closed import refuse_too_long

        refuse_too_long(self.wires)

    @cached_property
    def formulas(self) -> tuple[Formula, ...]:
        """The sums over 6j symbols that were evaluated: one for each labeling of the wires, to be added up."""
        from fusionc.rewrite.closed import network
        from fusionc.rewrite.reduce import formula

        return tuple(formula(network(self.wires, labels)) for labels in all_labelings(self.wires))


def as_number(scoped: ScopedDiagram) -> CheckedNumber:
    """A diagram as a number. Raises `CompileError` where it is none, or where something is wrong with it."""
    try:
        return CheckedNumber(scoped, wire_diagram(scoped))
    except CompileError as error:
        if is_number(scoped):
            raise
        reasons = [note for found in error.diagnostics for note in found.notes]
        raise CompileError([_not_a_number(scoped, reasons)]) from None


def _not_a_number(scoped: ScopedDiagram, reasons: Sequence[str]) -> Diagnostic:
    name = scoped.syntax.name
    return diagnose(
        "F1036",
        f"`{name.text}` is not a number",
        name.span,
        notes=[*dict.fromkeys(reasons)],
        help="closed diagrams have a value, and those from one irrep of multiplicity 1 to one irrep",
    )


def number_not_module(number: CheckedNumber) -> Diagnostic:
    """F4009, or what else keeps a number with legs from being a module."""
    if number.not_compiled:
        return number.not_compiled[0]
    return diagnose(
        "F4009",
        f"`{number.name}` is a number, not a module",
        number.wires.span,
        help="`fusionc eval` prints its exact value; put it in a file of its own",
    )


@dataclass(frozen=True, repr=False)
class Checked:
    """A file after all checks: the diagrams that passed, those that are numbers apart, and everything there is to
    say, in the order of the text."""

    source: Source
    file: syntax.File
    diagrams: tuple[CheckedDiagram, ...]
    numbers: tuple[CheckedNumber, ...]
    diagnostics: tuple[Diagnostic, ...]

    def __repr__(self) -> str:
        diagrams, found = len(self.diagrams), len(self.diagnostics)
        return f"<Checked {self.source.name}: {diagrams} diagrams, {len(self.numbers)} numbers, {found} diagnostics>"

    @property
    def closed(self) -> tuple[CheckedNumber, ...]:
        """The numbers that are no modules as well: those without legs, and those that only have a value."""
        return tuple(number for number in self.numbers if not number.scoped.syntax.legs or number.not_compiled)

    @property
    def has_errors(self) -> bool:
        return any(diagnostic.is_error for diagnostic in self.diagnostics)


def check_source(source: Source, folder: Path | None = None) -> Checked:
    """Everything up to the checks. Mistakes are values here; nothing is raised for them.

    `folder` is where imports are read from; None where the text did not come from a file. Of the first repairs of a
    short text those are kept that leave fewer mistakes.
    """
    checked, sound = check_text(source, folder)
    if len(source.text) > TRIED_LENGTH or not any(found.repairs for found in checked.diagnostics):
        return checked
    tried = [found for found in checked.diagnostics if found.repairs][:TRIED]
    kept = {found: _that_work(found, checked, folder, sound) for found in tried}
    return replace(checked, diagnostics=tuple(kept.get(found, found) for found in checked.diagnostics))


def _that_work(found: Diagnostic, checked: Checked, folder: Path | None, sound: Sequence[Sound]) -> Diagnostic:
    """A diagnostic with those of its repairs that leave fewer mistakes; without its help where none does."""
    source, before = checked.source, sum(one.is_error for one in checked.diagnostics)
    works = []
    for repair in found.repairs:
        if any(edit.span.source is not source for edit in repair.edits):
            return found
        left = check_text(Source(source.name, edited(source, repair.edits)), folder, sound)[0].diagnostics
        errors = sum(one.is_error for one in left)
        one_more = not found.is_error or found.code.startswith("F00")  # behind one slip of a line the next shows
        gone = one_more and errors <= before and all(one.message != found.message for one in left)
        if errors < before or gone:
            works.append(repair)
    return replace(found, repairs=tuple(works), help=found.help if works else None)


Sound = tuple[ScopedDiagram, CheckedDiagram | None, CheckedNumber | None]
"""A diagram that has no diagnostics, and what it is."""


def check_text(source: Source, folder: Path | None, sound: Sequence[Sound] = ()) -> tuple[Checked, list[Sound]]:
    """A text checked, and which of its diagrams are sound. Those that are known to be are not checked again: where a
    repair is tried, most of a text is as it was."""
    newly: list[Sound] = []
    with without_collector():
        parsed = parse(source)
        unit, resolved = resolve(source, parsed.file, folder)
        maybe_numbers = any(is_closed(scoped.syntax) or is_wired(scoped.syntax) for scoped in unit.diagrams)
        spaces = check_spaces(unit.scope, limits.MAX_NUMBER_L if maybe_numbers else limits.MAX_L)
        found = [*parsed.diagnostics, *resolved, *spaces]
        diagrams, numbers = [], []
        for scoped in unit.diagrams if unit.scope.group in GROUPS else ():
            incomplete = _has_mistake_inside(scoped.syntax.span, parsed.diagnostics)
            known = None if incomplete else next((one for one in sound if one[0] == scoped), None)
            diagram, number, diagnostics = (*known[1:], ()) if known else _diagram_and_number(scoped, incomplete)
            if not diagnostics and not incomplete:
                newly.append((scoped, diagram, number))
            found += diagnostics
            diagrams += [] if diagram is None else [diagram]
            numbers += [] if number is None else [number]
    ordered = list(_in_order(unit, _first_of_each(found, parsed.diagnostics)))
    failed = any(diagnostic.is_error for diagnostic in ordered)
    if failed and not any(diagnostic.code == "F0013" for diagnostic in ordered):
        ordered = list(limited(ordered, 0, source.span(0, len(source.text))))
    return Checked(source, parsed.file, tuple(diagrams), tuple(numbers), tuple(ordered)), newly


def _diagram_and_number(
    scoped: ScopedDiagram, incomplete: bool
) -> tuple[CheckedDiagram | None, CheckedNumber | None, tuple[Diagnostic, ...]]:
    """A diagram as what can be compiled and as what has an exact value, where it is the one or the other, or both."""
    closed = is_closed(scoped.syntax)
    if scoped.scope.group not in GROUPS or not (closed or is_wired(scoped.syntax)):
        # Of an unknown group, which has its own diagnostic, nothing can be said of a number.
        return (None, None, ()) if closed else _without_number(scoped, incomplete)
    only_a_number, number = is_number(scoped), None
    try:
        number = as_number(scoped)
        if only_a_number:
            number.refuse_too_long()
        else:
            all_labelings(number.wires)  # unbounded loops are mistakes of the text
    except CompileError as error:
        if only_a_number:
            return None, None, error.diagnostics
        return _without_number(scoped, incomplete)
    if closed:
        return None, number, ()
    diagram, found = check_diagram(scoped, incomplete)
    errors = tuple(one for one in found if one.is_error)
    if not errors:
        return diagram, number if diagram is not None else None, found
    if only_a_number and all(one.code in NOT_COMPILED for one in errors):
        return None, replace(number, not_compiled=errors), ()
    return None, None, found


def _without_number(
    scoped: ScopedDiagram, incomplete: bool
) -> tuple[CheckedDiagram | None, None, tuple[Diagnostic, ...]]:
    diagram, found = check_diagram(scoped, incomplete)
    return diagram, None, found


def _first_of_each(found: Sequence[Diagnostic], syntactic: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Each mistake once; of a word that is wrong by itself (`1/0`), nothing but that."""
    spans = [diagnostic.span for diagnostic in syntactic]
    distinct = {(_unknown_name(one) or one): one for one in reversed([*syntactic, *found])}
    distinct = dict(reversed(distinct.items()))
    return [one for one in distinct.values() if one in syntactic or not any(_inside(one.span, span) for span in spans)]


def _unknown_name(diagnostic: Diagnostic) -> str | None:
    """What makes two diagnostics one mistake wherever they stand: a declaration that is missing."""
    is_declared = diagnostic.code == "F1001" and not diagnostic.message.startswith("unknown edge")
    return diagnostic.message if is_declared else None


def _inside(inner: Span, outer: Span) -> bool:
    return inner.source is outer.source and outer.start <= inner.start and inner.end <= outer.end > outer.start


def check_diagram(
    scoped: ScopedDiagram, incomplete: bool = False
) -> tuple[CheckedDiagram | None, tuple[Diagnostic, ...]]:
    """Graph and angular momentum of one diagram; None where there is an error."""
    graph, found = build(scoped, incomplete)
    if graph is None or any(diagnostic.code == "F1015" for diagnostic in found):
        return None, found
    try:
        fusion = fuse(graph)
    except CompileError as error:  # a loop that nothing bounds
        return None, (*found, *error.diagnostics)
    found = (*found, *check(graph, fusion))
    if incomplete or graph.poisoned or any(diagnostic.is_error for diagnostic in found):
        return None, found  # (of what is poisoned the mistake stands elsewhere)
    diagram = CheckedDiagram(scoped, graph, fusion)
    if _shares_weights(graph) or comparable(graph, fusion) or exchangeable(graph, fusion):
        try:  # what is to say of these is known once paths are listed
            found = (*found, *dependent_trees(diagram.table), *redundant_weights(diagram.table))
        except CompileError as error:
            return None, (*found, *error.diagnostics)
    return (None if any(diagnostic.is_error for diagnostic in found) else diagram), found


def _shares_weights(graph: FusionGraph) -> bool:
    """Whether one weight stands on lines that are not of one make: then its shapes have to be compared."""
    makes: dict[str, set[object]] = {}
    for line in graph.lines:
        operands = tuple((operand.edge, operand.indices) for operand in line.operands)
        for weight in line.weights:
            make = (operands, line.target, line.channels, line.keeps, weight, line.fragment)
            makes.setdefault(weight.name, set()).add(make)
    return any(len(found) > 1 for found in makes.values())


def _has_mistake_inside(span: Span, diagnostics: Sequence[Diagnostic]) -> bool:
    return any(found.span.source is span.source and span.start <= found.span.start <= span.end for found in diagnostics)


def _in_order(unit: Unit, diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place, those of imported files first."""
    key = lambda found: (found.span.source is unit.source, found.span.source.name, found.span.start)  # noqa: E731
    return tuple(sorted(diagnostics, key=key))


def late_mistakes(checked: Checked) -> tuple[Diagnostic, ...]:
    """What no command that makes code would take, of diagrams that are in order: names that Python or torch uses for
    something else, and more paths or coefficients than can become code."""
    found = name_mistakes(checked.diagrams)
    for diagram in checked.diagrams:
        try:
            diagram.check_length()
            refuse_large_vertices(diagram.graph, diagram.fusion)
            refuse_many_trees(diagram.graph, diagram.fusion)
        except CompileError as error:
            found += error.diagnostics
    return tuple(found)


def check_dtype(diagrams: Sequence[CheckedDiagram], dtype: str | None) -> None:
    """Raise ValueError for complex weights of a diagram in the real basis."""
    for diagram in diagrams:
        if (dtype or "").startswith("complex") and diagram.graph.basis != "complex":
            raise ValueError(f"{dtype} is for the complex basis, and `{diagram.name}` is in the real one")


def emit(diagrams: Sequence[CheckedDiagram], target: str = "torch", options: Options = DEFAULTS) -> str:
    """The text of the generated file. Raises `CompileError` with an F4xxx diagnostic where the target cannot, and
    ValueError for complex weights of a diagram in the real basis."""
    span = diagrams[0].graph.span if diagrams else Source("<empty>", "").span(0, 0)
    check_dtype(diagrams, options.dtype)
    try:
        print_file = find(target)
    except UnknownTarget as problem:
        raise _target_mistake(problem, span) from None
    mistakes = name_mistakes(diagrams)
    if mistakes:
        raise CompileError(mistakes)
    return print_file([emission(diagram, options.layout) for diagram in diagrams], options)


def what_runs_where(diagram: CheckedDiagram, target: str) -> tuple[str, ...]:
    """What of a diagram runs where, in a target's words; nothing where all runs in one place. Raises `CompileError`."""
    try:
        return described(target, diagram.program())
    except UnknownTarget as problem:
        raise _target_mistake(problem, diagram.graph.span) from None


def _target_mistake(problem: UnknownTarget, span: Span) -> CompileError:
    return CompileError([diagnose(problem.code, str(problem), span, help=problem.help)])


def emission(diagram: CheckedDiagram, layout: Layout, strategy: str = "") -> Emission:
    """A diagram ready for a target's printer (by default in the cheapest strategy)."""
    from fusionc.program.lower import space_text

    program = diagram.program(strategy, layout)
    texts = tuple(space_text(diagram.table, diagram.table.outputs[output.name]) for output in diagram.graph.outputs)
    return Emission(program, diagram.text, texts, diagram.meaning if program.weights else "")


def name_mistakes(diagrams: Sequence[CheckedDiagram]) -> list[Diagnostic]:
    """Names that Python or torch would not take."""
    mistakes: list[Diagnostic] = []
    classes: dict[str, str] = {}
    for diagram in diagrams:
        graph, camel = diagram.graph, class_name(diagram.name)
        reason = unusable(graph.name) or unusable(camel)
        if camel in classes:
            reason = f"`{classes[camel]}` and `{graph.name}` would both be the class `{camel}`"
        classes[camel] = graph.name
        if reason:
            mistakes.append(name_diagnostic("a diagram", graph.name, reason, graph.span))
        for leg in graph.legs:
            if reason := unusable_argument(leg.name):
                mistakes.append(name_diagnostic("a leg", leg.name, reason, leg.span))
        for output in graph.outputs:
            if len(graph.outputs) > 1 and (reason := unusable_output(output.name)):
                mistakes.append(name_diagnostic("an output", output.name, reason, output.span))
        weights = [weight for line in reversed(graph.lines) for weight in line.weights]
        spans = {weight.name: weight.name_span for weight in weights}
        legs = {leg.name for leg in graph.legs}
        for name in [name for name in spans if name not in legs]:
            if reason := unusable_weight(name):
                mistakes.append(name_diagnostic("a weight", name, reason, spans[name]))
        mistakes += _keyword_mistakes(diagram)
    return list(dict.fromkeys(mistakes))


def _keyword_mistakes(diagram: CheckedDiagram) -> list[Diagnostic]:
    """Names of relations, and of site sets that no leg is over: a caller gives them by keyword."""
    spans = [("a relation", relation.name, relation.span) for relation in diagram.graph.relations]
    declared = diagram.scoped.scope.sites
    spans += [("a set of sites", name, declared[name].name.span) for name in diagram.graph.told_sites]
    reasons = [(what, name, unusable_keyword(name), span) for what, name, span in spans]
    return [name_diagnostic(what, name, reason, span) for what, name, reason, span in reasons if reason]

"""Names: imports are read, spaces are flattened to their terms, and each diagram gets the scope it was written in.

Which irreps exist is not asked here; `diagram.build` puts the terms to the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, Label, Repair, diagnose, instead, without_term
from fusionc.language.display import is_hidden
from fusionc.language.errors import CompileError
from fusionc.language.parser import parse, read
from fusionc.language.source import Source, Span

GROUP_NAMES = ("O(3)", "SO(3)", "SU(2)")
DEFAULT_GROUP = "O(3)"
SETTING_VALUES = {
    "normalize": ("component", "norm", "none"),
    "paths": ("element", "path", "none"),
    "basis": ("real", "complex"),
}
MAX_TERMS = 4096
MAX_ALL_TERMS = 1_000_000
MAX_SUGGESTIONS = 100  # unknown names for which a near one is searched
MAX_NEAR = 200  # names that one which is unknown is compared with
MAX_COMPARED = 60  # characters of such a name

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a diagram's numbers mean (DESIGN part 2); `basis` is None where the group's own basis is meant."""

    normalize: str = "component"
    paths: str = "element"
    basis: Literal["real", "complex"] | None = None


Leaf = syntax.IrrepTerm | syntax.SphericalTerm


@dataclass(frozen=True)
class FlatTerm:
    """One term of a flattened space: where it is used, and whether it is written there or stands behind a name."""

    term: Leaf
    span: Span
    literal: bool


@dataclass(frozen=True)
class Scope:
    """The declarations that a diagram can see. `group` is a name as written, and may be unknown."""

    group: str
    spaces: dict[str, syntax.Irreps] = field(default_factory=dict)
    sites: dict[str, syntax.Sites] = field(default_factory=dict)
    pairs: dict[str, syntax.Pairs] = field(default_factory=dict)
    incomplete: bool = False
    broken: frozenset[str] = frozenset()
    """What declarations with a mistake declare: nothing is said of it."""
    _expanded: dict[str, tuple[Leaf, ...]] = field(default_factory=dict, repr=False, compare=False)
    _terms: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)
    """How many terms all of these have together."""
    _unknown: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Names that nothing declares, numbered."""
    _failed: dict[str, CompileError] = field(default_factory=dict, repr=False, compare=False)
    """Spaces that do not flatten."""

    def flatten(self, space: syntax.Space) -> tuple[FlatTerm, ...]:
        """The terms of a space, names replaced by what they stand for.

        Raises `CompileError` with F1001 (unknown name), F1005 (a space that contains itself), F1008 (not a space),
        F1029 (nothing of something) or F3002 (too many terms).
        """
        terms: list[FlatTerm] = []
        for term in space.terms:
            for part in term.terms if isinstance(term, syntax.SumTerm) else (term,):
                literal = not isinstance(part, syntax.NameTerm)
                leaves = (part,) if isinstance(part, syntax.IrrepTerm) else self._leaves(part)
                if isinstance(term, syntax.SumTerm):
                    leaves = _multiplied(leaves, term.mul, part.span)
                terms.extend(FlatTerm(leaf, part.span, literal) for leaf in leaves)
        if len(terms) > MAX_TERMS:
            raise CompileError([_too_many_terms(space.span)])
        return tuple(terms)

    def _leaves(self, term: syntax.Term) -> tuple[Leaf, ...]:
        if isinstance(term, syntax.IrrepTerm):
            return (term,)
        if isinstance(term, syntax.SumTerm):
            return tuple(leaf for part in term.terms for leaf in _multiplied(self._leaves(part), term.mul, part.span))
        copies = 1 if term.repeat is None else term.repeat
        if copies == 0:
            raise CompileError([nothing_of_something(term.span)])
        if isinstance(term, syntax.SphericalTerm):
            leaves: tuple[Leaf, ...] = (replace(term, repeat=None),)
        else:
            self._space(term.name, term.span)
            self.expand(term.name.text)
            leaves = self._expanded[term.name.text]
            if term.mul is not None:
                leaves = _multiplied(leaves, term.mul, term.span, term.name.text)
        if copies * len(leaves) > MAX_TERMS:
            raise CompileError([_too_many_terms(term.span)])
        return leaves * copies

    def expand(self, name: str) -> None:
        """Flatten a named space, once. Raises as `flatten` does.

        Depth first with an explicit stack and a memo: chains of names may be long, and may be cyclic."""
        stack, open_names = [name], set[str]()
        try:
            self._expand(stack, open_names)
        except CompileError as error:
            self._failed.update(dict.fromkeys({*open_names, stack[-1]}, error))
            raise

    def _expand(self, stack: list[str], open_names: set[str]) -> None:
        while stack:
            top = stack[-1]
            if top in self._failed:
                raise CompileError(self._failed[top].diagnostics)
            declaration = self.spaces[top]
            missing = [
                term.name.text
                for term in names_in(declaration.space)
                if self._space(term.name, term.span).name.text not in self._expanded
            ]
            if top in self._expanded or not missing:
                if top not in self._expanded:
                    self._expanded[top] = self._expand_terms(declaration.space)
                stack.pop()
                open_names.discard(top)
                continue
            open_names.add(top)
            if again := next((missed for missed in missing if missed in open_names), None):
                trail = [entry for entry in dict.fromkeys(stack) if entry in open_names]
                raise CompileError([self._contains_itself(trail[trail.index(again) :])])
            stack.extend(missing)

    def expanded(self) -> list[str]:
        """The named spaces that flatten, each behind those that it contains."""
        for name in self.spaces:
            try:
                self.expand(name)
            except CompileError:
                continue
        return list(self._expanded)

    def _contains_itself(self, cycle: list[str]) -> Diagnostic:
        """F1005, the same wherever the cycle is entered."""
        start = cycle.index(min(cycle, key=list(self.spaces).index))
        names = [*cycle[start:], *cycle[:start]]
        first, *others = (self.spaces[name] for name in names)
        route = " contains ".join(f"`{name}`" for name in [*names, names[0]])
        return diagnose(
            "F1005",
            f"the space `{names[0]}` contains itself",
            first.name.span,
            notes=[route] if others else (),
            help="a space is a finite sum; leave the term out that closes the circle",
            related=[Label(other.name.span, "by way of this one") for other in others[:3]],
        )

    def _expand_terms(self, space: syntax.Space) -> tuple[Leaf, ...]:
        leaves = tuple(leaf for term in space.terms for leaf in self._leaves(term))
        if len(leaves) > MAX_TERMS:
            raise CompileError([_too_many_terms(space.span)])
        self._terms[0] += len(leaves)
        if self._terms[0] > MAX_ALL_TERMS:
            raise CompileError([_too_many_terms(space.span, MAX_ALL_TERMS, "the named spaces together have")])
        return leaves

    def _space(self, name: syntax.Name, use: Span) -> syntax.Irreps:
        if name.text in self.spaces:
            return self.spaces[name.text]
        if name.text in self.broken:
            raise CompileError([])
        span = name.span if name.span.source is use.source else use
        for kind, table in (("an index set of sites", self.sites), ("a relation", self.pairs)):
            if name.text in table:
                help = f"a leg over it is written with a space: `x: 8x1o[{name.text}]`"
                raise CompileError([diagnose("F1008", f"`{name.text}` is {kind}, not a space", span, help=help)])
        if self.incomplete:  # what an import failed to bring may hold it
            raise CompileError([])
        number = self._unknown.setdefault(name.text, len(self._unknown))
        if number >= MAX_SUGGESTIONS:
            raise CompileError([diagnose("F1001", f"unknown space `{name.text}`", span)])
        raise CompileError([unknown_name("space", name.text, span, self.spaces)])


@dataclass(frozen=True)
class ScopedDiagram:
    """A diagram as written, with the scope and the settings that hold where it stands."""

    syntax: syntax.Diagram
    scope: Scope
    settings: Settings


@dataclass(frozen=True)
class Unit:
    """A resolved file."""

    source: Source
    file: syntax.File
    scope: Scope
    diagrams: tuple[ScopedDiagram, ...]


def resolve(source: Source, file: syntax.File, folder: Path | None) -> tuple[Unit, tuple[Diagnostic, ...]]:
    """Give every diagram of a parsed file its scope.

    `folder` is the folder that imports are read from and may not leave; None where the text did not come from a file.
    """
    resolver = _Resolver(folder)
    own = frozenset() if folder is None else frozenset({(folder / Path(source.name).name).resolve()})
    resolver.load(file, own, is_root=True)
    scope = Scope(
        "" if "group" in resolver.broken else resolver.group or DEFAULT_GROUP,
        resolver.spaces,
        resolver.sites,
        resolver.pairs,
        resolver.incomplete,
        frozenset(resolver.broken),
    )
    resolver.check_spaces(scope)
    resolver.check_pairs(scope)
    return Unit(source, file, scope, resolver.scoped(file, scope)), tuple(resolver.diagnostics)


def unknown_name(kind: str, name: str, span: Span, candidates: Iterable[str]) -> Diagnostic:
    """F1001, with the nearest name that exists as the repair."""
    known = list(candidates)
    near = nearest_name(name, known)
    if near is not None:
        return diagnose(
            "F1001", f"unknown {kind} `{name}`", span, help=f"did you mean `{near}`?", repairs=[meant(span, near)]
        )
    listed = ", ".join(f"`{candidate}`" for candidate in known[:8]) + (", …" if len(known) > 8 else "")
    notes = [f"known here: {listed}"] if known else [f"no {kind} is declared here"]
    return diagnose("F1001", f"unknown {kind} `{name}`", span, notes=notes)


def meant(span: Span, name: str) -> Repair:
    """The repair that writes a name that is near to the one at `span`."""
    return instead(span, name, f"`{name}` is taken for what was meant")


def nearest_name(name: str, known: Sequence[str]) -> str | None:
    """The name that was probably meant, if one is near enough. Long names and those of long lists are not compared."""
    near = get_close_matches(name, known[:MAX_NEAR], n=1) if len(name) <= MAX_COMPARED else []
    return near[0] if near else None


def declared_twice(name: str, second: Span, first: Span, help: str = "rename one of the two") -> Diagnostic:
    """F1002."""
    return diagnose(
        "F1002",
        f"`{name}` is declared twice",
        second,
        label="declared again here",
        related=[Label(first, "first declared here")],
        help=help,
    )


def _too_many_terms(span: Span, limit: int = MAX_TERMS, what: str = "this space has") -> Diagnostic:
    return diagnose(
        "F3002",
        f"{what} more than {limit} terms",
        span,
        notes=["a multiplicity such as `64x1o` is one term; `64 * NAME` repeats the whole space 64 times"],
    )


def nothing_of_something(span: Span) -> Diagnostic:
    """F1029: a term taken zero times."""
    repair = without_term(span)
    return diagnose(
        "F1029", "a multiplicity of zero", span, help="leave the term out", repairs=[repair] if repair else ()
    )


def names_in(space: syntax.Space) -> Iterator[syntax.NameTerm]:
    """The names of spaces in a sum, in brackets too."""
    for term in space.terms:
        for part in term.terms if isinstance(term, syntax.SumTerm) else (term,):
            if isinstance(part, syntax.NameTerm):
                yield part


def _multiplied(leaves: Sequence[Leaf], mul: int, use: Span, name: str = "") -> tuple[Leaf, ...]:
    """Blocks of multiplicity one, each `mul` times. Raises `CompileError` with F1029 for a block of another."""
    if mul == 0:
        raise CompileError([nothing_of_something(use)])
    for leaf in leaves:
        if leaf.mul not in (None, 1):
            raise CompileError([_two_multiplicities(leaf, mul, use, name)])
    return tuple(replace(leaf, mul=mul) for leaf in leaves)


def _two_multiplicities(leaf: Leaf, mul: int, use: Span, name: str) -> Diagnostic:
    """F1029: `64xH`, where H says how often it has each irrep."""
    written = leaf.span.text
    repair = instead(use, f"{mul} * {name}", f"the whole of `{name}`, {mul:,} times") if name else None
    return diagnose(
        "F1029",
        f"a multiplicity on top of a multiplicity: {mul:,} times `{written}`",
        use,
        notes=["`64xY` gives a multiplicity to blocks that have none of their own"],
        help=f"write `{mul} * {name}` for the whole of `{name}`, {mul:,} times"
        if name
        else "write the product, or give one of the two alone",
        related=[Label(leaf.span, "has one already")] if leaf.span != use else (),
        repairs=[repair] if repair else (),
    )


class _Resolver:
    """Collects the declarations of a file and of what it imports, in order, with every mistake on the way."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.diagnostics: list[Diagnostic] = []
        self.spaces: dict[str, syntax.Irreps] = {}
        self.sites: dict[str, syntax.Sites] = {}
        self.pairs: dict[str, syntax.Pairs] = {}
        self.group: str | None = None
        self.incomplete = False  # an import failed
        self.broken: set[str] = set()  # names whose declarations have a mistake
        self._declared: dict[str, Span] = {}
        self._group_span: Span | None = None
        self._loaded: set[Path] = set()

    def load(self, file: syntax.File, chain: frozenset[Path], is_root: bool = False) -> None:
        self.broken.update(file.broken)
        self.incomplete |= file.is_partial
        for item in file.items:
            if isinstance(item, syntax.Group):
                self._set_group(item)
            elif isinstance(item, syntax.Irreps):
                self._declare(item.name, item, self.spaces)
            elif isinstance(item, syntax.Sites):
                self._declare(item.name, item, self.sites)
            elif isinstance(item, syntax.Pairs):
                self._declare(item.name, item, self.pairs)
            elif isinstance(item, syntax.Import):
                self._import(item, chain)
            elif isinstance(item, syntax.Setting) and is_root:
                self._check_setting(item)

    def _declare(self, name: syntax.Name, item: T, table: dict[str, T]) -> None:
        if name.text in self._declared:
            self.diagnostics.append(declared_twice(name.text, name.span, self._declared[name.text]))
            return
        self._declared[name.text] = name.span
        table[name.text] = item

    def _set_group(self, item: syntax.Group) -> None:
        if item.name not in GROUP_NAMES:
            help, meant = f"the groups are {', '.join(GROUP_NAMES[:-1])} and {GROUP_NAMES[-1]}", item.name.upper()
            repairs = [instead(item.span, f"group {meant}")] if meant in GROUP_NAMES else []
            found = diagnose("F1001", f"unknown group `{item.name}`", item.span, help=help, repairs=repairs)
            self.diagnostics.append(found)
        if self._group_span is None:
            self.group, self._group_span = item.name, item.span
        elif self.group != item.name or self._group_span.source is item.span.source:
            self.diagnostics.append(
                diagnose(
                    "F1002",
                    "the group is declared twice",
                    item.span,
                    label=f"{item.name} here",
                    related=[Label(self._group_span, f"{self.group} here")],
                    help="a file and what it imports have one group; put diagrams of another group in another file",
                )
            )

    def _import(self, item: syntax.Import, chain: frozenset[Path]) -> None:
        if any(map(is_hidden, item.path)):  # said where it stands
            self.incomplete = True
            return
        path = self._importable(item)
        if path is None:
            return
        if path in chain:
            self._fail(_import_failure(item, "the import is circular: this file is read already"))
            return
        if path in self._loaded:
            return
        try:
            source = read(path, shown=str(Path(self.folder or "") / item.path))
        except CompileError as error:
            self._fail(_import_failure(item, error.diagnostics[0].message))
            return
        self._loaded.add(path)
        result = parse(source)
        self.diagnostics.extend(result.diagnostics)
        self.load(result.file, chain | {path})

    def _fail(self, failure: Diagnostic) -> None:
        """An import failed: what it would have brought is not missed again."""
        self.diagnostics.append(failure)
        self.incomplete = True

    def _importable(self, item: syntax.Import) -> Path | None:
        if self.folder is None:
            failure = _import_failure(item, "a text that was not read from a file has no folder to import from")
            self._fail(failure)
            return None
        root = self.folder.resolve()
        try:
            path = (root / item.path).resolve()
            inside = path.is_relative_to(root)
        except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, a loop of links
            self._fail(_import_failure(item, str(error)))
            return None
        if not inside:
            reason = "an import may not leave the folder of the file that is compiled"
            self._fail(_import_failure(item, reason))
            return None
        return path

    def _check_setting(self, item: syntax.Setting) -> bool:
        allowed = SETTING_VALUES[item.kind]
        if item.value.text in allowed:
            return True
        quoted = [f"`{value}`" for value in allowed]
        values = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        near = get_close_matches(item.value.text, allowed, n=1)
        self.diagnostics.append(
            diagnose(
                "F1004",
                f"`{item.kind}` has no value `{item.value.text}`",
                item.value.span,
                help=f"did you mean `{near[0]}`?" if near else f"write {values}",
                repairs=[meant(item.value.span, value) for value in near or allowed],
            )
        )
        return False

    def check_spaces(self, scope: Scope) -> None:
        """Every named space must flatten, used or not; one mistake is reported once."""
        seen: set[tuple[str, int]] = set()
        for declaration in scope.spaces.values():
            if all(isinstance(term, syntax.IrrepTerm) for term in declaration.space.terms):
                continue
            try:
                scope.expand(declaration.name.text)
            except CompileError as error:
                for diagnostic in error.diagnostics:
                    key = (diagnostic.code, diagnostic.span.start)
                    if key not in seen:
                        seen.add(key)
                        self.diagnostics.append(diagnostic)

    def check_pairs(self, scope: Scope) -> None:
        """The ends of every relation must be site sets; an unknown name is reported once."""
        seen: set[str] = set()
        for pairs in scope.pairs.values():
            for end in (pairs.first, pairs.second):
                if end.text not in {*scope.sites, *scope.broken, *seen} and not scope.incomplete:
                    seen.add(end.text)
                    self.diagnostics.append(unknown_name("index set", end.text, end.span, scope.sites))

    def scoped(self, file: syntax.File, scope: Scope) -> tuple[ScopedDiagram, ...]:
        """Diagrams with their settings: a setting holds from where it stands to the end of its file or diagram."""
        settings = Settings()
        first: dict[str, Span] = {}
        diagrams: list[ScopedDiagram] = []
        for item in file.items:
            if isinstance(item, syntax.Setting):
                settings = _with_setting(settings, item)
            elif isinstance(item, syntax.Diagram):
                name = item.name.text
                if name in first:
                    self.diagnostics.append(declared_twice(name, item.name.span, first[name]))
                    continue
                first[name] = item.name.span
                diagrams.append(ScopedDiagram(item, scope, self._local(settings, item)))
        return tuple(diagrams)

    def _local(self, settings: Settings, diagram: syntax.Diagram) -> Settings:
        seen: dict[str, syntax.Setting] = {}
        for statement in diagram.body:
            if not isinstance(statement, syntax.Setting) or not self._check_setting(statement):
                continue
            if statement.kind in seen:
                first = seen[statement.kind].span
                help = "leave one of the two out"
                self.diagnostics.append(declared_twice(f"{statement.kind}", statement.span, first, help))
                continue
            seen[statement.kind] = statement
            settings = _with_setting(settings, statement)
        return settings


def _with_setting(settings: Settings, item: syntax.Setting) -> Settings:
    if item.value.text not in SETTING_VALUES[item.kind]:
        return settings
    if item.kind == "normalize":
        return replace(settings, normalize=item.value.text)
    if item.kind == "paths":
        return replace(settings, paths=item.value.text)
    return replace(settings, basis="complex" if item.value.text == "complex" else "real")


def _import_failure(item: syntax.Import, reason: str) -> Diagnostic:
    return diagnose("F1003", f'cannot import "{item.path}"', item.span, notes=[reason])

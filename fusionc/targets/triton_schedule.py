"""In which order the statements of a kernel stand: so that few values are alive at once.

Statements are sums of products, loads, and sinks (stores, additions to an accumulator). A sink is pulled with all that
it needs; whenever a value is there, it is pushed on into the sums that it is the last to wait for, so that it can be
forgotten. A sum may therefore grow in several statements:

    t5_0 = t1_0 * t4_0
    sum7_0 += t5_0 * t3_0        the last use of t5_0: nothing keeps it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH = 108


@dataclass(frozen=True)
class Term:
    """± factor · left · right; the factor and the right value may be missing."""

    sign: str
    factor: str
    left: str
    right: str = ""

    @property
    def text(self) -> str:
        return " * ".join(part for part in (self.factor, self.left, self.right) if part)

    @property
    def values(self) -> tuple[str, ...]:
        return (self.left, self.right) if self.right else (self.left,)


@dataclass(frozen=True)
class Load:
    """`name = text`, once the names that it needs are there: a load or an address."""

    name: str
    text: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sum:
    """`name = terms added up`; a sum that is `started` goes on in a value that is there already."""

    name: str
    terms: tuple[Term, ...]
    started: bool = False


@dataclass(frozen=True)
class Sink:
    """A statement that writes a value; one that `accumulates` adds it to that name."""

    text: str
    value: str
    needs: tuple[str, ...] = ()
    accumulates: str = ""


Statement = Load | Sum | Sink


def scheduled(statements: Sequence[Statement], later: Sequence[Statement] = ()) -> list[str]:
    """The lines, each after what it needs; `later` statements read some of the values as well."""
    wanted = {name for one in later for name in _read(one)}
    kept: list[Statement] = [
        Sink("", one.name) for one in statements if not isinstance(one, Sink) and one.name in wanted
    ]
    return _Schedule([*_in_accumulators(statements), *kept]).lines()


def _read(one: Statement) -> tuple[str, ...]:
    """The names that a statement needs."""
    if isinstance(one, Sum):
        return tuple(value for term in one.terms for value in term.values)
    return one.needs if isinstance(one, Load) else (one.value, *one.needs)


def _in_accumulators(statements: Sequence[Statement]) -> list[Statement]:
    """Sums that are only added to an accumulator grow there."""
    uses: dict[str, int] = {}
    for one in statements:
        values = [one.value] if isinstance(one, Sink) else []
        if isinstance(one, Sum):
            values = [value for term in one.terms for value in term.values]
        for value in values:
            uses[value] = uses.get(value, 0) + 1
    sums = {one.name for one in statements if isinstance(one, Sum)}
    into = {
        one.value: one.accumulates
        for one in statements
        if isinstance(one, Sink) and one.accumulates and uses[one.value] == 1 and one.value in sums
    }
    found: list[Statement] = []
    for one in statements:
        if isinstance(one, Sum) and one.name in into:
            one = Sum(into[one.name], one.terms, started=True)
        elif isinstance(one, Sink) and one.value in into:
            one = Sink("", into[one.value])
        found.append(one)
    return found


@dataclass
class _Schedule:
    statements: Sequence[Statement]
    out: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    ready: list[str] = field(default_factory=list)
    said: set[int] = field(default_factory=set)
    chunk: tuple[str, list[Term]] | None = None

    def __post_init__(self) -> None:
        self.nodes = {one.name: one for one in self.statements if not isinstance(one, Sink)}
        self.sinks = [one for one in self.statements if isinstance(one, Sink)]
        self.uses: dict[str, list[tuple[str, int]]] = {}
        self.into: dict[str, list[int]] = {}
        self.open: dict[str, dict[int, Term]] = {}
        for one in self.nodes.values():
            if isinstance(one, Sum):
                self.open[one.name] = dict(enumerate(one.terms))
                if one.started:
                    self.begun.add(one.name)
                for place, term in enumerate(one.terms):
                    for value in dict.fromkeys(term.values):
                        self.uses.setdefault(value, []).append((one.name, place))
        for number, sink in enumerate(self.sinks):
            self.into.setdefault(sink.value, []).append(number)
        self.left = {name: len(self.uses.get(name, ())) + len(self.into.get(name, ())) for name in self.nodes}

    def lines(self) -> list[str]:
        order = sorted(range(len(self.sinks)), key=lambda number: self._closure(self.sinks[number].value))
        for number in order:
            self._pull(self.sinks[number].value)
            self._push()
            self._sink(number)
        self._flush()
        return self.out

    def _closure(self, name: str) -> int:
        """How many statements a value is made of."""
        seen: dict[str, None] = {}
        todo = [name]
        while todo:
            one = todo.pop()
            node = self.nodes.get(one)
            if one in seen or node is None:
                continue
            seen[one] = None
            todo += node.needs if isinstance(node, Load) else [value for term in node.terms for value in term.values]
        return len(seen)

    def _there(self, name: str) -> bool:
        return name in self.done or name not in self.nodes

    # --- pulling ---------------------------------------------------------------------------------------------------

    def _pull(self, name: str) -> None:
        """Everything that a value needs, then the value."""
        if self._there(name):
            return
        node = self.nodes[name]
        if isinstance(node, Load):
            for need in node.needs:
                self._pull(need)
            self._say(node.name, node.text)
            self._finish(node.name)
            return
        for place, term in enumerate(node.terms):
            if place not in self.open[name]:
                continue
            for value in term.values:
                self._pull(value)
            if place in self.open[name]:
                self._add(name, place)
                self._push()

    def _add(self, name: str, place: int) -> None:
        """One term of a sum."""
        term = self.open[name].pop(place)
        if self.chunk is None or self.chunk[0] != name:
            self._flush()
            self.chunk = (name, [])
        self.chunk[1].append(term)
        for value in dict.fromkeys(term.values):
            if value in self.left:
                self.left[value] -= 1
        if not self.open[name]:
            self._finish(name)

    def _finish(self, name: str) -> None:
        self.done.add(name)
        self.ready.append(name)

    # --- pushing ---------------------------------------------------------------------------------------------------

    def _push(self) -> None:
        """Values that are there go on to where they are used for the last time."""
        while self.ready:
            value = self.ready.pop(0)
            for name, place in self.uses.get(value, ()):
                term = self.open[name].get(place)
                if term is not None and self._frees(term, name) and self._cheap(term):
                    for other in term.values:
                        self._pull(other)
                    if place in self.open[name]:
                        self._add(name, place)
            for number in self.into.get(value, ()):
                self._sink(number)

    def _frees(self, term: Term, name: str) -> bool:
        """Whether a term keeps no more values alive than before."""
        return any(self.left.get(value) == 1 and self._there(value) for value in term.values)

    def _cheap(self, term: Term) -> bool:
        """Whether what a term still needs is a load, or a load with a factor."""
        for value in term.values:
            node = self.nodes.get(value)
            if self._there(value) or node is None:
                continue
            if isinstance(node, Sum):
                if len(node.terms) > 1 or node.terms[0].right:
                    return False
                node = self.nodes.get(node.terms[0].left)
            if not isinstance(node, Load | None):
                return False
        return True

    def _sink(self, number: int) -> None:
        if number in self.said:
            return
        self.said.add(number)
        sink = self.sinks[number]
        for need in sink.needs:
            self._pull(need)
        self._flush()
        if sink.text:
            self.out.append(sink.text)
        if sink.value in self.left:
            self.left[sink.value] -= 1

    # --- lines -----------------------------------------------------------------------------------------------------

    def _say(self, name: str, text: str) -> None:
        self._flush()
        self.out += statement(f"{name} = ", [text])

    def _flush(self) -> None:
        """Terms that were added to one sum, as one statement."""
        if self.chunk is None:
            return
        (name, terms), self.chunk = self.chunk, None
        words = [f"{'-' if terms[0].sign == '-' else ''}{terms[0].text}"]
        words += [f"{term.sign} {term.text}" for term in terms[1:]]
        self.out += statement(f"{name} {'+=' if name in self.begun else '='} ", words)
        self.begun.add(name)


def statement(start: str, words: Sequence[str]) -> list[str]:
    """`start words`, over several lines where that is long."""
    text = " ".join(words)
    if len(start) + len(text) <= WIDTH:
        return [start + text]
    lines, line = [f"{start}("], "   "
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += f" {word}"
    return [*lines, line, ")"]

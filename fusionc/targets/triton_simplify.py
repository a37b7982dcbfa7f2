"""Fewer operations in the statements of a kernel, before they are put in order.

a sum that is only read by another sum grows there        t3 = t1 * t2;  t5 = t3 + t4     ->  t5 = t1 * t2 + t4
a product that is only read with a factor takes it        t3 = t1 * t2;  t5 = 0.5 * t3    ->  t5 = 0.5 * t1 * t2
where all terms are subtracted, they are added and the    t3 = -t1 * t2; t5 = t3 * t4     ->  t5 = -t3 * t4
sum is subtracted where it is read
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionc.targets.triton_schedule import Sink, Statement, Sum, Term

NEVER = 2
"""A value that is read by more than sums counts as read so often: it stays."""


def simplified(parts: Sequence[Sequence[Statement]], read: Iterable[str] = ()) -> list[list[Statement]]:
    """The statements of the parts of a kernel; names that are `read` by anything else stay as they are."""
    fixed = {*read, *(name for part in parts for one in part for name in _needs(one))}
    uses = dict.fromkeys(fixed, NEVER)
    for term in (term for part in parts for one in part if isinstance(one, Sum) for term in one.terms):
        for name in term.values:
            uses[name] = uses.get(name, 0) + 1
    return _positive([_grown(part, uses) for part in parts], fixed)


def _needs(one: Statement) -> tuple[str, ...]:
    """What a statement that is no sum reads."""
    if isinstance(one, Sum):
        return ()
    return (one.value, *one.needs) if isinstance(one, Sink) else one.needs


def _grown(statements: Sequence[Statement], uses: dict[str, int]) -> list[Statement]:
    """Sums with the terms of sums that nothing else reads, in the same part: what is outside of a loop stays there."""
    found: dict[str, Sum] = {}
    gone: set[str] = set()
    for one in statements:
        if not isinstance(one, Sum):
            continue
        found[one.name] = one
        inside = {term.left for term in one.terms if _goes_into(term, found.get(term.left), uses)}
        if inside:
            gone |= inside
            parts = [_within(term, found[term.left]) if term.left in inside else (term,) for term in one.terms]
            found[one.name] = Sum(one.name, tuple(term for part in parts for term in part))
    return [found[one.name] if isinstance(one, Sum) else one for one in statements if _name(one) not in gone]


def _goes_into(term: Term, inner: Sum | None, uses: dict[str, int]) -> bool:
    """Whether a term is a sum that is read nowhere else, or a number times one that is a product."""
    if term.right or inner is None or uses[term.left] > 1:
        return False
    return not term.factor or (len(inner.terms) == 1 and not inner.terms[0].factor)


def _within(term: Term, inner: Sum) -> tuple[Term, ...]:
    """What a term is where it is another sum."""
    return tuple(
        Term(_times(term.sign, one.sign), term.factor or one.factor, one.left, one.right) for one in inner.terms
    )


def _positive(parts: Sequence[Sequence[Statement]], fixed: set[str]) -> list[list[Statement]]:
    """Statements with no sum of which everything is subtracted, but for the `fixed` ones."""
    turned: set[str] = set()
    found: list[list[Statement]] = []
    for part in parts:
        found.append([])
        for one in part:
            if isinstance(one, Sum):
                if any(not turned.isdisjoint(term.values) for term in one.terms):
                    one = Sum(one.name, tuple(_turned(term, turned) for term in one.terms))
                if one.name not in fixed and all(term.sign == "-" for term in one.terms):
                    turned.add(one.name)
                    one = Sum(one.name, tuple(_negative(term) for term in one.terms))
            found[-1].append(one)
    return found


def _turned(term: Term, turned: set[str]) -> Term:
    """A term in which some values have changed their sign."""
    return _negative(term) if sum(name in turned for name in term.values) % 2 else term


def _negative(term: Term) -> Term:
    return Term(_times(term.sign, "-"), term.factor, term.left, term.right)


def _times(one: str, other: str) -> str:
    return "+" if one == other else "-"


def _name(one: Statement) -> str:
    return "" if isinstance(one, Sink) else one.name

"""The statements of Triton kernels run as Python, in exact integers: simpler, or in order, they write the same."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from fusionc.targets.triton_schedule import Address, Load, Sink, Statement, Sum, Term, scheduled
from fusionc.targets.triton_simplify import simplified

TOTALS = [f"total{k}" for k in range(6)]
TRITON = SimpleNamespace(fma=lambda a, b, c: a * b + c)


@st.composite
def parts(draw) -> tuple[list[Statement], list[Statement]]:
    """Loads, and sums of products of what is there already, in two parts of which the second reads the first; results
    are written, or added to an accumulator each."""
    count = draw(st.integers(1, 5))
    loads: list[Statement] = [
        Load(f"x{k}", f"memory[at_u + {k}]", ("at",), address=Address("at", k, 1, "at_u")) for k in range(count)
    ]
    head: list[Statement] = [Load("at", "0", (), 2), *loads]
    tail: list[Statement] = []
    names = [f"x{k}" for k in range(count)]
    for k in range(draw(st.integers(1, 14))):
        one = Sum(f"t{k}", tuple(draw(st.lists(terms(names), min_size=1, max_size=4))))
        (tail if tail or draw(st.integers(0, 4)) == 0 else head).append(one)
        names.append(one.name)
    for k, name in enumerate(draw(st.lists(st.sampled_from(names), min_size=1, max_size=6))):
        accumulates = draw(st.booleans())
        text = f"total{k} += {name}" if accumulates else f"out[{k}] = {name}"
        tail.append(Sink(text, name, accumulates=f"total{k}" if accumulates else ""))
    return head, tail


@st.composite
def terms(draw, names: list[str]) -> Term:
    right = draw(st.sampled_from(["", *names]))
    return Term(draw(st.sampled_from("+-")), draw(st.sampled_from(["", "", "2", "3"])), draw(one_of(names)), right)


def one_of(names: list[str]):
    return st.sampled_from(names)


def run(lines: list[str]) -> tuple[dict[int, int], list[int]]:
    """What the lines write, and what accumulators hold."""
    out: dict[int, int] = {}
    space = {"tl": TRITON, "memory": [3, -2, 5, 7, -11], "out": out, "u": 0} | dict.fromkeys(TOTALS, 0)
    exec("\n".join(lines), space)
    return out, [space[name] for name in TOTALS]


def as_it_stands(statements: list[Statement]) -> list[str]:
    lines = ["at_u = 0"]
    for one in statements:
        if isinstance(one, Sum):
            lines.append(f"{one.name} = {' '.join(f'{term.sign} {term.text}' for term in one.terms)}")
        else:
            lines.append(f"{one.name} = {one.text}" if isinstance(one, Load) else one.text)
    return lines


@given(parts())
def test_simpler_statements_write_the_same(both):
    wanted = run(as_it_stands([*both[0], *both[1]]))
    head, tail = simplified(both)
    assert run(as_it_stands([*head, *tail])) == wanted
    assert count(head, tail) <= count(*both)


@given(parts(), st.sampled_from([0, 4, 1000]))
def test_statements_in_order_write_the_same(both, enough):
    """Few registers asked for: all orders are tried."""
    wanted = run(as_it_stands([*both[0], *both[1]]))
    head, tail = scheduled(both[0], both[1], enough), scheduled(both[1], (), enough)
    assert run([*head.lines, *tail.lines]) == wanted


def count(*parts: list[Statement]) -> int:
    return sum(len(one.terms) for part in parts for one in part if isinstance(one, Sum))


def test_sums_grow_where_they_are_read():
    part = [
        Sum("t3", (Term("+", "", "a", "b"), Term("-", "", "c", "d"))),
        Sum("t4", (Term("-", "", "a", "d"),)),
        Sum("t5", (Term("-", "", "t3"), Term("+", "0.5", "t4"))),
    ]
    (found,) = simplified([[*part, Sink("store", "t5")]])
    assert found == [
        Sum("t5", (Term("-", "", "a", "b"), Term("+", "", "c", "d"), Term("-", "0.5", "a", "d"))),
        Sink("store", "t5"),
    ]


def test_what_is_only_subtracted_is_added_and_subtracted_later():
    part = [Sum("t1", (Term("-", "", "a"), Term("-", "", "b"))), Sum("t2", (Term("-", "", "t1", "c"),))]
    (found,) = simplified([[*part, Sink("store", "t2")]])
    assert found[:2] == [Sum("t1", (Term("+", "", "a"), Term("+", "", "b"))), Sum("t2", (Term("+", "", "t1", "c"),))]

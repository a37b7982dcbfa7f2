"""Exact 3j, 6j and 9j symbols against sympy: whether they agree, how long both take, and how far up ours go.

Three parts:

* agreement: random symbols that no selection rule makes zero, with spins to 20, against `sympy.physics.wigner`. Both
  numbers are exact. Each is a sign times the square root of a rational, so they are equal if their squares with that
  sign are, and those are compared as fractions: no decimal decides. Spins are drawn one after the other, each evenly
  from what the triangles leave, the projections of a 3j evenly from all. Neither side's caches are emptied here.
* table: all 6j symbols with every spin at most 6, once with all labels and once a class of the 24 classical symmetries
  (columns in any order, upper and lower exchanged in two columns). Then the same random classes are evaluated by both
  sides in turn, round after round, and the ratio of the two times is taken round by round. Before each round our caches
  are emptied; sympy keeps its factorials and its simplified roots, as it would in a long session.
* large: sum rules with spins up to 500, whose terms are single symbols; their sums are exact as well, and are compared
  with 1 and 0.

One core, no parallel processes. Run `python benchmarks/exact_symbols.py`; `--quick` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import sympy
from sympy.physics.wigner import wigner_3j, wigner_6j, wigner_9j

from fusionc.algebra import integers, wigner
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import nine_j, six_j, three_j, triangle

Labels = tuple[int, ...]  # doubled
TOP = 40  # spin 20


# -- random symbols --------------------------------------------------------------------------------------------


def meeting(*pairs: tuple[int, int], top: int = TOP) -> list[int]:
    """The doubled spins up to `top` that can meet each of the pairs at a vertex."""
    return [c for c in range(top + 1) if all(triangle(a, b, c) for a, b in pairs)]


def random_3j(random: Random) -> Labels:
    while True:
        a, b = random.randint(0, TOP), random.randint(0, TOP)
        c = random.choice(meeting((a, b)))
        al, be = random.randrange(-a, a + 1, 2), random.randrange(-b, b + 1, 2)
        if abs(al + be) <= c:
            return a, b, c, al, be, -al - be


def random_6j(random: Random) -> Labels:
    while True:
        a, b, d = (random.randint(0, TOP) for _ in range(3))
        c = random.choice(meeting((a, b)))
        e = random.choice(meeting((c, d)))
        if choices := meeting((a, e), (d, b)):
            return a, b, c, d, e, random.choice(choices)


def random_9j(random: Random) -> Labels:
    while True:
        a, b, d, e = (random.randint(0, TOP) for _ in range(4))
        c, f, g, h = (random.choice(meeting(pair)) for pair in ((a, b), (d, e), (a, d), (b, e)))
        if choices := meeting((g, h), (c, f)):
            return a, b, c, d, e, f, g, h, random.choice(choices)


KINDS: dict[str, tuple[Callable[[Random], Labels], Callable[..., Surd], Callable[..., sympy.Expr]]] = {
    "3j": (random_3j, three_j, wigner_3j),
    "6j": (random_6j, six_j, wigner_6j),
    "9j": (random_9j, nine_j, wigner_9j),
}


# -- agreement -------------------------------------------------------------------------------------------------


def halves(labels: Labels) -> list[sympy.Rational]:
    """Spins and projections as sympy takes them."""
    return [sympy.Rational(label, 2) for label in labels]


def signed_square(value: Surd | sympy.Expr) -> Fraction:
    """sign(value) * value^2, which is rational for every symbol and tells it apart from every other."""
    if isinstance(value, Surd):
        return value.sign() * value.squared_rational()
    square = sympy.expand(value**2)
    if not square.is_Rational:
        raise ValueError(f"the square of {value} is not a rational number")
    size = Fraction(int(square.p), int(square.q))
    return -size if value.is_negative else size


def agreement(kind: str, count: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Compare `count` random symbols of a kind; both sides are timed on the same labels."""
    draw, ours, theirs = KINDS[kind]
    random = Random(f"{kind} {seed}")
    result: dict[str, Any] = {"kind": kind, "count": count, "mismatches": 0, "zeros": 0, "examples": []}
    our_time = their_time = 0.0
    for number in range(count):
        labels = draw(random)
        start = perf_counter()
        mine = ours(*labels)
        our_time += perf_counter() - start
        arguments = halves(labels)
        start = perf_counter()
        other = theirs(*arguments)
        their_time += perf_counter() - start
        result["zeros"] += not mine
        if signed_square(mine) != signed_square(other):
            result["mismatches"] += 1
            result["examples"] = [*result["examples"], labels][:5]
        progress.show(f"{kind}: {number + 1} of {count}, {result['mismatches']} mismatches")
    return result | {"fusionc_s": our_time, "sympy_s": their_time, "ratio": their_time / our_time}


# -- the table of 6j symbols to spin 6 -------------------------------------------------------------------------


def every_6j(top: int) -> Iterator[Labels]:
    """All labels (a b c; d e f), doubled and at most `top`, that obey the four triangle rules."""
    for a, b in product(range(top + 1), repeat=2):
        for c in meeting((a, b), top=top):
            for d in range(top + 1):
                for e in meeting((c, d), top=top):
                    for f in meeting((a, e), (d, b), top=top):
                        yield a, b, c, d, e, f


def is_first_of_its_class(labels: Labels) -> bool:
    """Whether no arrangement under the 24 classical symmetries comes earlier in lexicographic order."""
    columns = list(zip(labels[:3], labels[3:], strict=True))
    for exchanged in ((), (0, 1), (0, 2), (1, 2)):
        turned = [column[::-1] if place in exchanged else column for place, column in enumerate(columns)]
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
            upper, lower = zip(*(turned[place] for place in order), strict=True)
            if (*upper, *lower) < labels:
                return False
    return True


def empty_caches() -> None:
    """Forget all that our symbols remember: values, square roots of factorials, square-free parts."""
    for module in (wigner, integers):
        for function in vars(module).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def seconds(labels: Sequence[Labels], function: Callable[..., Any], prepare: Callable[[Labels], Any]) -> float:
    arguments = [prepare(one) for one in labels]
    start = perf_counter()
    for one in arguments:
        function(*one)
    return perf_counter() - start


def table(top: int, rounds: int, sample: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Time all 6j symbols up to a doubled spin, and the ratio to sympy on random ones."""
    progress.show("6j: listing the labels")
    everything = list(every_6j(top))
    classes = [labels for labels in everything if is_first_of_its_class(labels)]
    times: dict[str, list[float]] = {"all": [], "classes": []}
    for number in range(5):
        for name, labels in (("all", everything), ("classes", classes)):
            progress.show(f"6j: timing the table, {number + 1} of 5")
            empty_caches()
            times[name].append(seconds(labels, six_j, tuple))
    progress.show("6j: the whole table by sympy")
    sympy_all = seconds(everything, wigner_6j, halves)
    random, ratios, ours, theirs = Random(seed), [], [], []
    sample = min(sample, len(classes))
    for number in range(-1, rounds):
        progress.show(f"6j: side by side with sympy, round {number + 1} of {rounds}")
        chosen = random.sample(classes, sample)
        empty_caches()
        if number % 2:
            their_time, our_time = seconds(chosen, wigner_6j, halves), seconds(chosen, six_j, tuple)
        else:
            our_time, their_time = seconds(chosen, six_j, tuple), seconds(chosen, wigner_6j, halves)
        if number < 0:
            continue  # a round to warm up, which is not counted
        ours.append(our_time)
        theirs.append(their_time)
        ratios.append(their_time / our_time)
    low, _, high = quantiles(ratios, n=4)
    return {
        "largest_spin": top / 2,
        "labels": len(everything),
        "labels_s": median(times["all"]),
        "sympy_labels_s": sympy_all,
        "classes": len(classes),
        "classes_s": median(times["classes"]),
        "rounds": rounds,
        "sample": sample,
        "fusionc_us": median(ours) / sample * 1e6,
        "sympy_us": median(theirs) / sample * 1e6,
        "ratio": {"median": median(ratios), "quartiles": [low, high], "least": min(ratios), "most": max(ratios)},
    }


# -- large spins -----------------------------------------------------------------------------------------------


def sums_of_squares(j: int) -> Iterator[tuple[str, int, Surd, Surd]]:
    """Sum rules around spin j: what it says, the number of terms, the exact sum, what it should be.

    sum_x (2x+1)(2f+1) {a b x; c d f} {a b x; c d g} = delta_fg, here with a = b = f = j and c = d = j/2 (rounded to
    an integer, and g = j-1), so x runs to j; and sum over m of (j j j; m -m 0)^2 = 1/(2j+1), and over c of
    (2c+1) (a b c; al be -al-be)^2 = 1, with a = b = j/2.
    """
    a, half = 2 * j, j - j % 2
    spins = range(0, 2 * half + 1, 2)
    rows = [(six_j(a, a, x, half, half, a), six_j(a, a, x, half, half, a - 2), x + 1) for x in spins]
    same = sum((one * one * weight for one, _, weight in rows), ZERO) * (a + 1)
    other = sum((one * two * weight for one, two, weight in rows), ZERO) * (a + 1)
    yield "6j, f = g", len(rows), same, ONE
    yield "6j, f != g", len(rows), other, ZERO
    projections = range(-a, a + 1, 2)
    squares = sum((three_j(a, a, a, m, -m, 0) ** 2 for m in projections), ZERO) * (a + 1)
    yield "3j, over m", len(projections), squares, ONE
    coupled = sum((three_j(half, half, c, 0, -2, 2) ** 2 * (c + 1) for c in spins if c), ZERO)
    yield "3j, over j", len(spins) - 1, coupled, ONE


def large(spins: Sequence[int], progress: Progress) -> list[dict[str, Any]]:
    """The sum rules, exactly, with empty caches; and one 6j and one 3j symbol of each size alone."""
    results = []
    for j in spins:
        progress.show(f"sum rules at spin {j}")
        empty_caches()
        start = perf_counter()
        six_j(2 * j, 2 * j, 2 * j, 2 * j, 2 * j, 2 * j)
        one_6j = perf_counter() - start
        empty_caches()
        start = perf_counter()
        three_j(2 * j, 2 * j, 2 * j, 2, -2, 0)
        one_3j = perf_counter() - start
        empty_caches()
        start = perf_counter()
        rules = [
            {"rule": name, "terms": terms, "exact": found == wanted}
            for name, terms, found, wanted in sums_of_squares(j)
        ]
        took = perf_counter() - start
        results.append({"spin": j, "rules": rules, "sums_s": took, "one_6j_s": one_6j, "one_3j_s": one_3j})
    return results


# -- printing --------------------------------------------------------------------------------------------------


class Progress:
    """One line that is written over, on a terminal only."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.last = 0.0

    def show(self, text: str) -> None:
        if self.terminal and perf_counter() - self.last > 0.1:
            self.last = perf_counter()
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def done(self) -> None:
        if self.terminal:
            sys.stderr.write("\r\033[K")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Compare exact 3j, 6j and 9j symbols with sympy, and time both. Exit code 1 if any differ.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=10_000, help="random symbols of each kind")
    parser.add_argument("--rounds", type=int, default=21, help="rounds of ours and sympy's in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the random symbols")
    parser.add_argument("--quick", action="store_true", help="100 symbols of each kind, spins to 2 and to 50, 5 rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    count, rounds, top, spins = arguments.count, arguments.rounds, 12, [50, 100, 200, 500]
    if arguments.quick:
        count, rounds, top, spins = min(count, 100), 5, 4, [10, 50]
    if count < 1 or rounds < 2:
        parser.error("at least one symbol and two rounds are needed")

    progress = Progress()
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "sympy": sympy.__version__,
        "table": table(top, rounds, 300, arguments.seed, progress),  # first: the other parts fill sympy's caches
        "large": large(spins, progress),
        "agreement": [agreement(kind, count, arguments.seed, progress) for kind in KINDS],
    }
    progress.done()
    print(json.dumps(report, indent=2) if arguments.json else text(report))
    exact = all(rule["exact"] for size in report["large"] for rule in size["rules"])
    return 0 if exact and not any(part["mismatches"] for part in report["agreement"]) else 1


def text(report: dict[str, Any]) -> str:
    lines = [f"{'spins to 20':<12}{'symbols':>9}{'mismatches':>12}{'fusionc':>11}{'sympy':>11}{'ratio':>8}"]
    for part in report["agreement"]:
        ours, theirs = (part[name] / part["count"] * 1e6 for name in ("fusionc_s", "sympy_s"))
        lines.append(
            f"{part['kind']:<12}{part['count']:>9,}{part['mismatches']:>12}{ours:>8.0f} us{theirs:>8.0f} us"
            f"{part['ratio']:>8.0f}"
        )
        lines += [f"    differs: {labels} (doubled)" for labels in part["examples"]]
    found = report["table"]
    ratio, (low, high) = found["ratio"], found["ratio"]["quartiles"]
    lines += [
        "",
        f"all 6j with spins to {found['largest_spin']:g}: {found['labels']:,} labels in {found['labels_s']:.2f} s, "
        f"{found['classes']:,} classes in {found['classes_s']:.3f} s",
        f"the same labels by sympy: {found['sympy_labels_s']:.1f} s, {found['sympy_labels_s'] / found['labels_s']:.0f} "
        "times as long",
        f"side by side, {found['rounds']} rounds of {found['sample']} classes: "
        f"{found['fusionc_us']:.1f} us and {found['sympy_us']:.0f} us a symbol; "
        f"ratio {ratio['median']:.0f} (quartiles {low:.0f} to {high:.0f}, all {ratio['least']:.0f} to "
        f"{ratio['most']:.0f})",
        "",
        f"{'spin':>6}{'one 6j':>12}{'one 3j':>12}{'sum rules':>12}   exact",
    ]
    for size in report["large"]:
        rules = ", ".join(f"{rule['rule']} ({rule['terms']})" for rule in size["rules"] if rule["exact"])
        wrong = ", ".join(rule["rule"] for rule in size["rules"] if not rule["exact"])
        lines.append(
            f"{size['spin']:>6}{size['one_6j_s'] * 1e3:>9.2f} ms{size['one_3j_s'] * 1e3:>9.2f} ms"
            f"{size['sums_s']:>10.3f} s   {rules}" + (f"; WRONG: {wrong}" if wrong else "")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

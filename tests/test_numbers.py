"""Diagrams that are numbers: exact values against the dense contraction of their vertex tensors."""

from __future__ import annotations

import random

import numpy as np
import opt_einsum
import pytest
import reference

from fusionc.algebra.groups import GROUPS
from fusionc.diagram.loops import Closing, Coupling, Pair, Same, Splitting
from fusionc.diagram.wires import all_labelings, wire_diagram
from fusionc.language.parser import parse
from fusionc.language.resolve import resolve
from fusionc.language.source import Source
from fusionc.rewrite.closed import value


def wires(text: str):
    source = Source("<test>", text)
    parsed = parse(source)
    unit, found = resolve(source, parsed.file, None)
    assert not parsed.diagnostics
    assert not found
    return wire_diagram(unit.diagrams[0])


def dense(diagram) -> float:
    """The sum over labelings of the plain contraction of dense tensors; shares only the labelings with the compiler."""
    group, total = diagram.group, 0.0
    for labels in all_labelings(diagram):
        numbers = {wire: number for number, wire in enumerate(labels)}
        ends = {wire: [2 * number, 2 * number + 1] for wire, number in numbers.items()}  # made, used
        operands: list[object] = []

        def tensor(a, b, c, labels=labels):
            return group.vertex(labels[a], labels[b], labels[c], basis=diagram.basis).to_numpy()

        for wire in labels:
            operands += [np.eye(group.dim(labels[wire])), ends[wire]]
        for part in diagram.wiring.parts:
            if isinstance(part, Coupling):
                axes = [ends[part.first][1], ends[part.second][1], ends[part.result][0]]
                operands += [tensor(part.first, part.second, part.result), axes]
            elif isinstance(part, Splitting):
                axes = [ends[part.first][0], ends[part.second][0], ends[part.source][1]]
                operands += [tensor(part.first, part.second, part.source), axes]
            elif isinstance(part, Pair | Closing):
                side = 0 if isinstance(part, Pair) else 1
                j = labels[part.first]
                pair = group.vertex(j, labels[part.second], group.trivial, basis=diagram.basis).to_numpy()[:, :, 0]
                operands += [pair, [ends[part.first][side], ends[part.second][side]]]
            else:
                assert isinstance(part, Same)
                dim = group.dim(labels[part.first])
                operands += [np.eye(dim), [ends[part.first][1], ends[part.second][0]]]
        total += float(opt_einsum.contract(*operands, [], optimize="auto"))
    dim = group.dim(labels[diagram.traced]) if diagram.traced is not None and all_labelings(diagram) else 1
    return total * float(diagram.factor) / dim


F_SYMBOL = """
group SU(2)
diagram recoupling(x: 1/2) -> 1/2 {
    edge a: 1/2, b: 1/2, c: 1/2, e: 0, f: 1
    x -> e c
    e -> a b
    b c -> f
    a f -> out
}
"""


def test_the_f_symbol_of_three_spins():
    diagram = wires(F_SYMBOL)
    assert str(value(diagram)) == "√3/2"
    assert abs(dense(diagram) - 3**0.5 / 2) < 1e-14


def test_recoupling_matrix_of_three_spins():
    rows = []
    for e in (0, 1):
        texts = [F_SYMBOL.replace("e: 0, f: 1", f"e: {e}, f: {f}") for f in (0, 1)]
        rows.append([str(value(wires(text))) for text in texts])
    assert rows == [["-1/2", "√3/2"], ["√3/2", "1/2"]] or rows == [["1/2", "√3/2"], ["√3/2", "-1/2"]], rows


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("-> p q in 1; p q ->", "1"),
        ("x -> out", "1"),
        ("x -> out * 2/3", "2/3"),
    ],
)
def test_small_numbers(body, wanted):
    header = "(x: 1) -> 1" if "x" in body else "()"
    assert str(value(wires(f"group SO(3)\ndiagram d{header} {{ {body} }}"))) == wanted


def random_text(rng: random.Random, group: str, steps: int) -> str:
    """A random number: wires are made by pairs, coupled and split, and closed in the end; every wire has a label."""
    g = GROUPS[group]
    spins = ["0", "1/2", "1", "3/2", "2"] if group == "SU(2)" else ["0", "1", "2"]
    names = [s + p for s in spins for p in (("e", "o") if group == "O(3)" else ("",))]
    lines, labels, live, count = [], {}, [], 0

    def fresh(irrep):
        nonlocal count
        count += 1
        labels[f"w{count}"] = g.format(irrep)
        return f"w{count}", irrep

    for _ in range(2):
        irrep = g.parse(rng.choice(names))
        one, two = fresh(irrep), fresh(irrep)
        lines.append(f"-> {one[0]} {two[0]}")
        live += [one, two]
    for _ in range(steps):
        rng.shuffle(live)
        if rng.random() < 0.5 and len(live) > 1:
            (a, ia), (b, ib) = live.pop(), live.pop()
            options = [c for c, _ in g.product(ia, ib) if g.dim(c) <= 7]
            if not options:
                live += [(a, ia), (b, ib)]
                continue
            c = fresh(rng.choice(options))
            lines.append(f"{a} {b} -> {c[0]}")
            live.append(c)
        else:
            c, ic = live.pop()
            first = g.parse(rng.choice(names))
            second = rng.choice([i for i, _ in g.product(ic, first)])
            one, two = fresh(first), fresh(second)
            lines.append(f"{c} -> {one[0]} {two[0]}")
            live += [one, two]
    while len(live) > 1:
        (a, ia), (b, ib) = live.pop(), live.pop()
        if not live and ia == ib:
            lines.append(f"{a} {b} ->")
            break
        options = [c for c, _ in g.product(ia, ib)]
        c = fresh(options[0] if not live else rng.choice(options[:3]))
        lines.append(f"{a} {b} -> {c[0]}")
        live.append(c)
    if live:  # one wire is left, and has nowhere to go
        return ""
    header = ", ".join(f"{wire}: {label}" for wire, label in labels.items())
    return f"group {group}\ndiagram d() {{\n    edge {header}\n    " + "\n    ".join(lines) + "\n}\n"


@pytest.mark.parametrize("group", ["SU(2)", "SO(3)", "O(3)"])
@pytest.mark.parametrize("basis", ["complex", "real"])
def test_random_numbers_equal_the_dense_contraction(group, basis):
    if basis not in GROUPS[group].bases:
        pytest.skip("no such basis")
    rng, tried, nonzero = random.Random(7), 0, 0
    while tried < 40:
        text = random_text(rng, group, rng.randint(1, 6))
        if not text:
            continue
        tried += 1
        text = text.replace("diagram d", f"basis {basis}\ndiagram d")
        diagram = wires(text)
        exact, wanted = float(value(diagram)), dense(diagram)
        assert abs(reference.number(text) - wanted) < 1e-12 * max(1.0, abs(wanted)), text
        assert abs(exact - wanted) < 1e-12 * max(1.0, abs(wanted)), text
        nonzero += abs(wanted) > 1e-6
    assert nonzero > 5

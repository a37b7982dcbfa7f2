"""Loops between operands: the compiled module against the dense contraction of the wires as they stand."""

from __future__ import annotations

import random

import numpy as np
import pytest
import reference
import torch

import fusionc
from fusionc.algebra.groups import GROUPS
from fusionc.program.interpret import interpret
from fusionc.program.ir import LegBlock, Linear, Product
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_legs, random_weights
from fusionc.tools.verify import as_tuple, relative, verify


def random_text(rng: random.Random, group: str) -> str:
    """Up to three operands, some with channels, tangled by random splits, pairs and couplings; all wires labelled."""
    g = GROUPS[group]
    spins = ["0", "1/2", "1", "3/2"] if group == "SU(2)" else ["0", "1", "2"]
    names = [s + p for s in spins for p in (("e", "o") if group == "O(3)" else ("",))]
    legs, live, lines, labels, count = [], [], [], {}, 0

    def fresh(irrep, wide):
        nonlocal count
        count += 1
        labels[f"w{count}"] = g.format(irrep)
        return (f"w{count}", irrep, wide)

    def word(wire):
        return f"{wire[0]}[u]" if wire[2] else wire[0]

    def couple():
        """Couple the last two wires; False where they only reach large spins."""
        one, two = live.pop(), live.pop()
        options = [c for c, _ in g.product(one[1], two[1]) if g.dim(c) <= 7]
        if not options:
            return False
        result = fresh(rng.choice(options), one[2] or two[2])
        lines.append(f"{word(one)} {word(two)} -> {word(result)}")
        live.append(result)
        return True

    for name in "xyz"[: rng.randint(1, 3)]:
        irrep, wide = g.parse(rng.choice(names)), not legs and rng.random() < 0.6
        legs.append(f"{name}: {'3x' if wide else ''}{g.format(irrep)}")
        live.append((name, irrep, wide))
    lines.append(None)
    for step in range(rng.randint(2, 6)):
        rng.shuffle(live)
        kind = "split" if step == 0 else rng.choice(["split", "couple", "pair"])
        if kind == "pair":
            irrep = g.parse(rng.choice(names))
            one, two = fresh(irrep, False), fresh(irrep, False)
            lines.append(f"-> {one[0]} {two[0]}")
            live += [one, two]
        elif kind == "split":
            wire = live.pop()
            first = g.parse(rng.choice(names))
            second = rng.choice([i for i, _ in g.product(wire[1], first)])
            one, two = fresh(first, False), fresh(second, wire[2])
            lines.append(f"{word(wire)} -> {one[0]} {word(two)}")
            live += [one, two]
        elif len(live) > 2 and not couple():
            return ""
    while len(live) > 2:
        if not couple():
            return ""
    wide = any(wire[2] for wire in live)
    target = rng.choice([c for c, _ in g.product(live[0][1], live[1][1])]) if len(live) == 2 else live[0][1]
    lines[0] = f"edge {', '.join(f'{wire}: {label}' for wire, label in labels.items())}"
    weight = " * W[path, u]" if wide else " * W[path]"
    lines.append(f"{' '.join(map(word, live))} -> out{'[u]' if wide else ''}{weight}")
    settings = f"group {group}\nnormalize {rng.choice(['component', 'norm', 'none'])}\nbasis {rng.choice(g.bases)}\n"
    body = "\n    ".join(lines)
    return f"{settings}diagram d({', '.join(legs)}) -> {'3x' if wide else ''}{g.format(target)} {{\n    {body}\n}}\n"


@pytest.mark.parametrize("group", ["O(3)", "SO(3)", "SU(2)"])
def test_random_loops_equal_the_dense_contraction(group):
    rng, compiled, nonzero, tried = random.Random(3), 0, 0, 0
    while compiled < 25 and tried < 2000:
        tried += 1
        text = random_text(rng, group)
        try:
            diagram = fusionc.parse(text)["d"] if text else None
        except fusionc.CompileError as error:  # labels that leave nothing, or an output that wires do not reach
            assert {d.code for d in error.diagnostics if d.is_error} <= {"F2001", "F2002", "F2003", "F1011"}, str(error)
            diagram = None
        if diagram is None:
            continue
        compiled += 1
        table, numbers = diagram.checked.table, np.random.default_rng(0)
        operands, weights = random_legs(table, 3, numbers), random_weights(table, numbers)
        wanted = evaluate(table, operands, weights)
        assert reference.agrees(reference.evaluate_arrays(text, operands, weights), wanted), text
        size = max(1.0, max(float(np.abs(part).max()) for part in wanted))
        got = interpret(diagram.checked.program(), operands, weights)
        assert all(np.abs(g - w).max() < 1e-12 * size for g, w in zip(got, wanted, strict=True)), text
        module = load_module(diagram.checked, weights)
        with torch.no_grad():
            out = [part.numpy() for part in as_tuple(module(*map(torch.as_tensor, operands)))]
        assert all(np.abs(g - w).max() < 1e-12 * size for g, w in zip(out, wanted, strict=True)), text
        nonzero += max(float(np.abs(part).max()) for part in wanted) > 1e-9
    assert compiled == 25
    assert nonzero > 10


def test_examples_of_loops_verify():
    path = __file__.replace("tests/test_loops.py", "examples/exchange.fus")
    for diagram in fusionc.load(path).diagrams.values():
        assert verify(diagram.checked).ok


def test_a_loop_is_gone_from_the_program():
    """A diagram with a loop is the program of the same diagram with the loop replaced by its value."""
    loop = fusionc.parse("diagram d(x: 16x2e) -> 16x2e { edge a: 1o, b: 1o; x[u] -> a[u] b; a[u] b -> out[u] * 1/2 }")[
        "d"
    ].checked.program()
    plain = fusionc.parse("diagram d(x: 16x2e) -> 16x2e { x[u] -> out[u] * 1/2 }")["d"].checked.program()
    assert loop.instructions == plain.instructions
    assert [type(instruction.op) for instruction in loop.instructions] == [LegBlock, Linear]
    exchange = fusionc.parse(
        "diagram d(x: 8x1o, y: 1o) -> 8x1e { edge a: 1o, b: 2e; x[u] -> a[u] b; b y -> c in 1o; "
        "a[u] c -> out[u] * W[path, u] }"
    )["d"].checked.program()
    single = fusionc.parse("diagram d(x: 8x1o, y: 1o) -> 8x1e { x[u] y -> out[u] * W[path, u] }")["d"].checked.program()
    sizes = [[len(i.op.terms) for i in p.instructions if isinstance(i.op, Product)] for p in (exchange, single)]
    assert sizes[0] == sizes[1]


def test_evaluation_of_one_irrep_to_itself_is_the_module():
    program = fusionc.load(__file__.replace("tests/test_loops.py", "examples/recoupling.fus"))
    for name, diagram in program.diagrams.items():
        dim = diagram.checked.table.outputs["out"].dim(diagram.checked.graph.group)
        value = torch.randn(2, dim, dtype=torch.complex128)
        error = relative([diagram.module()()(value).numpy()], [value.numpy() * float(diagram.evaluate())])
        assert error < 1e-15, name

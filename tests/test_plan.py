"""Plans: what they cost, that the cost is what runs, and that results do not depend on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as cartesian

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import trees

import fusionc
from fusionc.cache import import_text
from fusionc.driver import emission
from fusionc.program.cost import count
from fusionc.program.interpret import interpret
from fusionc.program.ir import LegBlock, Linear, Product, Program, WeightBlock
from fusionc.program.select import STRATEGIES
from fusionc.targets.registry import Options
from fusionc.targets.torch import emit
from fusionc.tools.oracle import evaluate, random_legs, random_weights
from fusionc.tools.report import cost_report
from fusionc.tools.verify import as_tuple, relative

PROPERTY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
BATCH = 1000


def compiled(text: str):
    try:
        diagram = fusionc.parse(text)["d"]
    except fusionc.CompileError:
        assume(False)
    assume(0 < diagram.count_paths() <= 300)
    return diagram.checked


# --- the cost is what runs ---------------------------------------------------------------------------------------


@dataclass
class Tally:
    multiplications: int = 0
    additions: int = 0
    scalings: int = 0


def run_counting(program: Program, legs, weights) -> tuple[list, Tally]:
    """A program run number by number for one batch element, with every operation counted as it happens. It knows the
    instructions and nothing of the cost model."""
    tally, values = Tally(), []
    inputs = {leg.name: value for leg, value in zip(program.legs, legs, strict=True)} | weights
    for ins in program.instructions:
        op, out = ins.op, {}
        places = list(cartesian(*map(range, ins.channels)))
        if isinstance(op, LegBlock):
            start = op.start
            mul, k = (ins.channels or (1,))[0], 0
            for dim in op.dims:
                for i in range(dim):
                    for u in range(mul):
                        out[(k + i, u) if ins.channels else (k + i,)] = inputs[op.leg][start + u * dim + i]
                k, start = k + dim, start + mul * dim
        elif isinstance(op, WeightBlock):
            table = inputs[op.weight]
            flat = table[tuple(inputs[row] for row in op.rows)] if op.rows else table
            for at, place in enumerate(cartesian(range(ins.components), *map(range, ins.channels))):
                out[place] = flat[op.start + at]
        elif isinstance(op, Product):
            left, right = values[op.left], values[op.right]
            sizes = dict(zip(op.left_axes, program.instructions[op.left].channels, strict=True))
            sizes |= dict(zip(op.right_axes, program.instructions[op.right].channels, strict=True))
            for i, j, k, sign in op.terms:
                for place in cartesian(*map(range, sizes.values())):
                    at = dict(zip(sizes, place, strict=True))
                    tally.multiplications += 1
                    one = left[i, *(at[axis] for axis in op.left_axes)]
                    number = sign * one * right[j, *(at[axis] for axis in op.right_axes)]
                    _add(out, (k, *(at[axis] for axis in op.axes)), number, tally)
        else:
            assert isinstance(op, Linear)
            for source, i, k, c in op.entries:
                for place in places:
                    if c != 1 and c != -1:
                        tally.scalings += 1
                    _add(out, (k, *place), float(c) * values[op.values[source]][i, *place], tally)
        values.append(out)
    return values, tally


def _add(out, place, number, tally):
    if place in out:
        tally.additions += 1
        number = number + out[place]
    out[place] = number


@PROPERTY
@given(data=st.data())
def test_the_model_counts_what_runs(data):
    """Multiplications, additions and scalings of the model are those of a run, to the last one."""
    checked = compiled(data.draw(trees(data.draw(st.integers(2, 4)))).text)
    rng = np.random.default_rng(0)
    legs, weights = random_legs(checked.table, 1, rng), random_weights(checked.table, rng)
    for strategy in STRATEGIES:
        program = checked.program(strategy)
        try:
            values, tally = run_counting(program, [leg[0] for leg in legs], weights)
        except AssertionError:
            assume(False)  # a diagram that vanishes
        cost = count(program, 1)
        assert (cost.multiplications, cost.additions, cost.scalings) == (
            tally.multiplications,
            tally.additions,
            tally.scalings,
        )
        wanted = interpret(program, legs, weights)
        flat = [
            values[value][start + i, *place]
            for output in program.outputs
            for block in output.blocks
            for value, start in block.pieces
            for place in cartesian(*map(range, program.instructions[value].channels))
            for i in range(block.dim)
        ]
        assert np.allclose(flat, np.concatenate([part[0] for part in wanted]), rtol=1e-12, atol=1e-12)


@PROPERTY
@given(data=st.data())
def test_never_more_than_the_written_order_or_opt_einsum(data):
    checked = compiled(data.draw(trees(data.draw(st.integers(2, 5)), lmax=3)).text)
    report = cost_report(checked, BATCH)
    assert report.multiplications <= report.naive.multiplications
    assert report.multiplications <= report.opt_einsum.multiplications


# --- recoupling.md: where the savings are ------------------------------------------------------------------------

ROWS = [("2", "2", 14391), ("1", "1", 2634), ("3", "0", 938), ("3", "3", 42312)]  # x, out, the cheaper order's count
WRITTEN = (
    "x[u] a b -> out[u] * {}",
    "x[u] a -> e[u]; e[u] b -> out[u] * {}",
    "a b -> f; x[u] f -> out[u] * {}",
    "b x[u] -> e[u]; a e[u] -> out[u] * {}",
)


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(("x", "out", "cheaper"), ROWS)
def test_savings_of_recoupling(x, out, cheaper, written, batch):
    """However it is written, at most the cheaper order's multiplications plus one for each tree, output component and
    channel; and without channels in the weights, fewer than the vertices alone."""

    def multiplications(weight):
        text = f"group SO(3)\ndiagram d(x: 128x{x}, a: 1x3, b: 1x3) -> 128x{out} {{ {written.format(weight)} }}"
        diagram = fusionc.parse(text)["d"]
        return diagram.cost(batch).multiplications / batch, diagram.count_paths()

    found, count_of_trees = multiplications("W[path, u]")
    assert found <= cheaper + count_of_trees * (2 * int(out) + 1) * 128
    assert multiplications("W[path]")[0] <= cheaper + 7


def test_symmetric_product_of_mace():
    """Orders 1 to 3 of 0e + 1o + 2e + 3o to 0e + 1o: at most 800 multiplications a channel, constants included."""
    report = fusionc.parse(
        "diagram d(a: 32x0e + 32x1o + 32x2e + 32x3o, z: index(5)) -> 32x0e + 32x1o { a[u] -> out[u] * W1[z, path, u]; "
        "a[u] a[u] -> out[u] * W2[z, path, u]; a[u] a[u] a[u] -> out[u] * W3[z, path, u] }"
    )["d"].cost(BATCH)
    assert (report.multiplications + report.scalings) / (32 * BATCH) <= 800


# --- results do not depend on the plan ---------------------------------------------------------------------------


@PROPERTY
@given(data=st.data())
def test_results_and_gradients_do_not_depend_on_the_plan(data):
    """Every strategy gives the same numbers and the same gradients with the same weight tensors."""
    checked = compiled(
        data.draw(trees(data.draw(st.integers(2, 5)), data.draw(st.sampled_from(["O(3)", "SU(2)"])))).text
    )
    rng = np.random.default_rng(0)
    legs, weights = random_legs(checked.table, 2, rng), random_weights(checked.table, rng)
    results = []
    for strategy in STRATEGIES:
        module = import_text(emit([emission(checked, "mul_ir", strategy)], Options()))
        function = getattr(module, module.__all__[1])
        values = [torch.as_tensor(leg).requires_grad_(leg.dtype.kind != "i") for leg in legs]
        learned = [torch.as_tensor(weights[w.name]).requires_grad_() for w in checked.program(strategy).weights]
        outputs = as_tuple(function(*values, *learned))
        loss = sum((output.abs() ** 2).sum() for output in outputs)
        inputs = [value for value in (*values, *learned) if value.requires_grad]
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        results.append([*outputs, *(g for g in gradients if g is not None)])
    wanted = evaluate(checked.table, legs, weights)
    for found in results:
        assert relative([part.detach().numpy() for part in found[: len(wanted)]], wanted) < 1e-12
        for one, other in zip(found, results[0], strict=True):
            scale = float(other.detach().abs().max()) or 1.0
            assert float((one - other).detach().abs().max()) <= 1e-12 * scale


# --- words -------------------------------------------------------------------------------------------------------


def test_reasons_name_what_meets_first():
    text = "group SO(3)\ndiagram d(x: 128x2, a: 3, b: 3) -> 128x2 { x[u] a -> e[u]; e[u] b -> out[u] * W[path, u] }"
    report = fusionc.parse(text)["d"].cost(BATCH)
    assert report.reasons[0].startswith("coupled a and b first: they carry no channels; saves ")
    assert report.naive.multiplications > report.opt_einsum.multiplications > report.multiplications


def test_what_is_shared_is_said():
    text = (
        "diagram d(a: 4x0e + 4x1o) -> 4x0e { a[u] a[u] -> out[u] * V[path, u]; a[u] a[u] a[u] -> out[u] * W[path, u] }"
    )
    reasons = fusionc.parse(text)["d"].cost(BATCH).reasons
    assert any("once, for line 1, line 2" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("legs", "with_index", "without"),
    [
        ("x: 8x0e + 8x1o, y: 0e + 1o + 2e", "x[u] y[v] -> out[u] * W[path,u,v]", "x[u] y -> out[u] * W[path,u]"),
        ("x: 8x0e + 8x1o, y: 0e + 1o + 2e", "x[u] y[v] -> out[u,v] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
        ("x: 0e + 1o, y: 0e + 1o", "x[u] y[v] -> out[w] * W[path,u,v,w]", "x y -> out * W[path]"),
        (
            "x: 8x0e + 8x1o, y: 0e + 1o",
            "x[u] y[v] -> e[u,v] in 1o * V[path,u,v]; e[u,v] y[v] -> out[u] * W[path,v]",
            "x[u] y -> e[u] in 1o * V[path,u]; e[u] y -> out[u] * W[path]",
        ),
    ],
)
def test_indices_of_size_one_vanish_before_anything_is_planned(legs, with_index, without):
    """What a translation of e3nn's `uvu` has: the second operand's index over one channel."""
    mul = 8 if "8x" in legs else 1
    texts = [f"diagram d({legs}) -> {mul}x0e + {mul}x1o {{ {lines} }}" for lines in (with_index, without)]
    one, other = (fusionc.parse(text)["d"] for text in texts)
    assert one.checked.program().instructions == other.checked.program().instructions
    assert one.verify().ok

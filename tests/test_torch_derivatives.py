"""Derivatives of generated files: those that are printed, against torch's own of the plain operations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from derivative_cases import PROPERTY, TEXTS, Autograd, case
from hypothesis import given
from hypothesis import strategies as st
from stage_cases import Eager, check, orders, same
from strategies import trees

from fusionc.program.derive import differentiable

LAYOUTS = ["mul_ir", "ir_mul"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TEXTS)
def test_piece_by_piece(name, layout):
    one = case(TEXTS[name], layout)
    for got, wanted in zip(*(every_order(call) for call in (Eager(one, small=True), Autograd(one))), strict=True):
        same(got, wanted)


def every_order(call) -> tuple[list, list, list]:
    """Value, gradients, their gradients; without sites on four different copies of the operands, along the batch."""
    program, inputs = call.one.program, call.inputs()
    copies = 1 if program.sites else 4
    batch = {leg.name: leg.kind for leg in program.legs}
    for place, name in enumerate(differentiable(program)):
        if name in batch:
            several = [inputs[place].detach() * (1 + copy / 7) for copy in range(copies)]
            inputs[place] = torch.cat(several).requires_grad_()
    indices = {name: np.concatenate([call.one.operands[name]] * copies) for name in batch if batch[name] == "index"}
    call.one = replace(call.one, operands=call.one.operands | indices)
    return orders(call, inputs, tuple(range(len(inputs))))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TEXTS)
def test_first_and_second_derivatives(name, layout):
    check(case(TEXTS[name], layout), subsets=True)


@pytest.mark.parametrize("legs", [2, 3, 4])
@PROPERTY
@given(data=st.data())
def test_derivatives_of_random_trees(legs, data):
    group = data.draw(st.sampled_from(["O(3)", "SU(2)"]))
    text = data.draw(trees(legs, group, lmax=1)).text
    layout = data.draw(st.sampled_from(LAYOUTS))
    check(case(text.replace("diagram tree(", "diagram d("), layout))

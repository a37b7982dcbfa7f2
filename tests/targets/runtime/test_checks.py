"""What a caller hears of operands that do not fit, and what fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionc.targets.runtime import checks
from fusionc.targets.runtime.dtypes import _COMPLEX, _REAL, _dtype, _widened

X = torch.zeros(5, 3)


def test_what_is_no_tensor_is_told_how_to_be_one():
    with pytest.raises(
        TypeError, match=r"leg `x` should be a torch.Tensor, and is a numpy array: torch.as_tensor\(x\)"
    ):
        checks._check_tensor("leg `x`", np.zeros(3))
    with pytest.raises(TypeError, match=r"and is list: torch.as_tensor\(x\) is one$"):
        checks._check_tensor("leg `x`", [1.0])
    with pytest.raises(TypeError, match=r"and is str$"):
        checks._check_tensor("leg `x`", "1.0")


def test_legs_have_a_shape_and_a_dtype():
    checks._check_leg("x", X, 3, "1o", _REAL)
    checks._check_leg("x", X, 3, "1o", _REAL, "atoms")
    with pytest.raises(ValueError, match=r"should have shape \[..., 4\] \(4x0e\), and has \[5, 3\]"):
        checks._check_leg("x", X, 4, "4x0e", _REAL)
    with pytest.raises(ValueError, match=r"should have shape \[..., atoms, 3\] \(1o\), and has \[3\]"):
        checks._check_leg("x", X[0], 3, "1o", _REAL, "atoms")
    with pytest.raises(TypeError, match=r"a real floating-point tensor, and is torch\.int64"):
        checks._check_leg("x", X.long(), 3, "1o", _REAL)
    with pytest.raises(TypeError, match=r"a complex tensor, and is torch\.float32"):
        checks._check_leg("x", X, 3, "1", _COMPLEX)


@pytest.mark.parametrize(
    ("what", "dtype", "like", "fits"),
    [
        ("leg `y`", torch.float64, torch.float32, False),
        ("leg `y`", torch.float32, torch.float32, True),
        ("leg `y`", torch.float32, torch.float16, False),
        ("weight `W`", torch.float32, torch.float16, True),
        ("weight `W`", torch.bfloat16, torch.float16, True),
        ("weight `W`", torch.float64, torch.float16, False),
        ("weight `W`", torch.float32, torch.complex64, True),
        ("weight `W`", torch.float64, torch.complex64, False),
        ("weights `r`", torch.float64, torch.complex128, True),
    ],
)
def test_which_dtypes_go_together(what, dtype, like, fits):
    if fits:
        checks._check_like(what, X.to(dtype), "x", X.to(like))
    else:
        with pytest.raises(TypeError, match=f"{what} should be {like} like leg `x`, and is {dtype}"):
            checks._check_like(what, X.to(dtype), "x", X.to(like))


def test_operands_are_on_one_device():
    elsewhere = X.to("meta")
    with pytest.raises(ValueError, match="leg `y` should be on cpu like leg `x`, and is on meta"):
        checks._check_like("leg `y`", elsewhere, "x", X)
    with pytest.raises(ValueError, match="leg `z` should be on meta like leg `x`"):
        checks._check_index("z", torch.tensor(0), 3, "x", elsewhere)


def test_rows_are_integers_inside_the_table():
    rows = torch.tensor([0, 2], dtype=torch.uint8)
    assert checks._check_index("z", rows, 3, "x", X).dtype == torch.int64
    with pytest.raises(IndexError, match="leg `z` should be rows 0 to 1, and has 2"):
        checks._check_index("z", rows, 2, "x", X)
    with pytest.raises(IndexError, match="and has -1"):
        checks._check_index("z", torch.tensor([-1, 7]), 2, "x", X)
    with pytest.raises(TypeError, match=r"should hold integers \(rows 0 to 1\), and is torch.bool"):
        checks._check_index("z", torch.tensor(True), 2, "x", X)
    with pytest.raises(ValueError, match=r"should have shape \[..., atoms\], and has \[\]"):
        checks._check_index("z", torch.tensor(1), 2, "x", X, "atoms")
    assert checks._check_index("z", rows[:0], 2, "x", X).numel() == 0


def test_weights_have_a_number_for_each_path():
    checks._check_weight("W", X, (5, 3))
    with pytest.raises(ValueError, match=r"weight `W` should have shape \[3\], and has \[5, 3\]"):
        checks._check_weight("W", X, (3,))


def test_sites_are_counted_once():
    assert checks._check_sites("atoms", ("x", 4), ("y", 4)) == 4
    with pytest.raises(ValueError, match="legs `x` and `z` are over atoms, and have 4 and 5 of them"):
        checks._check_sites("atoms", ("x", 4), ("y", 4), ("z", 5))
    assert checks._check_count("atoms", 0) == 0
    with pytest.raises(ValueError, match="`atoms` should not be negative, and is -1"):
        checks._check_count("atoms", -1)
    for wrong in (True, 2.0, "2", None, torch.tensor(2)):
        with pytest.raises(TypeError, match="`atoms` should be an int, the number of atoms"):
            checks._check_count("atoms", wrong)


def test_relations_stay_inside_their_sites():
    edges = torch.tensor([[0, 1, 1], [2, 0, 1]], dtype=torch.int32)
    assert checks._check_relation("edges", edges, 2, 3, X, ("r", 3)).dtype == torch.int64
    with pytest.raises(ValueError, match=r"shape \[2, pairs\], and has \[3, 2\]: edges.t\(\) has"):
        checks._check_relation("edges", edges.t(), 2, 3, X)
    with pytest.raises(ValueError, match="leg `r` is over edges, and has 4 pairs where edges has 3"):
        checks._check_relation("edges", edges, 2, 3, X, ("r", 4))
    with pytest.raises(IndexError, match="row 1 of relation `edges` should lie between 0 and 1, and has 2"):
        checks._check_relation("edges", edges, 2, 2, X)
    with pytest.raises(IndexError, match="row 0 of relation `edges` should be empty, for there are no sites"):
        checks._check_relation("edges", edges, 0, 3, X)
    assert checks._check_relation("edges", edges[:, :0], 0, 0, X).shape == (2, 0)


def test_batches_broadcast():
    one, two = checks._broadcast(("x", "y"), (torch.zeros(4, 1, 3), torch.zeros(2, 5, 7)), (1, 2))
    assert (one.shape, two.shape) == ((4, 2, 3), (4, 2, 5, 7))
    with pytest.raises(ValueError, match=r"`x` and `z` should broadcast, and are \[4\] and \[3\]"):
        checks._broadcast(("x", "y", "z"), (torch.zeros(4, 1), torch.zeros(1, 1), torch.zeros(3, 1)), (1, 1, 1))


def test_dtypes_of_results():
    half, single, double = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert [one.dtype for one in _widened(half, single, double)] == [torch.float32, torch.float32, torch.float64]
    assert _dtype((single, double)) == torch.float64
    assert _dtype((single, torch.zeros(1, dtype=torch.complex64))) == torch.complex64

"""Who reads a value of a program, and which legs it has."""

from __future__ import annotations

import pytest

from fusionc.program.text import read_program

PROGRAM = read_program(
    "program d, mul_ir, real\n"
    "leg x: tensor 3, over ., blocks 1x3 = 1x1o\n"
    "%0 [. | 3] leg x 0: 3\n"
    "%1 [. | 1] product ,-> %0 %0: +0*0>0 +1*1>0 +2*2>0\n"
    "%2 [. | 3] product ,-> %0 %1: +0*0>0 +1*0>1 +2*0>2\n"
    "output s over .: 1x1 = %1.0:0\n"
    "output v over .: 1x3 = %2.0:0 ; 1x3 = %2.0:0\n"
)


def test_a_reader_of_both_operands_is_one_reader():
    assert PROGRAM.readers == ((1, 2), (2,), ())


def test_returned_values():
    assert PROGRAM.returned == {1, 2}
    assert [output.values for output in PROGRAM.outputs] == [(1,), (2,)]
    assert not PROGRAM.is_alone(1, 2)  # an output needs it too
    assert not PROGRAM.is_alone(0, 1)


def test_legs_by_name():
    assert PROGRAM.leg("x").dim == 3
    with pytest.raises(KeyError):
        PROGRAM.leg("y")

"""Programs as text: nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from site_strategies import site_diagrams
from strategies import compiled, trees

import fusionc
from fusionc.cli import main
from fusionc.program.derive import differentiable, vjp
from fusionc.program.ir import Program
from fusionc.program.passes import BATCHED_VALUE, run
from fusionc.program.text import program_text, read_program

PROPERTY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = "diagram d(x: 4x0e + 4x1o, y: 0e + 1o, z: index(3)) -> 4x1o { x[u] y x[u] -> out[u] * W[z, path, u] }"


def assert_kept(program: Program) -> None:
    read = read_program(program_text(program))
    assert read == program
    assert [one.note for one in read.instructions] == [one.note for one in program.instructions]


@pytest.mark.parametrize("drawn", [trees(2, lmax=1), trees(3, "SU(2)", lmax=1), site_diagrams()])
@PROPERTY
@given(data=st.data(), layout=st.sampled_from(["mul_ir", "ir_mul"]))
def test_a_program_is_read_back_unchanged(drawn, data, layout):
    program = compiled(data.draw(drawn).text).checked.program(layout=layout)
    assert_kept(program)
    assert_kept(run(program, BATCHED_VALUE))
    assert_kept(vjp(program, differentiable(program)).program)


@pytest.mark.parametrize(
    ("line", "instead"),
    [("%0 [. | 4 | 4] leg", "%1 [. | 4 | 4] leg"), (", real", ", imaginary"), ("leg x: tensor", "leg x tensor")],
)
def test_what_is_no_program_is_refused(line, instead):
    text = program_text(fusionc.parse(TEXT)["d"].checked.program())
    assert line in text
    with pytest.raises(ValueError, match=r"."):
        read_program(text.replace(line, instead))


def test_programs_are_printed_after_a_pass(tmp_path, capsys):
    file = tmp_path / "d.fus"
    file.write_text(TEXT, encoding="utf-8")
    program = fusionc.parse(TEXT)["d"].checked.program()
    for name, wanted in (("lowering", program), ("order-components", run(program, BATCHED_VALUE))):
        assert main(["compile", str(file), "--print-after", name]) == 0
        assert read_program(capsys.readouterr().out) == wanted
    assert main(["compile", str(file), "--print-after", "unroll"]) == 2
    assert "block-diagonal" in capsys.readouterr().err

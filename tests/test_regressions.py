"""Programs that once went wrong."""

from __future__ import annotations

import os

import pytest
import torch

import fusionc
from fusionc.cache import import_text
from fusionc.cli import main
from fusionc.driver import check_source
from fusionc.language.source import Source
from fusionc.tools.explain import page
from fusionc.tools.verify import verify


def modules(text: str, **weights: torch.Tensor):
    """The whole file's module namespace."""
    return import_text(fusionc.parse(text).emit())


def test_diagrams_of_one_file_do_not_share_names():
    """Tables, classes of outputs and functions are told apart, whatever the diagrams are called."""
    text = """
diagram ab(x: 1o) -> 0e { x x -> out }
diagram aB(x: 1o) -> 2e { x x -> out }
diagram a(x: 0e) -> (p: 0e, q: 0e) { x -> p; x -> q }
diagram a_output(x: 0e) -> 0e { x -> out }
diagram Foo(x: 1o) -> 0e { x x -> out }
diagram Foo_function(x: 1o) -> 2e { x x -> out }
"""
    program, whole = fusionc.parse(text), modules(text)
    for name, diagram in program.diagrams.items():
        leg = diagram.checked.table.graph.tensor_legs["x"]
        x = torch.randn(5, leg.space.dim(diagram.checked.graph.group))
        alone = diagram.module()()(x)
        together = getattr(whole, type(diagram.module()()).__name__)()(x)
        for one, two in zip(
            torch.atleast_1d(*alone) if isinstance(alone, tuple) else [alone],
            torch.atleast_1d(*together) if isinstance(together, tuple) else [together],
            strict=True,
        ):
            assert torch.equal(one, two), name


def test_a_leg_does_not_hide_the_vertex_table():
    text = "diagram d(_D_VERTICES: 1o, y: 2x1o) -> 2x0e { _D_VERTICES y[u] -> out[u] * W[path, u] }"
    assert fusionc.parse(text)["d"].verify().ok


def test_an_inferred_output_may_name_multiplicities():
    diagram = fusionc.parse("diagram d(x: 4x2e) -> * in 8x2e { x[u] -> out[v] * W[u, v] }")["d"]
    assert diagram.verify().ok
    assert diagram.module()()(torch.randn(3, 20)).shape == (3, 40)


def test_a_path_with_two_weights_is_one_path():
    text = (
        "diagram d(x: 4x1o + 4x0e, y: 1o + 0e, r: weights) -> 4x0e + 4x1o "
        "{ x[u] y -> out[u] * r[path, u] * W[path]; x[u] -> out[u] * V[path, u] }"
    )
    diagram = fusionc.parse(text)["d"]
    assert diagram.count_paths() == len(diagram.paths) == 6
    assert diagram.verify().ok


def test_outputs_of_a_named_tuple_begin_with_a_letter(tmp_path, capsys):
    path = tmp_path / "a.fus"
    path.write_text("diagram d(x: 4x2e) -> (_a: 4x2e, b: 4x2e) { x[u] -> _a[u]; x[u] -> b[u] }")
    assert main(["compile", str(path)]) == 1
    assert "F4008" in capsys.readouterr().err


def test_output_files_that_are_links_devices_or_a_dash(tmp_path, capsys):
    source = tmp_path / "a.fus"
    source.write_text("diagram d(x: 1o) -> 1o { x -> out }\n")
    target, link = tmp_path / "real.py", tmp_path / "link.py"
    target.write_text("old")
    link.symlink_to(target)
    assert main(["compile", str(source), "-o", str(link)]) == 0
    assert link.is_symlink()
    assert "class D" in target.read_text()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert main(["compile", str(source), "-o", str(pipe)]) == 0
    assert b"class D" in os.read(reader, 1 << 20)
    os.close(reader)
    assert main(["compile", str(source), "-o", "-"]) == 0
    assert "class D" in capsys.readouterr().out
    assert not (tmp_path / "-").exists()


def test_several_diagrams_are_drawn_into_several_files(tmp_path):
    source = tmp_path / "a.fus"
    source.write_text("diagram d(x: 1o) -> 1o { x -> out }\ndiagram e(x: 1o) -> 1o { x -> out }\n")
    assert main(["draw", str(source), "-o", str(tmp_path / "pictures.svg")]) == 0
    assert {path.name for path in tmp_path.glob("*.svg")} == {"pictures_d.svg", "pictures_e.svg"}
    assert main(["draw", str(source)]) == 2


@pytest.mark.parametrize("command", ["run", "verify"])
def test_negative_options_are_the_command_lines_fault(command, tmp_path):
    source = tmp_path / "a.fus"
    source.write_text("diagram d(x: 1o) -> 1o { x -> out }\n")
    assert main([command, str(source), "--seed", "-1"]) == 2


ONE_MISTAKE = {
    "a failed import is one mistake": ('import "missing.fus"\ndiagram d(x: H, y: H) -> H { x[u] -> out[u] }', "F1003"),
    "kept paths that would add up": (
        "diagram d(x: 4x0e + 4x1o, a: 1o) -> 4x0e + 4x1o { x[u] -> out[path, u]; x[u] a -> out[path, u] }",
        "F1032",
    ),
    "an empty body": ("diagram d(x: 1o, y: 1o) -> 1o { }", "F1010"),
}


@pytest.mark.parametrize("case", ONE_MISTAKE)
def test_one_mistake_gives_one_diagnostic(case):
    text, code = ONE_MISTAKE[case]
    assert [found.code for found in check_source(Source("<test>", text)).diagnostics] == [code]


def test_near_names_of_indices():
    for wrong, near in (("pth", "path"), ("zz_", "zz")):
        text = f"diagram d(x: 4x1o, zz: index(3)) -> 4x1o {{ x[u] -> out[u] * W[{wrong}, u] * V[zz] }}"
        with pytest.raises(fusionc.CompileError) as caught:
            fusionc.parse(text)
        assert caught.value.diagnostics[0].help == f"did you mean `{near}`?"


def test_many_mistakes_are_cut_off():
    lines = "\n".join(f"x{k} -> y{k}" for k in range(500))
    found = check_source(Source("<test>", f"diagram d(a: 1o) -> 1o {{\n{lines}\na -> out\n}}")).diagnostics
    assert len(found) == 101
    assert found[-1].code == "F0013"


def test_a_module_of_a_diagram_with_an_underscore_in_front():
    """Inside a class Python takes a name with two underscores in front for one of the class."""
    module = fusionc.parse("diagram _d(x: 2x0e, y: 0e) -> 2x0e { x[u] y -> out[u] * W[path, u] }")["_d"].module()()
    again = type(module)()
    again.load_state_dict(module.state_dict())
    x, y = torch.randn(3, 2), torch.randn(3, 1)
    assert torch.equal(module(x, y), again(x, y))


@pytest.mark.parametrize("style", ["auto", "batched", "scalar"])
def test_a_path_that_vanishes(style):
    """A loop of a scalar and a vector cannot carry spin: its tree has no coefficient that is not zero."""
    text = "diagram d(x: 1e, y: 0o) -> * { x -> p q in 0o \n p q x -> out[path] * U }"
    diagram = fusionc.parse(text)["d"]
    x, y = torch.randn(3, 3, requires_grad=True), torch.randn(3, 1)
    out = diagram.module(style=style)()(x, y)
    (gradient,) = torch.autograd.grad(out.sum(), x, allow_unused=True)
    assert torch.isfinite(out).all()
    assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_some_products_vanish(layout):
    """(x y) y of a scalar x is the cross product of y with itself: nothing is left of it in another order."""
    text = "diagram d(x: 4x0e + 4x1e, y: 1o) -> * { x[u] y -> e[path, u] \n e[u] y -> out[u] * W[path, u] }"
    diagram = fusionc.parse(text)["d"]
    assert verify(diagram.checked, layout=layout).ok
    assert diagram.cost(10).multiplications > 0


def test_chains_too_long_to_compare_are_not_compared():
    text = "".join(
        f"x a -> {e}0[path]\n" + "".join(f"{e}{n} a -> {e}{n + 1}[path]\n" for n in range(600)) + last
        for e, last in (("e", "e600 b -> out * V[path]\n"), ("f", "b f600 -> out * W[path]\n"))
    )
    assert not check_source(Source("long", f"diagram d(x: 0e, a: 0e, b: 0e) -> 0e {{ {text} }}")).has_errors


def test_check_tells_what_no_target_takes(tmp_path, capsys):
    path = tmp_path / "a.fus"
    for code, text in {
        "F4008": "diagram lambda(x: 2x0e) -> 2x0e { x[u] -> out[u] * W[path, u] }",
        "F3008": page("F3008").failing,
        "F3011": page("F3011").failing,
    }.items():
        path.write_text(text)
        assert main(["check", str(path)]) == 1
        assert code in capsys.readouterr().err


def test_indices_that_are_proposed_fit_together():
    """Two legs of different multiplicity do not get one index."""
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse("diagram d(x: 3x1o, y: 4x1o, z: 3x0e) -> 0e { x y z -> out }")
    proposed = ["`x[u]` and `out[u]`", "`y[v]` and `out[v]`", "`z[u]` and `out[u]`"]
    assert [found.help for found in caught.value.diagnostics] == [f"write {text}" for text in proposed]


def test_weights_at_a_site_that_the_operands_lack_meet_them_behind_their_sum():
    line = "    v[j] v[j] -> out[i, m] * r[i, path, m]\n"
    head = "diagram d(v: 1x1e + 1x1e[atoms], r: weights[atoms]) -> 2x1e + 2x2e[atoms]"
    text = f"sites atoms\n{head} {{\n{line}{line}}}\n"
    assert fusionc.parse(text)["d"].verify().ok

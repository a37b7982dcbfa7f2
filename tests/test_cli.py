"""The command line: what each command prints, its exit codes, and that nothing is ever half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusionc.cli import main

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.fus"))
NUMBERS = {"recoupling", "kondo"}
GOOD = "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> 4x0e + 4x1o {\n    x[u] y -> out[u] * W[path, u]\n}\n"
BAD = "diagram d(x: 0e, y: 0e) -> 1o {\n    x y -> out * W[path]\n}\n"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.fus"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.fus"
    path.write_text(BAD)
    return path


def fusionc(*arguments, **options):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fusionc", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_compile_and_are_in_canonical_form(example, tmp_path, capsys):
    assert main(["check", "--strict", str(example)]) == 0
    assert main(["fmt", "--check", str(example)]) == 0
    if example.stem in NUMBERS:
        assert main(["eval", str(example)]) == 0
    assert main(["compile", str(example), "-o", str(tmp_path / "out.py")]) == 0
    compile((tmp_path / "out.py").read_text(), "out.py", "exec")
    for stage in ("ast", "graph", "plan", "program"):
        assert main(["compile", "--emit", stage, str(example)]) == 0
    capsys.readouterr()


def test_there_are_enough_examples():
    assert len(EXAMPLES) >= 8


def test_exit_codes(good, bad, tmp_path, capsys):
    assert main(["check", str(good)]) == 0
    assert main(["check", str(good), str(bad)]) == 1
    assert main(["compile", str(bad)]) == 1
    assert main(["check", str(tmp_path / "missing.fus")]) == 1
    assert main(["explain", "F9999"]) == 2
    assert main(["cost", str(good), "--batch", "-1"]) == 2
    assert main(["cost", str(good), "--diagram", "nothing"]) == 2
    assert main(["compile", str(good), "--target", "torhc"]) == 1
    assert main(["compile", str(good), "-o", str(tmp_path)]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["compile"])
    assert caught.value.code == 2
    assert "did you mean `torch`" in capsys.readouterr().err


def test_a_mistake_in_fusionc_is_told_apart(good, monkeypatch, capsys):
    monkeypatch.setattr("fusionc.driver.emit", lambda *_: 1 / 0)
    assert main(["compile", str(good)]) == 70
    assert "mistake in fusionc" in capsys.readouterr().err


def test_targets_to_come_are_refused(good, capsys):
    assert main(["compile", str(good), "--target", "cpu"]) == 1
    assert "F4007" in capsys.readouterr().err


def test_standard_input(good):
    run = fusionc("compile", "-", input=GOOD)
    assert run.returncode == 0
    assert run.stdout == fusionc("compile", good).stdout
    assert fusionc("fmt", "-", input="irreps A=1o").stdout == "irreps A = 1o\n"


def test_compile_check_tells_a_stale_file(good, tmp_path, capsys):
    out = tmp_path / "out.py"
    assert main(["compile", str(good), "-o", str(out), "--check"]) == 1
    assert not out.exists()
    assert main(["compile", str(good), "-o", str(out)]) == 0
    assert main(["compile", str(good), "-o", str(out), "--check"]) == 0
    out.write_text("stale")
    assert main(["compile", str(good), "-o", str(out), "--check"]) == 1
    assert out.read_text() == "stale"


def test_a_failed_compile_leaves_the_old_output_whole(good, bad, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.py"
    out.write_text("old")
    assert main(["compile", str(bad), "-o", str(out)]) == 1
    assert out.read_text() == "old"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)  # in the middle of writing the new one
    assert main(["compile", str(good), "-o", str(out)]) == 130
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.fus", "good.fus", "out.py"]


def test_the_same_input_gives_the_same_bytes():
    example = Path(__file__).parent.parent / "examples" / "product_basis.fus"
    texts = [
        fusionc("compile", example, env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("0", "1", "12345")
    ]
    assert texts[0]
    assert texts[0] == texts[1] == texts[2]


def test_import_does_not_import_torch():
    code = (
        "import sys, fusionc\n"
        "fusionc.parse('diagram d(x: 1o) -> 1o { x -> out }').emit()\n"
        "print('torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_cost_as_text_and_json(good, capsys):
    assert main(["cost", str(good), "--batch", "10"]) == 0
    text = capsys.readouterr().out
    assert "written order" in text
    assert "because:" in text
    assert main(["cost", str(good), "--json", "--batch", "10"]) == 0
    report = json.loads(capsys.readouterr().out)["d"]
    assert f"{report['multiplications']:,}" in text
    assert report["naive"]["multiplications"] > report["multiplications"] > 0


def test_paths_as_text_and_json(good, capsys):
    assert main(["paths", str(good)]) == 0
    assert "W: 20" not in capsys.readouterr().out
    assert main(["paths", str(good), "--json"]) == 0
    paths = json.loads(capsys.readouterr().out)["d"]
    assert [path["irreps"] for path in paths] == [
        ["0e", "0e", "0e"],
        ["0e", "1o", "1o"],
        ["1o", "0e", "1o"],
        ["1o", "1o", "0e"],
    ]
    assert [path["offset"] for path in paths] == [0, 4, 8, 12]


def test_verify_passes_and_fails(good, capsys, monkeypatch):
    assert main(["verify", str(good)]) == 0
    assert "verified" in capsys.readouterr().out
    monkeypatch.setattr("fusionc.tools.verify.TRANSLATION_BOUND", -1.0)
    assert main(["verify", str(good)]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_run_on_random_operands_and_on_a_molecule(good, capsys):
    assert main(["run", str(good), "--batch", "7"]) == 0
    assert "[7, 16]" in capsys.readouterr().out
    ethanol = Path(__file__).parent.parent / "examples" / "ethanol.xyz"
    assert main(["run", str(good), "--xyz", str(ethanol), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["outputs"][0][1] == [72, 16]
    assert all(error < 1e-12 for _, error in run["equivariance"])
    assert main(["run", str(good), "--xyz", str(ethanol), "--cutoff", "0.1"]) == 2
    assert "larger --cutoff" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["run", "GOOD", "--cutoff", "3"], "--cutoff says who is a neighbour in a molecule"),
        (["run", "GOOD", "--xyz", "a.xyz", "--batch", "3"], "--batch is for random operands"),
        (["run", "GOOD", "--xyz", "a.xyz", "--size", "atoms=3"], "--size is for random operands"),
        (["check", "-", "GOOD", "-"], "can be read only once"),
        (["fmt", "-", "-"], "can be read only once"),
    ],
)
def test_flags_without_effect_are_refused(good, flags, message, capsys):
    assert main([str(good) if flag == "GOOD" else flag for flag in flags]) == 2
    assert message in capsys.readouterr().err


def test_fmt_rewrites_checks_and_shows(tmp_path, capsys):
    path = tmp_path / "a.fus"
    path.write_text("irreps   A=1o # a vector\n")
    assert main(["fmt", "--check", str(path)]) == 1
    assert main(["fmt", "--diff", str(path)]) == 0
    assert "+irreps A = 1o  # a vector" in capsys.readouterr().out
    assert path.read_text() == "irreps   A=1o # a vector\n"
    assert main(["fmt", str(path)]) == 0
    assert path.read_text() == "irreps A = 1o  # a vector\n"
    path.write_text("irreps A=1o")
    assert main(["fmt", "--diff", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:] == ["-irreps A=1o", "\\ No newline at end of file", "+irreps A = 1o"]
    path.write_text("irreps = 1o\n")
    assert main(["fmt", str(path)]) == 1
    assert path.read_text() == "irreps = 1o\n"


def test_draw(good, tmp_path, capsys):
    assert main(["draw", str(good), "-o", str(tmp_path / "d.svg")]) == 0
    assert (tmp_path / "d.svg").read_text().startswith(("<svg", "<?xml"))


@pytest.mark.parametrize(
    ("command", "output", "words"),
    [
        (["draw"], "d.png", "SVG; write -o {}/d.svg"),
        (["draw"], "d.svg.gz", "SVG; write -o {}/d.svg"),
        (["compile"], "d.tar.gz", "Python; write -o {}/d.py"),
        (["draw"], "d.PDF", "SVG; write -o {}/d.svg"),
        (["draw"], "d.py", "SVG"),
        (["compile"], "d.svg", "Python; write -o {}/d.py"),
        (["compile"], "d.json", "Python"),
        (["compile"], "d.pyc", "Python"),
        (["compile", "--emit", "plan"], "d.py", "a listing, plain text; write -o {}/d.txt"),
    ],
)
def test_a_suffix_that_lies_is_refused(good, tmp_path, command, output, words, capsys):
    assert main([*command, str(good), "-o", str(tmp_path / output)]) == 2
    assert words.format(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("output", ["d.svg", "d.SVG", "d.xml", "d.txt", "d", "d.svg.tmp", "d.v2"])
def test_a_suffix_that_promises_nothing_else_will_do(good, tmp_path, output):
    assert main(["draw", str(good), "-o", str(tmp_path / output)]) == 0
    assert (tmp_path / output).read_text().startswith("<svg")


def test_help_names_the_targets_that_are_built(capsys):
    with pytest.raises(SystemExit):
        main(["compile", "--help"])
    assert "one of torch, triton (default: torch)" in " ".join(capsys.readouterr().out.split())


RECOUPLING = Path(__file__).parent.parent / "examples" / "recoupling.fus"


def test_eval_prints_exact_values(capsys):
    assert main(["eval", str(RECOUPLING)]) == 0
    out = capsys.readouterr().out
    assert "f_0_0 = -1/2 = -0.5\n" in out
    assert "f_0_1 = √3/2 = 0.8660254037844386\n" in out
    assert main(["eval", str(RECOUPLING), "--diagram", "ls_to_jj", "--formula"]) == 0
    assert "Σ_x" in capsys.readouterr().out
    assert main(["eval", str(RECOUPLING), "--diagram", "ls_to_jj", "--latex"]) == 0
    assert r"\begin{Bmatrix}" in capsys.readouterr().out
    assert main(["eval", str(RECOUPLING), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {"name": "f_0_0", "value": "-1/2", "decimal": -0.5}


def test_numbers_and_modules_are_told_apart(good, tmp_path, capsys):
    path = tmp_path / "theta.fus"
    path.write_text("group SU(2)\ndiagram theta() { -> p q in 1/2; p q -> }\n")
    assert main(["eval", str(path)]) == 0
    assert capsys.readouterr().out == "theta = 1 = 1.0\n"
    for command in ("compile", "run", "cost", "verify", "paths", "draw"):
        assert main([command, str(path)]) == 1
        assert "F4009" in capsys.readouterr().err
    assert main(["eval", str(good)]) == 2
    assert main(["eval", str(good), "--diagram", "d"]) == 1


def test_explain(capsys):
    assert main(["explain", "f2001"]) == 0
    assert "F2001" in capsys.readouterr().out
    assert main(["explain"]) == 0
    assert "F1001" in capsys.readouterr().out
    assert main(["explain", "F2O01"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_imports_stay_in_the_folder(tmp_path, capsys):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "shared.fus").write_text("irreps H = 2x0e + 2x1o\n")
    (tmp_path / "secret.fus").write_text("irreps H = 1o\n")
    use = inner / "use.fus"
    use.write_text('import "shared.fus"\ndiagram d(x: H) -> H { x[u] -> out[u] }\n')
    assert main(["check", str(use)]) == 0
    use.write_text('import "../secret.fus"\n')
    assert main(["check", str(use)]) == 1
    assert "may not leave the folder" in capsys.readouterr().err
    (inner / "link.fus").symlink_to(tmp_path / "secret.fus")
    use.write_text('import "link.fus"\n')
    assert main(["check", str(use)]) == 1


HOSTILE = {
    "ten operands, 10^8 paths": "irreps Y = spherical(5)\ndiagram d(a: Y, b: Y, c: Y, e: Y, f: Y, g: Y, h: Y) -> 1o "
    "{ a b c e f g h -> out * W[path] }",
    "a huge spin": "diagram d(x: 1000000000o) -> 1o { x -> out }",
    "huge harmonics": "irreps Y = spherical(1000000000)\ndiagram d(x: Y) -> 1o { x -> out }",
    "a huge multiplicity": "diagram d(x: 1000000000000x1o) -> 1o { x[u] -> out * W[path, u] }",
    "huge weights": "diagram d(x: 1000000x1o) -> 1000000x1o { x[u] -> out[v] * W[path, u, v] }",
    "a huge index": "diagram d(x: 1o, z: index(1000000000000)) -> 1o { x -> out * W[z, path] }",
    "huge vertices": "diagram d(x: 200e, y: 200e, z: 200e) -> 200e { x y z -> out * W[path] }",
    "five thousand operands": "diagram d(x: 0e) -> 0e { " + "x " * 5000 + "-> out }",
    "a symmetric power of a hundred": "irreps Y = spherical(100)\ndiagram d(a: Y) -> 0e { "
    + "a " * 99
    + "-> out * W[path] }",
    "forty operands": "irreps Y = spherical(50)\ndiagram d("
    + ", ".join(f"a{k}: Y" for k in range(40))
    + ") -> 1o { "
    + " ".join(f"a{k}" for k in range(40))
    + " -> out * W[path] }",
    "many channel sizes": "irreps X = "
    + " + ".join(f"{k}x0e" for k in range(1, 20))
    + "\ndiagram d("
    + ", ".join(f"a{k}: X" for k in range(12))
    + ") -> * { "
    + " ".join(f"a{k}[u{k}]" for k in range(12))
    + " -> out[path, "
    + ", ".join(f"u{k}" for k in range(12))
    + "] }",
    "repeated repetition": "irreps A = 1o\n"
    + "\n".join(f"irreps {chr(66 + k)} = 4000 * {chr(65 + k)}" for k in range(10)),
    "a name of Python's": "diagram __import__(x: 1o) -> 1o { x -> out }",
    "a keyword of Python's": "diagram lambda(x: 1o) -> 1o { x -> out }",
    "a weight called forward": "diagram d(x: 1o) -> 1o { x -> out * forward[path] }",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_programs_get_a_diagnostic_at_once(case, tmp_path):
    """A generous time limit: what is guarded against here would take minutes or gigabytes."""
    run = subprocess.run(
        [sys.executable, "-m", "fusionc", "compile", "-"],
        input=HOSTILE[case],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert "error[F" in run.stderr


def test_a_long_chain_compiles(tmp_path, capsys):
    """Deep trees meet no recursion limit."""
    lines = "".join(f"    e{k} y -> e{k + 1} in 0e\n" for k in range(1000))
    path = tmp_path / "chain.fus"
    path.write_text(f"diagram d(x: 0e, y: 0e) -> 0e {{\n    x -> e0\n{lines}    e1000 -> out\n}}\n")
    assert main(["compile", str(path), "-o", str(tmp_path / "out.py")]) == 0


def test_a_diagram_is_never_overwritten(good, tmp_path, capsys):
    (tmp_path / "link.py").symlink_to(good)
    for command in ("compile", "draw"):
        for output in (good, tmp_path / "link.py", tmp_path / "other.fus"):
            assert main([command, str(good), "-o", str(output)]) == 2
            assert "name another file" in capsys.readouterr().err
    assert good.read_text() == GOOD
    assert not (tmp_path / "other.fus").exists()


@pytest.fixture
def mixed(tmp_path):
    """A number and a module in one file."""
    path = tmp_path / "mixed.fus"
    text = "group SU(2)\ndiagram n() {\n    -> a b in 1/2\n    a b ->\n}\ndiagram m(x: 1/2) -> 1/2 {\n    x -> out\n}\n"
    path.write_text(text)
    return path


def test_numbers_beside_modules(mixed, capsys):
    for command in ("paths", "cost", "verify", "run", "draw"):
        assert main([command, str(mixed), "--diagram", "n"]) == 1
        assert "F4009" in capsys.readouterr().err
    assert main(["paths", str(mixed)]) == 0
    assert "left out `n`" in capsys.readouterr().err
    assert main(["eval", str(mixed), "--diagram", "n", "--json", "--formula"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["name"] == "n"
    assert row["formula"]
    assert main(["eval", str(mixed), "--diagram", "k"]) == 2
    assert "it holds: n, m" in capsys.readouterr().err


def test_what_is_not_a_number_is_said_once(good):
    found = fusionc("eval", good, "--diagram", "d")
    assert found.returncode == 1
    assert found.stderr.count("error[") == 1
    assert "`d` is not a number" in found.stderr


@pytest.mark.parametrize("batch", ["99999999999999999999", "100000000000000"])
def test_operands_that_no_machine_holds(good, batch):
    found = fusionc("run", good, f"--batch={batch}")
    assert found.returncode == 2
    assert "smaller --batch" in found.stderr


def test_complex_weights_need_a_complex_basis(good):
    found = fusionc("compile", good, "--dtype", "complex64")
    assert found.returncode == 2
    assert "real" in found.stderr


def test_any_output_will_do(tmp_path, good):
    path = tmp_path / "root.fus"
    path.write_text("group SU(2)\ndiagram n() {\n    -> a b in 1/2\n    a b ->\n}\n")
    found = fusionc("eval", path, "--formula", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0
    shell = f"{sys.executable} -m fusionc compile {good}"
    full = subprocess.run(["sh", "-c", f"{shell} > /dev/full"], capture_output=True, text=True, check=False)
    assert full.returncode == 2
    assert "cannot write the output" in full.stderr
    assert subprocess.run(["sh", "-c", f"{shell} >&-"], check=False).returncode == 0


@pytest.mark.parametrize("command", ["check", "fmt", "compile", "eval"])
def test_no_name_is_no_folder(command, capsys):
    assert main([command, ""]) == 1
    assert "`` cannot be read: a file has a name" in capsys.readouterr().err

"""Generated modules outlive their process: pickled here, loaded in another one, with a cache and without."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from site_strategies import site_diagrams
from strategies import trees

import fusionc
from fusionc.driver import CheckedDiagram
from fusionc.generated.request import PREFIX, Request, from_name
from fusionc.targets.registry import Options

TEXT = """
irreps H = 2x0e + 2x1o
normalize norm

diagram saved(x: H, y: 0e + 1o) -> (s: 2x0e, v: H) {
    x[u] y -> s[u] * A[path, u]
    x[u] y -> v[u] * B[path, u]  # a comment
}
"""
LOAD = """
import pickle, sys, torch
found = [pickle.loads(data) for data in pickle.load(sys.stdin.buffer)]
whole = torch.load(sys.argv[1], weights_only=False)
kind, function, block, result = found[0]
assert all(one[0] is kind and one[1] is function for one in found)
assert type(whole["inner"][0]) is type(block) is kind
x, y = torch.ones(3, 8, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64)
same = [torch.equal(one, two) for one, two in zip(block(x, y), result)]
same += [torch.equal(one, two) for one, two in zip(function(x, y, block.A, block.B), result)]
print(all(same), type(result).__name__, whole["inner"][0](x, y).s.shape, "fusionc.plan.order" in sys.modules)
"""
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.fus"))


def saved(path: Path):
    """What the other process gets: everything in every protocol, and a model with the module inside."""
    diagram = fusionc.parse(TEXT)["saved"]
    kind, function = diagram.module(), diagram.function()
    block = kind(dtype=torch.float64)
    result = block(torch.ones(3, 8, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64))
    parts = (kind, function, block, type(result)(*(one.detach() for one in result)))
    model = torch.nn.ModuleDict({"inner": torch.nn.Sequential(block)})
    torch.save(model, path)
    return pickle.dumps([pickle.dumps(parts, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)])


def test_what_is_saved_loads_in_another_process(tmp_path):
    """The cache has it, so that nothing is planned there."""
    data = saved(tmp_path / "model.pt")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "model.pt")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False, env=environment)
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout.decode().split() == "True SavedOutput torch.Size([3, 2]) False".split()


def doubled(index: int, block: torch.nn.Module, function: object, queue) -> None:
    x, y = torch.ones(2, 8), torch.ones(2, 4)
    queue.put((block(x, y).s.tolist(), function(x, y, block.A, block.B).s.tolist()))


def test_spawned_processes_take_modules(tmp_path, monkeypatch):
    diagram = fusionc.parse(TEXT)["saved"]
    block = diagram.module()()
    monkeypatch.setenv("FUSIONC_CACHE", str(tmp_path / "empty"))
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(doubled, (block, diagram.function(), queue), nprocs=1)
    wanted = block(torch.ones(2, 8), torch.ones(2, 4)).s.tolist()
    assert queue.get() == (wanted, wanted)
    assert len(list((tmp_path / "empty").iterdir())) == 1


def test_a_file_pickles_as_a_module_of_its_own(tmp_path, monkeypatch):
    text = fusionc.parse(TEXT)["saved"].emit()
    assert "import fusionc" not in text
    assert "from fusionc" not in text
    (tmp_path / "vendored_file.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("vendored_file")
    data = pickle.dumps([module.Saved, module.Saved(), module.saved])
    assert b"fusionc.generated" not in data
    assert pickle.loads(data)[0] is module.Saved


def test_packages_take_the_module_along(tmp_path):
    block = fusionc.parse(TEXT)["saved"].module()()
    with torch.package.PackageExporter(tmp_path / "package.pt") as exporter:
        exporter.intern("fusionc.generated.**")
        exporter.extern(["torch.**", "sys"])
        exporter.save_pickle("model", "block.pkl", block)
    again = torch.package.PackageImporter(tmp_path / "package.pt").load_pickle("model", "block.pkl")
    x, y = torch.ones(2, 8), torch.ones(2, 4)
    assert type(again) is not type(block)
    assert torch.equal(again(x, y).v, block(x, y).v)


def test_options_travel_and_equal_requests_are_one_class():
    one, two = fusionc.parse(TEXT)["saved"], fusionc.parse(TEXT.replace("  # a comment", "").lstrip())["saved"]
    assert one.module() is two.module()
    assert one.module(layout="ir_mul") is not one.module()
    request = Request(one.checked.standalone, "triton", Options(layout="ir_mul", dtype="float64", unroll="never"))
    assert from_name(request.name) == request
    assert request.name.isidentifier() or request.name.replace(".", "_").isidentifier()
    assert request.name.isascii()


def test_names_that_are_none_of_ours():
    for name in ("nothing", "d_", "d_mfrgg", "saved_" + "a" * 80, "store_x"):
        with pytest.raises(ModuleNotFoundError):
            import_module(f"{PREFIX}{name}")


def test_options_of_another_version_are_named(monkeypatch):
    monkeypatch.setattr("fusionc.generated.request.asdict", lambda options: {"shape": "round"})
    monkeypatch.setattr("fusionc.generated.request._DEFAULTS", {"shape": "square"})
    name = Request("group O(3)\n\ndiagram d(x: 0e) -> 0e {\n    x -> out\n}\n", "torch", Options()).name
    monkeypatch.undo()
    with pytest.raises(ImportError, match="does not know"):
        import_module(name)


def test_a_diagram_that_does_not_compile_any_more():
    name = Request("group O(3)\n\ndiagram d(x: 0e) -> 1o {\n    x -> out\n}\n", "torch", Options()).name
    with pytest.raises(ImportError, match="of a saved module"):
        import_module(name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_diagram_by_itself_means_the_same(path):
    """Its text has what it needs, and is the same again when it is read."""
    for diagram in fusionc.load(path).diagrams.values():
        alone = fusionc.parse(diagram.source.standalone)[diagram.name]
        assert alone == diagram
        if isinstance(diagram.source, CheckedDiagram):
            assert alone.source.scoped.settings == diagram.source.scoped.settings
            assert alone.source.meaning == diagram.source.meaning
        if path.stem == "four_modes":
            assert alone.emit() == diagram.emit()


@settings(max_examples=15, deadline=None)
@given(st.one_of(trees(3), trees(2, "SU(2)"), trees(2, "SO(3)"), site_diagrams()))
def test_random_diagrams_by_themselves_mean_the_same(random):
    try:
        diagram = fusionc.parse(random.text)["d"]
    except fusionc.CompileError:
        assume(False)
    assume(diagram.count_paths() < 60)
    alone = fusionc.parse(diagram.source.standalone)["d"]
    assert alone == diagram
    assert alone.emit() == diagram.emit()


def test_imports_settings_and_unused_names(tmp_path):
    (tmp_path / "spaces.fus").write_text("group SO(3)\nirreps A = B + 3\nirreps B = 1 + 2\nirreps UNUSED = 5\n")
    text = 'import "spaces.fus"\npaths path\nbasis complex\ndiagram d(x: A) -> A { x -> out }\n'
    (tmp_path / "d.fus").write_text(text)
    diagram = fusionc.load(tmp_path / "d.fus")["d"]
    text = diagram.source.standalone
    assert "UNUSED" not in text
    for line in ("group SO(3)", "irreps A = B + 3", "irreps B = 1 + 2", "paths path", "basis complex"):
        assert f"{line}\n" in text
    assert fusionc.parse(text)["d"].emit() == diagram.emit()


def values():
    program = fusionc.parse(TEXT, "saved.fus")
    diagram = program["saved"]
    closed = fusionc.parse("group SU(2)\ndiagram n() {\n    -> a b in 1/2\n    a b ->\n}\n")
    shown = (diagram.paths[0], diagram.paths, diagram.cost(), diagram.verify())
    return (program, diagram, closed, closed["n"], *shown)


def test_values_pickle_copy_and_hash():
    for value in values():
        for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)):
            assert again == value
            assert hash(again) == hash(value)


def test_a_module_that_was_verified_first_is_saved_too():
    """Verification imports what the compiler writes, not what the cache has; it is the same text."""
    diagram = fusionc.parse(TEXT.replace("saved", "verified"))["verified"]
    assert diagram.verify().ok
    kind = diagram.module()
    assert from_name(kind.__module__).diagram == "verified"
    assert {kind.__module__} == {diagram.function().__module__, type(kind()(torch.ones(8), torch.ones(4))).__module__}


def test_programs_that_were_pickled_do_what_they_did():
    program = pickle.loads(pickle.dumps(fusionc.parse(TEXT)))
    assert program["saved"].emit() == fusionc.parse(TEXT)["saved"].emit()
    assert program["saved"] != fusionc.parse(TEXT.replace("normalize norm", ""))["saved"]
    assert program != fusionc.parse(TEXT.replace("normalize norm", ""))


def test_mistakes_pickle():
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse("diagram d(x: 1o) -> 0e { x -> out }")
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert again.diagnostics == caught.value.diagnostics
        assert str(again) == str(caught.value)


def test_what_python_shows_of_a_module():
    import inspect
    import traceback

    kind = fusionc.parse(TEXT)["saved"].module()
    assert inspect.getsource(kind).startswith("class Saved(nn.Module)")
    try:
        kind()(torch.ones(3, 5), torch.ones(3, 4))
    except ValueError:
        shown = io.StringIO()
        traceback.print_exc(file=shown)
        assert 'raise ValueError(f"leg `{leg}` should have shape' in shown.getvalue()

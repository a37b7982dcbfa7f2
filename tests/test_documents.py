"""The code on the pages is run, page by page, block after block, as a reader would run it.

A block marked `fus` is parsed, and becomes a file where its first line is a comment with a file's name. Blocks marked
`python` and `pycon` are executed in one namespace; so is what stands in a comment `<!-- python … -->`, which readers do
not see. `python excerpt` is part of something else, and not run.
"""

from __future__ import annotations

import doctest
import os
import re
import warnings
from pathlib import Path

import pytest
import torch

import fusionc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(fus|pycon|python)\n(.*?)^```$|^<!-- (python)\n(.*?)^-->$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.fus)\n")
E3NN = (ROOT / "docs" / "from_e3nn.md").read_text(encoding="utf-8")


def run(page: Path, folder: Path) -> dict[str, object]:
    """Run a page's blocks in a folder that has the examples in it; the names that they defined."""
    names: dict[str, object] = {"__name__": "page"}
    text = page.read_text(encoding="utf-8")
    (folder / "examples").symlink_to(ROOT / "examples")
    for found in BLOCK.finditer(text):
        kind, code = (found[1], found[2]) if found[1] else (found[3], found[4])
        line = text.count("\n", 0, found.start()) + 1
        if kind == "fus":
            if named := FILE.match(code):
                (folder / named[1]).write_text(code, encoding="utf-8")
            fusionc.parse(code, f"{page.name}:{line}")
            continue
        if kind == "pycon":
            session = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
            assert session.examples
            assert not doctest.DocTestRunner(verbose=False).run(session, clear_globs=False).failed
            names |= session.globs
        else:
            exec(compile("\n" * line + code, str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = torch.random.get_rng_state()
    try:
        names = run(page, tmp_path)
    finally:
        torch.random.set_rng_state(state)
    if page.name != "from_e3nn.md":
        return
    assert {"network.fus", "network.py", "model.pt"} <= {*os.listdir(tmp_path)}
    vectors = torch.nn.functional.normalize(torch.randn(5, 3), dim=-1)
    wanted = e3nn().spherical_harmonics([0, 1, 2], vectors, True, "component")
    assert (names["harmonics"](vectors) - wanted).abs().max() < 1e-5


def test_there_is_code_on_the_pages():
    kinds = [found[1] or found[3] for page in PAGES for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert kinds.count("python") >= 6
    assert kinds.count("fus") >= 2
    assert "pycon" in kinds


# --- the table of idioms -------------------------------------------------------------------------------------------

SPACE = "4x0e + 3x1o"
IDIOMS = re.findall(r"^\| `?([^|]*?)`? \| `([^|`]*)`[^|]* \| `([^|]*)` \| `([^|]*)` \|$", E3NN, re.MULTILINE)


def e3nn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from e3nn import o3
    return o3


def of_e3nn(name: str, space: str, out: str):
    """The module of e3nn that a row of the table names."""
    o3 = e3nn()
    if name.startswith("Linear"):
        return o3.Linear(space, out)
    if name.startswith("Fully"):
        return o3.FullyConnectedTensorProduct(space, space, out)
    if name.startswith("Full"):
        return o3.FullTensorProduct(space, space)
    mode = name.split("`")[-1]
    blocks, targets = o3.Irreps(space), o3.Irreps(out)
    instructions = [
        (i, j, k, mode, True)
        for i, one in enumerate(blocks)
        for j, two in enumerate(blocks)
        for k, three in enumerate(targets)
        if three.ir in one.ir * two.ir
    ]
    return o3.TensorProduct(space, space, out, instructions)


def test_every_idiom_is_compared():
    table = E3NN.split("## Idioms")[1].split("| elsewhere")[0]
    assert len(IDIOMS) == table.count("\n| `") == 9


@pytest.mark.parametrize(("name", "line", "operands", "channels"), IDIOMS, ids=[row[0] for row in IDIOMS])
def test_an_idiom_is_what_e3nn_computes(name, line, operands, channels):
    uneven = name.startswith(("Linear", "Full")) or "uvw" in name  # the other modes need equal multiplicities
    space, out = SPACE if uneven else "4x0e + 4x1o", "4x0e + 4x1o"
    out = {"TensorProduct`, mode `uvuv": "16x0e + 16x1o", "FullTensorProduct(A, B)": "*"}.get(name, out)
    text = f"irreps A = {space}\nirreps B = {space}\ndiagram d({operands}) -> {out} {{ {line} }}"
    diagram = fusionc.parse(text)["d"]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)  # e3nn tabulates its constants in it
        try:
            theirs = of_e3nn(name, space, out)
        finally:
            torch.set_default_dtype(torch.float32)
    ours = diagram.module()(dtype=torch.float64)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(theirs.weight)
    values = [torch.randn(3, e3nn().Irreps(space).dim, dtype=torch.float64) for _ in operands.split(",")]
    wanted = theirs(*values)
    assert (ours(*values) - wanted).abs().max() < 1e-13 * wanted.abs().max()
    brackets = [re.sub("path|[ ,]", "", bracket) for bracket in re.findall(r"\[(.*?)\]", line)]
    left = line.split(" -> ")[0].count("[")
    assert channels == f"{','.join(brackets[:left] + brackets[left + 1 :])}->{brackets[left]}"

"""What the README shows is what fusionc does."""

from __future__ import annotations

import re
from pathlib import Path

import fusionc

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_code_out_comes_from_the_diagram_in():
    emitted = fusionc.parse(blocks("fus")[0]).emit()
    excerpt = next(block for block in blocks("python excerpt") if "nn.Module" in block)
    for piece in excerpt.split("...\n"):
        assert piece.strip("\n") in emitted


def test_the_error_is_what_the_checker_prints():
    from fusionc.language.render import render_text

    text = (ROOT / "examples" / "three_body.fus").read_text(encoding="utf-8")
    wrong = text.replace("in 0e + 1o + 2e", "in 0e + 1o + 6e")
    try:
        fusionc.parse(wrong, name="three_body.fus")
    except fusionc.CompileError as error:
        assert render_text(error.diagnostics).strip() in README
    else:
        raise AssertionError("the mistake was accepted")


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_picture_is_what_draw_draws():
    diagram = fusionc.load(ROOT / "examples" / "three_body.fus")["three_body"]
    assert (ROOT / "docs" / "three_body.svg").read_text(encoding="utf-8") == diagram.draw()


def test_the_table_of_costs_is_what_cost_counts():
    row = re.compile(r"^\| \[(\w+)\]\((examples/\w+\.fus)\) \| ([\w ]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)
    found = row.findall(README)
    assert len(found) >= 6
    for name, path, paths, *counts in found:
        diagram = fusionc.load(ROOT / path)[name]
        sizes = {"atoms": 1000, "edges": 20000} if paths == "1000 atoms" else None
        cost = diagram.cost(1000, sizes=sizes)
        assert sizes is not None or int(paths) == diagram.count_paths()
        orders = (cost, cost.naive, cost.opt_einsum)
        assert [int(one.replace(",", "")) for one in counts] == [order.multiplications for order in orders], name

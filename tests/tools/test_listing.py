"""What the commands print of a diagram."""

from __future__ import annotations

import fusionc
from fusionc.cli import main


def test_paths_that_cannot_be_listed_are_counted(tmp_path, capsys):
    """Vertex tensors may be too large to make, or trees of equal operands too many: the count takes neither."""
    file = tmp_path / "d.fus"
    file.write_text(
        "irreps Y = spherical(20)\n"
        "diagram large(a: Y, b: Y, c: Y) -> Y { a b c -> out * W[path] }\n"
        "diagram equal(a: spherical(8)) -> spherical(3) { a a a a a -> out * W[path] }\n"
        "diagram small(x: 1o, y: 1o) -> 0e { x y -> out }\n"
    )
    assert main(["paths", str(file)]) == 0
    large, equal, small = capsys.readouterr().out.split("\n\n")
    program = fusionc.load(file)
    assert large.startswith(f"large: {program['large'].count_paths():,} paths; no table: the vertex tensors of")
    assert large.endswith("(F3011)")
    assert equal.startswith(f"equal: {program['equal'].count_paths():,} paths; no table: ")
    assert equal.endswith("(F3009)")
    assert small.startswith("small: 1 path\n")

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from texts import PROGRAMS, body_of, file_of
from trees import files

from fusionc.language import syntax
from fusionc.language.printer import print_file, print_restriction, print_space, print_vertex

slow_data = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)


@slow_data
@given(files)
def test_a_printed_tree_reads_back(tree: syntax.File) -> None:
    text = print_file(tree)
    assert file_of(text) == tree
    assert print_file(file_of(text)) == text


@st.composite
def commented(draw: st.DrawFn) -> str:
    """A text with comments and empty lines wherever they may stand."""
    text = print_file(draw(files))
    pieces = re.split(r"(\"[^\"]*\"|(?<=[,(\[=+:{])|\n)", text)
    for number, piece in enumerate(pieces):
        if '"' in piece:
            continue
        here = draw(st.sampled_from(("", "", "", "comment", "blank")))
        if here == "comment" and piece in ("", "\n"):
            pieces[number] = f"  #{number} x\n"
        elif here == "blank" and piece == "\n":
            pieces[number] = "\n\n\n"
    return "".join(pieces)


@slow_data
@given(commented() | st.sampled_from(PROGRAMS))
def test_comments_survive_and_printing_twice_changes_nothing(text: str) -> None:
    tree = file_of(text)
    printed = print_file(tree)
    again = file_of(printed)
    assert again == tree
    assert [comment.text for comment in again.comments] == [comment.text for comment in tree.comments]
    assert print_file(again) == printed
    assert "\n\n\n" not in printed


def test_the_canonical_form() -> None:
    text = """\
# about the file
group   O( 3 )
irreps H=64x0e+3*K # short
irreps LONGER = spherical( 2 ) # long


sites atoms
# about f
diagram f(x:H[ atoms ],r:weights)->(s:H,v:* in lmax 3){ # opens

    x[ i , u ]->e[i,u] in 1 * W [ path,u ]


    # between
    e->s ; e -> v * .5 # last
    # inside
}   # closes
diagram g(){ }
# end
"""
    assert (
        print_file(file_of(text))
        == """\
# about the file
group O(3)
irreps H = 64x0e + 3 * K      # short
irreps LONGER = spherical(2)  # long

sites atoms

# about f
diagram f(x: H[atoms], r: weights) -> (s: H, v: * in lmax 3) {  # opens
    x[i,u] -> e[i,u] in 1 * W[path, u]

    # between
    e -> s
    e -> v * .5  # last
    # inside
}  # closes

diagram g() {}

# end
"""
    )


def test_long_openings_are_broken() -> None:
    legs = ", ".join(f"leg_number_{number}: 64x0e + 64x1o" for number in range(4))
    outputs = ", ".join(f"output_number_{number}: 64x0e + 64x1o" for number in range(4))
    printed = print_file(file_of(f"diagram f({legs}) -> ({outputs}) {{ }}"))
    lines = printed.splitlines()
    assert lines[0] == "diagram f("
    assert lines[1] == "    leg_number_0: 64x0e + 64x1o,"
    assert lines[5] == ") -> ("
    assert lines[-1] == ") {}"


def test_comments_between_legs_stay_with_them() -> None:
    text = """\
diagram f(
    x: H,  # node
    # the edge
    y: Y   # harmonics
) -> H {
    x y -> out
}
"""
    assert print_file(file_of(text)) == text.replace("Y   #", "Y  #")


def test_small_nodes() -> None:
    (vertex,) = body_of("a[ u ] b->c[u]in 2x3/2+3*H*W[path,u]*-1/3")
    assert isinstance(vertex, syntax.Vertex)
    assert print_vertex(vertex) == "a[u] b -> c[u] in 2x3/2 + 3 * H * W[path, u] * -1/3"
    restriction = vertex.right[0].restriction
    assert isinstance(restriction, syntax.Space)
    assert print_space(restriction) == print_restriction(restriction) == "2x3/2 + 3 * H"


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs_keep_their_trees(text: str) -> None:
    assert file_of(print_file(file_of(text))) == file_of(text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("diagram f( # a\n) -> H # b\n{ # c\n}", "diagram f() -> H {  # a\n    # b\n    # c\n}\n"),
        ("diagram f(x: H # a\n) -> 2 * spherical( # b\n1) { }", None),
        ("diagram f() -> ( # a\n s: H, # b\n t: # c\n H) { }", None),
        ("irreps H = 1o # a\n  + 2o # b\n", "# a\nirreps H = 1o + 2o  # b\n"),
    ],
)
def test_comments_in_odd_places(text: str, printed: str | None) -> None:
    once = print_file(file_of(text))
    assert print_file(file_of(once)) == once
    assert re.findall("# .", once) == re.findall("# .", text)
    assert printed is None or once == printed

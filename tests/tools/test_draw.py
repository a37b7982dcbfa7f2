"""Pictures of diagrams: what they show, that nothing overlaps, and that any diagram has one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from time import process_time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionc
from fusionc.driver import CheckedDiagram, check_source
from fusionc.language.source import Source
from fusionc.tools.draw import draw, picture
from fusionc.tools.layout import Arc, Layout, Node, arrange
from fusionc.tools.svg import Box

SVG = "{http://www.w3.org/2000/svg}"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.fus"))

PRODUCT_BASIS = """
irreps A = 128x0e + 128x1o + 128x2e + 128x3o
diagram product_basis(a: A, z: index(89)) -> 128x0e + 128x1o {
    a[u]           -> out[u] * W1[z, path, u]
    a[u] a[u]      -> out[u] * W2[z, path, u]
    a[u] a[u] a[u] -> out[u] * W3[z, path, u]
}
"""
TWO_OUTPUTS = """
diagram gates(x: 8x0e + 8x1o, y: spherical(2), r: weights) -> (s: 8x0e, v: *) {
    x[u] y -> s[u] * r[path, u]
    x[u] y -> v[path, u] * 0.5
}
"""
UVW = """
diagram tensor_product(x: 16x0e + 16x1o, y: 8x0e + 8x1o) -> 32x0e + 32x1o + 32x1e {
    x[u] y[v] -> h[w] in 24x0e + 24x1o * W[path, u, v, w]
    h[u]      -> k[v] in 32x0e + 32x1o * L[path, u, v]
    k[w] x[u] -> out[w] * V[path, u, w] * 0.25
}
"""
FOUR = """
diagram four(a: 4x0e + 4x1o, b: spherical(2), c: 1o, d: spherical(1), r: weights) -> 4x0e + 4x1o {
    a[u] b c d     -> e[u] in 0e + 1o + 2e * r[path, u]
    a[u] b         -> e[u] * V[path, u]
    a[u]           -> e[u] * Q[path, u]
    e[u] e[u]      -> out[u] * W[path, u]
    e[u] e[v] b    -> out[u] * X[path, u, v] * 1/3
}
"""
NET = """
diagram net(a: 4x0e + 4x1o + 4x2e, b: spherical(2), c: spherical(3), d: 1o) -> (energy: 4x0e, forces: 4x1o) {
    a[u] b       -> p[u] in lmax 2
    c d          -> q in lmax 2
    p[u] q       -> m[u] in lmax 2 * W[path, u]
    b d          -> k in 0e + 1o + 2e * K[path]
    m[u] k       -> energy[u] * E[path, u]
    m[u] m[u] k  -> forces[u] * F[path, u]
}
"""
BARE = "diagram bare(x: 1o) -> 1o { x -> out }"


def chain(length: int) -> str:
    """A comb: one leg more in each line."""
    edges = ["x", *(f"e{number}" for number in range(1, length)), "out"]
    lines = [
        f"{before}[u] y -> {after}[u]{' in lmax 1' if after != 'out' else ''} * W{number}[path, u]"
        for number, (before, after) in enumerate(pairwise(edges))
    ]
    return "diagram chain(x: 2x0e + 2x1o, y: spherical(1)) -> 2x0e {\n" + "\n".join(lines) + "\n}"


def tangle(seed: int, length: int) -> str:
    """Lines that take their operands from any earlier edge."""
    choose, edges, used, lines = random.Random(seed), ["x"], set(), []
    for number in range(length):
        pair = [choose.choice(edges[-6:]) for _ in range(2)]
        used.update(pair)
        lines.append(f"{pair[0]}[u] {pair[1]}[u] y -> e{number}[u] in lmax 1 * W{number}[path, u]")
        edges.append(f"e{number}")
    lines += [f"{edge}[u] -> out[u] * O{edge}[path, u]" for edge in edges if edge not in used]
    return "diagram tangle(x: 2x0e + 2x1o, y: spherical(1)) -> 2x0e {\n" + "\n".join(lines) + "\n}"


TEXTS = {
    "product_basis": PRODUCT_BASIS,
    "two_outputs": TWO_OUTPUTS,
    "uvw": UVW,
    "four": FOUR,
    "net": NET,
    "bare": BARE,
    "chain": chain(15),
    "tangle": tangle(1, 15),
}


def diagrams(text: str) -> tuple[CheckedDiagram, ...]:
    checked = check_source(Source("<test>", text))
    assert not checked.has_errors, checked.diagnostics
    return checked.diagrams


def cases() -> Iterator[object]:
    for path in EXAMPLES:
        for diagram in check_source(Source(path.name, path.read_text()), path.parent).diagrams:
            yield pytest.param(diagram, id=f"{path.stem}:{diagram.name}")
    for name, text in TEXTS.items():
        yield pytest.param(diagrams(text)[0], id=name)


every_case = pytest.mark.parametrize("diagram", list(cases()))


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def shown(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def numbers(box: Box) -> tuple[float, ...]:
    return box.left, box.top, box.right, box.bottom


# --- every picture -----------------------------------------------------------------------------------------------


@every_case
def test_every_name_is_shown(diagram: CheckedDiagram) -> None:
    graph = diagram.graph
    words = " ".join(shown(draw(diagram)))
    names = [leg.name for leg in graph.legs] + [output.name for output in graph.outputs] + list(graph.writers)
    names += [weight.name for line in graph.lines for weight in line.weights]
    assert [name for name in names if name not in words] == []


@every_case
def test_no_two_labels_overlap_and_all_are_on_the_paper(diagram: CheckedDiagram) -> None:
    shown = picture(diagram)
    for text in shown.texts:
        left, top, right, bottom = numbers(text.box)
        assert left >= 0, text
        assert top >= 0, text
        assert right <= shown.width, text
        assert bottom <= shown.height, text
    boxes = [(text.box, text) for text in shown.texts]
    assert [(text, other) for (box, text), (near, other) in combinations(boxes, 2) if box.overlaps(near)] == []


@every_case
def test_no_strand_runs_through_a_label(diagram: CheckedDiagram) -> None:
    shown = picture(diagram)
    boxes = [(text.box, text) for text in shown.texts]
    points = [(point, strand) for strand in shown.strands for point in sampled(strand.steps)]
    found = [(text, strand) for box, text in boxes for point, strand in points if holds(box, point)]
    assert found == []


def holds(box: Box, point: tuple[float, float]) -> bool:
    return box.left < point[0] < box.right and box.top < point[1] < box.bottom


def sampled(steps: tuple[tuple[str, tuple[float, ...]], ...]) -> Iterator[tuple[float, float]]:
    """Points along a path of straight lines and cubic curves."""
    here = (0.0, 0.0)
    for command, where in steps:
        corners = [here, *zip(where[::2], where[1::2], strict=True)]
        for number in range(21) if command in "LC" else ():
            points, t = corners, number / 20
            while len(points) > 1:
                points = [(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b in pairwise(points)]
            yield points[0]
        here = corners[-1]


@every_case
def test_a_picture_says_what_it_is_and_stands_alone(diagram: CheckedDiagram) -> None:
    svg = draw(diagram)
    root = parsed(svg)
    assert root.get("role") == "img"
    assert diagram.name in (root.get("aria-label") or "")
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text == root.get("aria-label")
    assert (root.get("viewBox") or "").split() == ["0", "0", root.get("width"), root.get("height")]
    assert "prefers-color-scheme: dark" in svg
    assert "href" not in svg
    assert "url(" not in svg


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_same_text_gives_the_same_bytes(text: str) -> None:
    assert draw(diagrams(text)[0]) == draw(diagrams(text)[0])


def test_the_public_api_draws() -> None:
    diagram = fusionc.parse(BARE)["bare"]
    assert diagram.draw() == diagram._repr_svg_() == draw(diagram.checked)


# --- what is in it -----------------------------------------------------------------------------------------------


def tones(svg: str, tag: str) -> list[str]:
    return [element.get("class") or "" for element in parsed(svg).iter(f"{SVG}{tag}")]


def test_spaces_edges_and_indices_are_written_out() -> None:
    words = shown(draw(diagrams(UVW)[0]))
    assert {"16×(0e + 1o)", "32×(0e + 1o + 1e)", "0e + 1o"} <= set(words)
    assert {"x[u]", "y[v]", "h[w] → h[u]", "k[v] → k[w]", "out[w]", "× 1/4", "W[path, u, v, w]"} <= set(words)


def test_equal_operands_share_a_label_and_each_has_a_strand() -> None:
    svg = draw(diagrams(PRODUCT_BASIS)[0])
    assert shown(svg).count("a[u]") == 3
    strands = [strand for strand in picture(diagrams(PRODUCT_BASIS)[0]).strands if strand.tone == "strand"]
    assert len(strands) == 1 + 2 + 3 + 3  # into the vertices, and out of them


def test_a_line_is_a_dot_and_a_linear_map_is_none() -> None:
    assert tones(draw(diagrams(PRODUCT_BASIS)[0]), "circle").count("dot") == 2
    assert tones(draw(diagrams(BARE)[0]), "circle") == []
    assert tones(draw(diagrams(BARE)[0]), "rect").count("dot") == 1


def test_lines_into_one_edge_meet_in_a_sum() -> None:
    svg = draw(diagrams(FOUR)[0])
    assert tones(svg, "path").count("plus") == 2


def test_weights_say_where_they_come_from() -> None:
    svg = draw(diagrams(PRODUCT_BASIS)[0])
    assert {"learned", "selects one of 89 rows"} <= set(shown(svg))
    assert shown(svg).count("z") == 4
    assert "given at every call" not in shown(svg)
    svg = draw(diagrams(TWO_OUTPUTS)[0])
    assert "given at every call" in shown(svg)
    assert "learned" not in shown(svg)


def test_kept_paths_are_double_strands() -> None:
    svg = draw(diagrams(TWO_OUTPUTS)[0])
    assert "v[path, u]" in shown(svg)
    assert "paths kept apart" in shown(svg)
    assert "strand double" in tones(svg, "path")
    assert "strand double" not in tones(draw(diagrams(PRODUCT_BASIS)[0]), "path")


def test_an_inferred_output_has_the_space_of_its_paths() -> None:
    diagram = diagrams(TWO_OUTPUTS)[0]
    blocks = diagram.table.outputs["v"].blocks
    space = " + ".join(f"{block.mul}×{diagram.graph.group.format(block.irrep)}" for block in blocks)
    assert f"v: {space}" in [element.text for element in parsed(draw(diagram)).iter(f"{SVG}title")]


# --- hostile and huge --------------------------------------------------------------------------------------------


def test_texts_are_escaped() -> None:
    diagram = diagrams(BARE)[0]
    evil = "</title><script>\"'&\x00\ud800"
    graph = replace(diagram.graph, name=evil, legs=(replace(diagram.graph.legs[0], name=evil),))
    svg = draw(replace(diagram, graph=graph))
    root = parsed(svg)
    assert "<script" not in svg
    assert svg.encode()
    assert "</title><script>\"'&\ufffd\ufffd" in (root.get("aria-label") or "")


def test_long_names_and_spaces_are_abbreviated() -> None:
    space = " + ".join(f"{number}x{number % 9}e" for number in range(1, 60))
    name = "a" * 200
    svg = draw(
        diagrams(f"diagram long({name}: {space}) -> 5x0e {{ {name}[u] -> out[v] * w[path, u, v] * 0.1234567891 }}")[0]
    )
    assert max(map(len, shown(svg))) < 40
    assert "× 0.1235" in shown(svg)
    assert any(words.startswith("1e + 2×2e + … + 59×") for words in shown(svg))


LEGS = ", ".join(f"u{number}: 0e" for number in range(300))
HUGE = {
    "lines": chain(1000),
    "tangle": tangle(2, 300),
    "outputs": f"diagram many(x: 0e) -> ({LEGS}) {{\n" + "\n".join(f"x -> u{k} * W{k}[path]" for k in range(300)) + "}",
    "unused legs": f"diagram many(x: 0e, {LEGS}) -> 0e {{ x -> out * W[path] }}",
    "operands": f"diagram many({LEGS}) -> 0e {{ {' '.join(f'u{k}' for k in range(90))} -> out * W[path] }}",
    "equal operands": f"diagram many(x: 0e) -> 0e {{ {'x ' * 40} -> out * W[path] }}",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_diagram_is_drawn_in_part(text: str) -> None:
    diagram = diagrams(text)[0]
    start = process_time()
    svg = draw(diagram)
    assert process_time() - start < 5
    assert len(svg) < 600_000
    assert any("more" in words or "×40" in words for words in shown(svg))
    test_no_two_labels_overlap_and_all_are_on_the_paper(diagram)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_any_diagram_has_a_picture(seed: int, length: int) -> None:
    diagram = diagrams(tangle(seed, length))[0]
    parsed(draw(diagram))
    test_no_two_labels_overlap_and_all_are_on_the_paper(diagram)
    test_no_strand_runs_through_a_label(diagram)


# --- the layout --------------------------------------------------------------------------------------------------


@st.composite
def sketches(choose: st.DrawFn) -> tuple[list[Node], list[Arc]]:
    sizes = st.floats(1, 100)
    count = choose(st.integers(0, 25))
    nodes = [Node(choose(sizes), choose(sizes), choose(sizes)) for _ in range(count)]
    arcs = []
    for head in range(1, count):
        for tail in choose(st.lists(st.integers(0, head - 1), max_size=3)):
            arcs.append(Arc(tail, head, choose(st.sampled_from((0.0, 10.0))), choose(st.booleans())))
    return nodes, arcs


@settings(max_examples=12, deadline=None)
@given(sketches())
def test_a_layout_keeps_nodes_apart_and_arcs_downwards(sketch: tuple[list[Node], list[Arc]]) -> None:
    nodes, arcs = sketch
    layout = arrange(nodes, arcs)
    boxes = [placed(node, layout, number) for number, node in enumerate(nodes)]
    assert all(box.left >= -1e-6 and box.right <= layout.width + 1e-6 for box in boxes)
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    for arc, route in zip(arcs, layout.routes, strict=True):
        assert layout.ranks[arc.tail] < layout.ranks[arc.head]
        assert len(route) == layout.ranks[arc.head] - layout.ranks[arc.tail] + 1
        assert route[0] == layout.anchors[arc.tail] + arc.port
        assert route[-1] == layout.anchors[arc.head]


def placed(node: Node, layout: Layout, number: int) -> Box:
    x, band = layout.anchors[number], layout.bands[layout.ranks[number]]
    return Box(x - node.left, band.top, x + node.right, band.top + node.height)


def test_a_tree_is_drawn_without_crossings() -> None:
    """((0 1) (2 (3 4))): the leaves stay in this order, each vertex stands between its operands."""
    node = Node(5.0, 5.0, 10.0)
    layout = arrange(
        [node] * 9, [Arc(*ends) for ends in ((0, 5), (1, 5), (3, 6), (4, 6), (2, 7), (6, 7), (5, 8), (7, 8))]
    )
    x = layout.anchors
    assert list(x[:5]) == sorted(x[:5])
    assert x[0] < x[5] < x[1]
    assert x[3] < x[6] < x[4]
    assert x[5] < x[8] < x[7]


def test_passing_arcs_are_straight() -> None:
    diagram = diagrams(chain(30))[0]
    for strand in picture(diagram).strands:
        xs = [where[-2] for command, where in strand.steps if command in "ML"]
        assert max(xs) - min(xs) < 1e-6

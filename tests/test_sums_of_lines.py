"""Lines that end in one edge add up, whatever their brackets: a diagram is the sum of the diagrams that have one of its
lines each. And a weight that stands several times is that of several names with equal numbers."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionc

SITES = "sites atoms\npairs edges(atoms, atoms)\n"
PAIRS = torch.tensor([[0, 2, 1, 0, 0], [1, 1, 0, 2, 1]])
LEAD = {"": (2,), "[atoms]": (2, 3), "[edges]": (2, 5)}
LAYOUTS = ["mul_ir", "ir_mul"]


def module(header: str, output: str, body: str, layout: str, sites: bool):
    text = f"{SITES if sites else ''}paths none\ndiagram d({header}) -> {output} {{ {body} }}"
    diagram = fusionc.parse(text)["d"]
    return diagram.checked, diagram.module(layout=layout)().double()


def operands(checked) -> dict[str, torch.Tensor]:
    """Random legs of a diagram, by name."""
    graph, found = checked.graph, {}
    for leg in graph.legs:
        lead = LEAD["" if leg.domain is None else f"[{leg.domain}]"]
        if leg.name in graph.index_legs:
            found[leg.name] = torch.randint(0, leg.size, lead)
            continue
        given = leg.name in graph.weights_legs
        dim = checked.table.weights[leg.name].numel if given else leg.space.dim(graph.group)
        found[leg.name] = torch.randn((*lead, dim), dtype=torch.float64, requires_grad=True)
    return found


def called(checked, made, legs: dict[str, torch.Tensor]) -> torch.Tensor:
    sites = {"edges": PAIRS} if checked.graph.relations else {}
    sites |= dict.fromkeys(checked.graph.told_sites, 3)
    return made(*(legs[leg.name] for leg in checked.graph.legs), **sites)


def orders(value: torch.Tensor, wanted: list[torch.Tensor]) -> list[torch.Tensor]:
    """A value, its gradients, and the gradients of a combination of these."""
    seeds = torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view(value.shape)
    first = torch.autograd.grad(value, wanted, seeds, create_graph=True, materialize_grads=True)
    total = sum((one * torch.linspace(1, 2, one.numel(), dtype=one.dtype).view(one.shape)).sum() for one in first)
    if not total.requires_grad:
        return [value, *first]
    return [value, *first, *torch.autograd.grad(total, wanted, materialize_grads=True)]


def same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-11, atol=1e-11)


# --- sums ----------------------------------------------------------------------------------------------------------


def check_sum(header: str, output: str, lines: list[str], layout: str, sites: bool = False) -> None:
    torch.manual_seed(0)
    checked, whole = module(header, output, "; ".join(lines), layout, sites)
    legs, weights = operands(checked), dict(whole.named_parameters())
    total = torch.zeros(())
    for line in lines:
        words = line.split("->")[0] + line.split("*", 1)[-1] * ("*" in line)
        used = [leg for leg in header.split(", ") if re.search(rf"\b{leg.split(':')[0]}\b", words)]
        alone, part = module(", ".join(used), output, line, layout, sites)
        for name in dict(part.named_parameters()):
            setattr(part, name, weights[name])
        total = total + called(alone, part, legs)
    wanted = [*(leg for leg in legs.values() if leg.requires_grad), *weights.values()]
    same(orders(called(checked, whole, legs), wanted), orders(total, wanted))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_brackets_of_different_sizes(layout):
    check_sum("x: 2x1o, y: 3x0e, z: 6x1o", "6x1o", ["x[u] y[v] -> out[u,v]", "z[w] -> out[w]"], layout)
    lines = ["x y -> out", "z[w] -> out[w]", "x[u] y[v] -> out[v] * W[path,u]"]
    check_sum("x: 1o, y: 0e, z: 1o", "1o", lines, layout)
    lines = ["x[u] y[v] -> out[u,v,w] * W[path,u,w]", "t[u] -> out[u] * U[path]", "z[u] -> out[w,u] * V[path,w]"]
    check_sum("x: 2x1o, y: 3x0e, z: 6x1o, t: 12x1o", "12x1o + 12x1o", lines, layout)


@st.composite
def sums(draw) -> tuple[str, str, list[str], bool]:
    """Lines with brackets of one, two or no indices, of the same number of channels, weighed or not, over sites or
    not."""
    size, sites = draw(st.sampled_from([1, 4, 6])), draw(st.booleans())
    brackets = {1: [(), (1,), (1, 1)], 4: [(4,), (2, 2), (4, 1)], 6: [(6,), (2, 3), (3, 2)]}[size]
    lines, legs = [], {}
    for number in range(draw(st.integers(2, 3))):
        bracket = draw(st.sampled_from(brackets))
        letters = "uv"[: len(bracket)]
        left, weighed = [], ""
        for place, letter in enumerate(letters or "-"):
            mul = bracket[place] if bracket else 1
            if place and draw(st.booleans()):
                weighed = f",{letter}"  # a new index, which the weight brings
                continue
            name = f"{'qv'[place == 0]}{mul}"
            over = ("[edges]" if place == 0 else "[atoms]") if sites else ""
            legs[name] = f"{name}: {mul}x0e" + (f" + {mul}x1o" if place == 0 else "") + over
            head = ("i,j" if place == 0 else "j") if sites else ""
            inside = ",".join(part for part in (head, letter.strip("-")) if part)
            left.append(f"{name}[{inside}]" if inside else name)
        at = ",".join((*(["i"] if sites else []), *draw(st.permutations(letters))))
        kind = f" * W{number}[path{weighed}]" if weighed or draw(st.booleans()) else ""
        lines.append(f"{' '.join(left)} -> out{f'[{at}]' if at else ''}{kind}")
    return ", ".join(legs.values()), f"{size}x0e + {size}x1o{'[atoms]' if sites else ''}", lines, sites


@settings(max_examples=12, deadline=None)
@given(sums(), st.sampled_from(LAYOUTS))
def test_a_diagram_is_the_sum_of_its_lines(drawn, layout):
    header, output, lines, sites = drawn
    check_sum(header, output, list(dict.fromkeys(lines)), layout, sites)


# --- weights that stand several times --------------------------------------------------------------------------------


def check_names(header: str, output: str, body: str, layout: str, sites: bool = False) -> None:
    """A diagram against the one in which every occurrence of a weight has a name of its own."""
    torch.manual_seed(0)
    copies: list[tuple[str, str]] = []

    def fresh(found: re.Match[str]) -> str:
        copies.append((found[1], f"{found[1]}{len(copies)}"))
        return copies[-1][1]

    apart = re.sub(r"(?<=\* )([UVWr])\b", fresh, body)
    given = [
        f"{copy}: {leg.split(': ')[1]}" for leg in header.split(", ") for own, copy in copies if leg[:2] == f"{own}:"
    ]
    rest = [leg for leg in header.split(", ") if leg[:2] != "r:"]
    checked, made = module(header, output, body, layout, sites)
    other, named = module(", ".join(rest + given), output, apart, layout, sites)
    legs, weights = operands(checked), dict(made.named_parameters())
    for own, copy in copies:
        if own in weights:
            setattr(named, copy, weights[own])
        else:
            legs[copy] = legs[own]
    wanted = [*{id(leg): leg for leg in legs.values() if leg.requires_grad}.values(), *weights.values()]
    same(orders(called(checked, made, legs), wanted), orders(called(other, named, legs), wanted))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("x: 3x1o, y: 0e", "x[u] y -> out[w] * W[u,w] * W[u,w]"),
        ("x: 3x1o, y: 0e", "x[u] y -> out[w] * W[u,w] * W[w,u] * W[u,w]"),
        ("x: 3x1o + 3x0e, y: 0e + 1o, r: weights", "x[u] y -> out[w] * r[path,u,w] * V[u] * r[path,w,u]"),
        ("x: 3x1o + 3x0e, y: 0e + 1o, z: index(4), q: index(4)", "x[u] y -> out[w] * W[z,path,u,w] * W[q,path,u,w]"),
        ("x: 3x1o, y: 0e, r: weights", "x[u] y -> e[v] in 3x1o * W[u,v] * r[u,v]; e[u] -> out[v] * W[v,u] * r[v,u]"),
    ],
)
def test_a_weight_that_stands_twice(header, body, layout):
    check_names(header, "3x1o", body, layout)


@st.composite
def weights(draw) -> tuple[str, str, bool]:
    """A line with two or three factors, two of which are one weight, its bracket turned or not."""
    sites = draw(st.booleans())
    path, kind = draw(st.sampled_from(["", "path"])), draw(st.sampled_from(["W", "W", "r"]))
    shape = draw(st.sampled_from(["uw", "uw", "w", "u"]))
    rows = "z" if kind == "W" and draw(st.booleans()) else ""

    def factor(name: str, head: str, letters: str) -> str:
        return f"{name}[{','.join(part for part in (head, path, *letters) if part)}]".replace("[]", "")

    head = "i,j" if kind == "r" and sites else rows
    factors = [factor(kind, head, "".join(draw(st.permutations(shape)))) for _ in range(draw(st.integers(2, 3)))]
    factors.insert(draw(st.integers(0, len(factors))), "V[path,u]")
    if shape != "uw":
        factors.append("U[w]")
    x, y, at = ("x[j,u]", "y[i,j]", "i,w") if sites else ("x[u]", "y", "w")
    legs = [f"x: 2x1o + 2x0e{'[atoms]' * sites}", f"y: 0e + 1o{'[edges]' * sites}"]
    legs += [f"r: weights{'[edges]' * sites}"] if kind == "r" else []
    legs += ["z: index(3)"] if rows else []
    return ", ".join(legs), f"{x} {y} -> out[{at}] * {' * '.join(factors)}", sites


@settings(max_examples=12, deadline=None)
@given(weights(), st.sampled_from(LAYOUTS))
def test_equal_weights_are_equal_numbers(drawn, layout):
    header, body, sites = drawn
    check_names(header, f"2x1o{'[atoms]' * sites}", body, layout, sites)

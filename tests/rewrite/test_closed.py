"""Numbers obey the settings that modules obey: exact values against a dense contraction that shares nothing with
fusionc, and against the module of the same diagram."""

from __future__ import annotations

import random
from math import factorial, sqrt

import numpy as np
import pytest
import torch

import fusionc
from fusionc.cli import main
from fusionc.driver import as_number
from fusionc.rewrite.evaluate import value_of

NORMALIZE = ("component", "norm", "none")


def coefficient(a: int, al: int, b: int, be: int, c: int, ga: int) -> float:
    """<a al, b be | c ga> of doubled spins, by Racah's formula in the form of Edmonds (1957), 3.6.11."""
    if al + be != ga or not abs(a - b) <= c <= a + b or (a + b + c) % 2:
        return 0.0

    def f(twice: int) -> int:
        return factorial(twice // 2)

    front = (c + 1) * f(a + b - c) * f(a - b + c) * f(b + c - a) / f(a + b + c + 2)
    front *= f(a + al) * f(a - al) * f(b + be) * f(b - be) * f(c + ga) * f(c - ga)
    total = 0.0
    for k in range(0, (a + b + c) // 2 + 1):
        parts = (a + b - c - 2 * k, a - al - 2 * k, b + be - 2 * k, c - b + al + 2 * k, c - a - be + 2 * k)
        if min(parts) >= 0:
            term = factorial(k)
            for part in parts:
                term *= f(part)
            total += (-1) ** k / term
    return sqrt(front) * total


def vertex(a: int, b: int, c: int, normalize: str) -> np.ndarray:
    """The tensor of a vertex as docs/language.md has it: the isometric one, times the factor of `normalize`."""
    tensor = np.array(
        [
            [[coefficient(a, al, b, be, c, ga) for ga in range(-c, c + 1, 2)] for be in range(-b, b + 1, 2)]
            for al in range(-a, a + 1, 2)
        ]
    )
    dims = (a + 1, b + 1, c + 1)
    scale = {"component": 1.0, "norm": sqrt(dims[0] * dims[1] / dims[2]), "none": 1 / sqrt(dims[2])}
    return tensor * scale[normalize]


Line = tuple[tuple[str, ...], tuple[str, ...]]


def random_diagram(rng: random.Random) -> tuple[list[Line], dict[str, int]]:
    """Lines from the wire `x` to the wire `out`, tangled by pairs, splits, couplings and closings; doubled spins."""
    spins, lines, live, names = {"x": rng.randint(0, 3)}, [], ["x"], iter(f"w{k}" for k in range(99))

    def fresh(spin: int) -> str:
        name = next(names)
        spins[name] = spin
        return name

    def couple() -> None:
        a, b = live.pop(), live.pop()
        low, high = abs(spins[a] - spins[b]), min(spins[a] + spins[b], 6)
        c = fresh(rng.choice(range(low, high + 1, 2)))
        lines.append(((a, b), (c,)))
        live.append(c)

    for _ in range(rng.randint(2, 5)):
        rng.shuffle(live)
        kind = rng.choice(["pair", "split", "couple", "close"])
        if kind == "pair" and len(live) < 4:
            p = rng.randint(0, 3)
            live += [fresh(p), fresh(p)]
            lines.append(((), tuple(live[-2:])))
        elif kind == "close" and len(live) > 2 and spins[live[-1]] == spins[live[-2]]:
            lines.append(((live.pop(), live.pop()), ()))
        elif kind == "couple" and len(live) > 1:
            couple()
        else:
            wire = live.pop()
            first = rng.randint(0, 3)
            second = rng.choice(range(abs(spins[wire] - first), spins[wire] + first + 1, 2))
            live += [fresh(first), fresh(second)]
            lines.append(((wire,), tuple(live[-2:])))
    while len(live) > 1:
        couple()
    last = live[0]
    ended = [(left, tuple("out" if wire == last else wire for wire in right)) for left, right in lines]
    return ended, {"out" if wire == last else wire: spin for wire, spin in spins.items()}


def text_of(lines: list[Line], spins: dict[str, int], normalize: str) -> str:
    """The diagram as a text of SU(2)."""
    names = {wire: f"{spin}/2" if spin % 2 else str(spin // 2) for wire, spin in spins.items()}
    inner = ", ".join(f"{wire}: {name}" for wire, name in names.items() if wire not in ("x", "out"))
    body = "\n".join(f"{' '.join(left)} -> {' '.join(right)}" for left, right in lines)
    edges = f"edge {inner}\n" if inner else ""
    return f"group SU(2)\nnormalize {normalize}\ndiagram d(x: {names['x']}) -> {names['out']} {{ {edges}{body} }}"


def contracted(lines: list[Line], spins: dict[str, int], normalize: str) -> np.ndarray:
    """The whole tensor from `x` to `out`, by numpy's einsum."""
    numbers = {wire: number for number, wire in enumerate(spins)}
    operands: list[object] = []
    for left, right in lines:
        wires = (*left, *right) if len(left) != 1 else (*right, *left)  # of a split: its source last
        a, b, c = (*(spins[wire] for wire in wires), 0)[:3]
        tensor = vertex(a, b, c, normalize)
        operands += [tensor if len(wires) == 3 else tensor[:, :, 0], [numbers[wire] for wire in wires]]
    return np.einsum(*operands, [numbers["x"], numbers["out"]], optimize="greedy")


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_numbers_equal_a_dense_contraction_with_every_normalisation(normalize):
    rng, nonzero, zero = random.Random(3), 0, 0
    while nonzero < 12 or zero < 3:
        lines, spins = random_diagram(rng)
        if "out" not in spins or "x" not in spins:
            continue
        found = fusionc.parse(text_of(lines, spins, normalize))["d"].evaluate()
        dense = contracted(lines, spins, normalize)
        wanted = np.eye(len(dense)) * float(found) if dense.shape[0] == dense.shape[1] else np.zeros(dense.shape)
        assert np.abs(dense - wanted).max() < 1e-10 * max(1.0, abs(float(found))), text_of(lines, spins, normalize)
        if dense.shape[0] != dense.shape[1]:
            assert found == 0
        nonzero, zero = nonzero + bool(found), zero + (not found)


BODIES = {
    "bubble": "edge a: 3/2, b: 1/2; x -> a b; a b -> out",
    "pair": "edge a: 5/2; -> p q in 3/2; x p -> a; a q -> out * 2/3",
    "three": "edge e: 2, a: 3/2, b: 1/2, c: 1, f: 2; x -> e c; e -> a b; a b -> f; f c -> out",
    "crossed": "edge e: 2, a: 3/2, b: 1/2, c: 1, f: 3/2; x -> e c; e -> a b; b c -> f; a f -> out",
    "line": "x -> out * -5/7",
}


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("body", BODIES)
def test_a_number_is_what_the_module_multiplies_with(normalize, body):
    """Of one labeling; `paths` has nothing to normalise there."""
    head = f"group SU(2)\nnormalize {normalize}\npaths {'path' if body == 'pair' else 'element'}\n"
    diagram = fusionc.parse(f"{head}diagram d(x: 1) -> 1 {{ {BODIES[body]} }}")["d"]
    module = diagram.module()(dtype=torch.complex128)
    out = module(torch.eye(3, dtype=torch.complex128))
    assert diagram.evaluate()
    np.testing.assert_allclose(out.numpy(), np.eye(3) * float(diagram.evaluate()), atol=1e-12)


@pytest.mark.parametrize(("normalize", "size"), [("component", 1), ("norm", 4), ("none", 1)])
def test_a_pair_is_the_vertex_of_its_wires_and_the_trivial_irrep(normalize, size):
    """A pair and its closing are scaled alike: of norm one, or of 2j+1 with `norm`."""
    head = f"group SU(2)\nnormalize {normalize}\ndiagram d() {{"
    assert fusionc.parse(f"{head} -> p q in 3/2; p q -> }}")["d"].evaluate() == size * size
    # where a wire of spin 0 ends in the closing of a pair of spin 0, which is 1, the split is the pair
    drawn = fusionc.parse(f"{head} -> z y in 0; z -> p q in 3/2; p q -> w in 0; y w -> }}")["d"]
    assert drawn.evaluate() == size * size


@pytest.mark.parametrize(("normalize", "wanted"), [("component", "1"), ("norm", "9/5"), ("none", "1/5")])
def test_the_formula_obeys_the_normalisation(normalize, wanted, tmp_path, capsys):
    file = tmp_path / "d.fus"
    body = "edge a: 1, b: 1; x -> a b; a b -> out"
    file.write_text(f"group SU(2)\nnormalize {normalize}\ndiagram d(x: 2) -> 2 {{ {body} }}\n")
    assert main(["eval", str(file), "--formula"]) == 0
    first, formula = capsys.readouterr().out.splitlines()
    assert first.startswith(f"d = {wanted} = ")
    (term,) = as_number(fusionc.load(file)["d"].source.scoped).formulas
    assert str(value_of(term)) == wanted
    assert formula.strip() == f"= {term}"

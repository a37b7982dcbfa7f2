"""What callers do with modules over sites: wrong operands, torch's transforms, names, what they cost."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from site_cases import (
    EXAMPLE,
    SMALL_NAMES,
    Case,
    arrays,
    assert_same,
    case,
    check_strategies,
    example,
    small,
)

import fusionc
from fusionc.tools.verify import as_tuple

# --- what a module says of wrong operands ----------------------------------------------------------------------------


def complaint(kind: type[Exception], one: Case, *values: torch.Tensor, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        one.module()(*(values or one.tensors()), **{**one.keywords, **keywords})
    return str(caught.value)


@pytest.mark.parametrize(("row", "place", "value"), [(0, 0, 4), (1, 3, 4), (0, 5, -1), (1, 0, -4), (1, 0, 2**40)])
def test_pairs_outside_of_the_sites(row, place, value):
    one = case(small("message"))
    edges = one.keywords["edges"].clone()
    edges[row, place] = value
    said = complaint(IndexError, one, edges=edges)
    assert said == f"row {row} of relation `edges` should lie between 0 and 3, and has {value}"


def test_wrong_relations():
    one = case(small("message"))
    edges = one.keywords["edges"]
    for wrong, found in [
        (edges.tolist(), "should be a torch.Tensor, and is list: torch.as_tensor(edges) is one"),
        (edges.numpy(), "should be a torch.Tensor, and is a numpy array: torch.as_tensor(edges) is one"),
        (None, "should be a torch.Tensor, and is NoneType"),
        (edges.double(), "should hold integers (places of sites), and is torch.float64"),
        (edges.bool(), "should hold integers (places of sites), and is torch.bool"),
    ]:
        assert complaint(TypeError, one, edges=wrong) == f"relation `edges` {found}"
    assert "should have shape [2, pairs], and has [6, 2]: edges.t() has" in complaint(ValueError, one, edges=edges.T)
    assert "should have shape [2, pairs], and has [1, 2, 6]" in complaint(ValueError, one, edges=edges[None])
    assert "leg `y` is over edges, and has 6 pairs where edges has 5" in complaint(ValueError, one, edges=edges[:, :5])
    assert "relation `edges` should be on cpu, and is on meta" in complaint(ValueError, one, edges=edges.to("meta"))
    with pytest.raises(TypeError, match="edges"):
        one.module()(*one.tensors())


@pytest.mark.parametrize("kind", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_rows_and_relations_are_integers_of_any_size(kind):
    one = case(small("many"))
    *others, z = one.tensors()
    narrow = {name: v.to(kind) if isinstance(v, torch.Tensor) else v for name, v in one.keywords.items()}
    module = one.module()
    wanted, found = as_tuple(module(*others, z, **one.keywords)), as_tuple(module(*others, z.to(kind), **narrow))
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_where_there_are_no_sites_there_are_no_pairs():
    program = fusionc.parse("sites atoms; pairs edges(atoms, atoms)\ndiagram d(y: 1o[edges]) -> 1o { y[i,j] -> out }")
    module, y = program["d"].module()(), torch.ones(1, 3)
    with pytest.raises(
        IndexError, match="row 0 of relation `edges` should be empty, for there are no sites, and has 0"
    ):
        module(y, edges=torch.zeros(2, 1, dtype=torch.int64), atoms=0)
    assert module(y[:0], edges=torch.zeros(2, 0, dtype=torch.int32), atoms=0).tolist() == [0.0, 0.0, 0.0]
    for wrong in ([4], (4,), 4.0, "4", None, True, torch.tensor(4)):
        with pytest.raises(TypeError, match="`atoms` should be an int, the number of atoms, and is"):
            module(y[:0], edges=torch.zeros(2, 0, dtype=torch.int64), atoms=wrong)


def test_wrong_legs_over_sites():
    one = case(small("many"))
    x, y, g, s, z = one.tensors()
    assert "leg `x` should have shape [..., atoms, 8]" in complaint(ValueError, one, x[0, 0], y, g, s, z)
    assert "legs `x` and `s` are over atoms, and have 4 and 3 of them" in complaint(
        ValueError, one, x, y, g, s[:, :3], z
    )
    assert "leg `y` is over edges, and has 5 pairs where edges has 6" in complaint(
        ValueError, one, x, y[:, :5], g, s, z
    )
    for wrong, found in [(z.double(), "torch.float64"), (z.bool(), "torch.bool")]:
        said = complaint(TypeError, one, x, y, g, s, wrong)
        assert said == f"leg `z` should hold integers (rows 0 to 4), and is {found}"
    for leg, place in (("x", 0), ("z", 4)):
        values = [value.numpy() if number == place else value for number, value in enumerate((x, y, g, s, z))]
        said = complaint(TypeError, one, *values)
        assert said == f"leg `{leg}` should be a torch.Tensor, and is a numpy array: torch.as_tensor({leg}) is one"
    assert "leg `y` should be torch.float64 like leg `x`" in complaint(TypeError, one, x, y.float(), g, s, z)
    assert "leg `y` should be on cpu" in complaint(ValueError, one, x, y.to("meta"), g, s, z)
    assert "batch shapes" in complaint(ValueError, one, x[:1].expand(3, -1, -1), y, g, s, z)
    for wrong in (5, -1):
        bad = z.clone()
        bad[0, 0] = wrong
        complaint(IndexError, one, x, y, g, s, bad)


def test_an_index_leg_over_sites_needs_the_dimension_of_sites():
    one = case(small("many"))
    x, y, g, s, z = one.tensors()
    assert "leg `z`" in complaint(ValueError, one, x[0], y[0], g[0], s[0], z[0, 0])


@pytest.mark.parametrize("bad", [-1, 3.0, "4", True, None])
def test_wrong_numbers_of_sites(bad):
    assert "atoms" in complaint((TypeError, ValueError), case(small("counted")), atoms=bad)


def test_more_sites_than_pairs_reach_are_told():
    one = case(small("counted"))
    (out,) = one.run()
    more = one.module()(*one.tensors(), **{**one.keywords, "atoms": 9})
    assert more.shape == (2, 9, 8)
    assert_same([more[:, :4].detach().numpy()], [out.detach().numpy()])
    assert not more[:, 4:].any()


# --- torch's transforms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["star", "counted"])
def test_compiles_in_one_graph(name):
    one = case(small(name))
    module = one.module()
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    for sizes in ({"atoms": 4, "edges": 6}, {"atoms": 5, "edges": 9}):
        other = case(small(name), sizes=sizes)
        values = other.tensors()
        for value in values:
            value.requires_grad_(value.is_floating_point())
        eager, fused = (as_tuple(run(*values, **other.keywords)) for run in (module, compiled))
        assert_same(arrays(fused), arrays(eager))
        moving = [value for value in values if value.requires_grad]
        one_by_one = [
            torch.autograd.grad(sum(out.square().sum() for out in outputs), moving) for outputs in (eager, fused)
        ]
        assert_same(*([g.numpy() for g in found] for found in one_by_one))


@pytest.mark.parametrize("name", [name for name in SMALL_NAMES if name != "counted"])
def test_exports_with_any_number_of_atoms_and_pairs(name):
    one = case(small(name), sizes={"atoms": 5, "edges": 7})
    module = one.module()
    atoms, edges = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    named = {"atoms": {1: atoms}, "edges": {1: edges}}
    legs = {leg.name: named.get(leg.domain, {}) for leg in one.diagram.graph.legs}
    exported = torch.export.export(
        module, tuple(one.tensors()), one.keywords, dynamic_shapes={**legs, "edges": {1: edges}}
    ).module()
    for sizes in ({"atoms": 5, "edges": 7}, {"atoms": 11, "edges": 3}, {"atoms": 3, "edges": 20}):
        other = case(small(name), sizes=sizes)
        assert_same(
            arrays(exported(*other.tensors(), **other.keywords)), arrays(module(*other.tensors(), **other.keywords))
        )


def test_functional_gradients_and_vmap():
    one = case(small("message"), batch=3)
    module, (x, y, r), keywords = one.module(), one.tensors(), one.keywords

    def energy(x, y, r):
        return module(x, y, r, **keywords).square().sum()

    each = torch.func.vmap(torch.func.grad(energy, argnums=(0, 1, 2)))(x, y, r)
    values = [value.clone().requires_grad_() for value in (x, y, r)]
    assert_same([g.numpy() for g in each], [g.numpy() for g in torch.autograd.grad(energy(*values), values)])
    mapped = torch.func.vmap(lambda x, y, r: module(x, y, r, **keywords))(x, y, r)
    assert_same([mapped.detach().numpy()], arrays(module(x, y, r, **keywords)))


def test_vmap_over_geometries_with_their_own_pairs():
    """A batch of molecules of one size, each with its own pairs."""
    cases = [case(small("message"), seed, batch=1) for seed in range(3)]
    module = cases[0].module()
    legs = [torch.stack(values)[:, 0] for values in zip(*(one.tensors() for one in cases), strict=True)]
    edges = torch.stack([one.keywords["edges"] for one in cases])
    mapped = torch.func.vmap(lambda x, y, r, edges: module(x, y, r, edges=edges))(*legs, edges)
    for number, one in enumerate(cases):
        assert_same([mapped[number].detach().numpy()], [one.oracle()[0][0]])


def test_forward_mode_and_hessians():
    one = case(small("four_body"), sizes={"atoms": 2, "edges": 3}, batch=1)
    module, (x, y, r, z), keywords = one.module(), one.tensors(), one.keywords

    def energy(y):
        return module(x, y, r, z, **keywords).sin().sum()

    forward = torch.func.jacfwd(torch.func.grad(energy))(y)
    assert_same([forward.detach().numpy()], [torch.autograd.functional.hessian(energy, y).detach().numpy()])


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2), (torch.float16, 5e-3)], ids=str
)
@pytest.mark.parametrize("name", SMALL_NAMES)
def test_smaller_dtypes(name, dtype, bound):
    one = case(small(name))
    wanted = one.run()
    outputs = as_tuple(one.module().to(dtype)(*one.tensors(dtype), **one.keywords))
    assert {out.dtype for out in outputs} == {dtype}
    for out, want in zip(outputs, wanted, strict=True):
        assert (out.double() - want).abs().max() <= bound * want.abs().max()


# --- names -----------------------------------------------------------------------------------------------------------


def named(relation: str, sites: str = "atoms", diagram: str = "d") -> str:
    return (
        f"sites {sites}; pairs {relation}({sites}, {sites})\n"
        f"diagram {diagram}(y: 0e + 1o[{relation}]) -> 2x0e + 2x1o[{sites}] {{\n"
        "y[i,j] -> A[i,u] in 2x0e + 2x1o * V[path,u]\nA[i,u] A[i,u] -> out[i,u] * W[path,u] }"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("dtype", "compute"),
        ("constants", "index_2"),
        ("n_nodes", "nodes"),
        ("t", "s"),
        ("g", "V_0"),
        ("Tensor", "nn"),
        ("d", "D"),
        ("e", "d", "d"),
        ("value", "size", "edges_function"),
        ("int", "list", "message"),
        ("torch", "_check_relation", "_scatter"),
    ],
)
def test_relations_and_sites_may_be_called_what_the_code_calls_its_own_values(names):
    diagram = next(iter(fusionc.parse(named(*names)).diagrams.values()))
    relation, sites = names[:2]
    check_strategies(case(diagram, sizes={relation: 6, sites: 4}), "mul_ir")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("lambda",), "a relation cannot be called `lambda`"),
        (("self",), "a relation cannot be called `self`"),
        (("e", "class"), "a set of sites cannot be called `class`"),
    ],
)
def test_names_that_python_keeps_for_itself(names, what):
    diagram = fusionc.parse(named(*names))["d"]
    with pytest.raises(fusionc.CompileError) as caught:
        diagram.emit()
    assert [found.code for found in caught.value.diagnostics] == ["F4008"]
    assert what in str(caught.value)


def test_site_sets_that_legs_are_over_are_no_arguments():
    text = "sites lambda; diagram d(x: 2x1o[lambda]) -> 2x1o { x[i,u] -> out[u] * W[path,u] }"
    assert not re.search(r"\blambda: (int|Tensor)", fusionc.parse(text)["d"].emit())


# --- cost ------------------------------------------------------------------------------------------------------------


def per_pair(diagram: fusionc.Diagram) -> float:
    """Multiplications that one more pair takes."""
    few, many = (diagram.cost(sizes={"atoms": 50, "edges": edges}).multiplications for edges in (1000, 3000))
    return (many - few) / 2000


INTO_A = """sites atoms
pairs edges(atoms, atoms)
irreps H = 16x0e + 16x1o + 16x2e
diagram two_body(x: H[atoms], y: spherical(3)[edges], r: weights[edges]) -> H + 16x1e + 16x2o[atoms] {
    x[j,u] y[i,j] -> out[i,u] * r[i, j, path, u]
}"""


@pytest.mark.parametrize("name", ["density_squared", "four_body"])
def test_more_bodies_cost_no_more_per_pair(name):
    """Three and four bodies at the price, for each pair, of a message to the same irreps."""
    message = per_pair(fusionc.parse(INTO_A)["two_body"])
    assert per_pair(example(name)) == message > 0


def test_cost_takes_numbers_of_sites_and_pairs():
    diagram = example("density_squared")
    report = diagram.cost(batch=1000, dtype="float64", sizes={"atoms": 100, "edges": 2000})
    assert report.sizes == {"atoms": 100, "edges": 2000}
    assert diagram.cost(batch=100).sizes == {"atoms": 100, "edges": 2000}, "20 pairs for each site unless told"
    assert diagram.cost(batch=100, dtype="float64").multiplications == report.multiplications
    with pytest.raises(ValueError, match=r"sizes holds `atms`.*it is over atoms and edges"):
        diagram.cost(sizes={"atms": 3})
    with pytest.raises(ValueError, match="edges should not be negative"):
        diagram.cost(sizes={"edges": -1})
    with pytest.raises(ValueError, match="over no sites"):
        fusionc.parse("diagram d(x: 1o) -> 1o { x -> out }")["d"].cost(sizes={"atoms": 3})


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"batch": -1}, ValueError, "batch should not be negative, and is -1"),
        ({"batch": 1.5}, TypeError, "batch should be an integer, and is 1.5"),
        ({"sizes": {"atoms": -2}}, ValueError, "the size of atoms should not be negative, and is -2"),
        ({"sizes": {"atoms": "2"}}, TypeError, "the size of atoms should be an integer, and is '2'"),
        ({"sizes": [3]}, TypeError, r"sizes should be a mapping, such as {'atoms': 100}, and is \[3\]"),
    ],
)
def test_costs_of_what_cannot_be_counted(wrong, kind, said):
    with pytest.raises(kind, match=said):
        example("message").cost(**wrong)


def test_only_text_is_parsed():
    with pytest.raises(TypeError, match="parse takes the text of a diagram, not PosixPath; `load` reads a file"):
        fusionc.parse(EXAMPLE)

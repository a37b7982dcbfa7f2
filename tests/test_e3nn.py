"""Two-leg diagrams against `e3nn.o3.TensorProduct`: same weights, same numbers, same gradients."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fusionc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import e3nn
    from e3nn import o3

NORMALIZE = ("component", "norm", "none")
PATHS = ("element", "path", "none")
MODES = {
    "uuu": ("x[u] y[u] -> out[u] * W[path, u]", "uuu"),
    "uvu": ("x[u] y[v] -> out[u] * W[path, u, v]", "uvu"),
    "uvv": ("x[u] y[v] -> out[v] * W[path, u, v]", "uvv"),
    "uvw": ("x[u] y[v] -> out[w] * W[path, u, v, w]", "uvw"),
    "uuw": ("x[u] y[u] -> out[w] * W[path, u, w]", "uuw"),
    "uvuv": ("x[u] y[v] -> out[u, v] * W[path, u, v]", "uvuv"),
}
PROPERTY = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def e3nn_in_float64_as_it_is_written():
    """e3nn rounds its constants to the default dtype; to script its code and to order its contractions costs time."""
    before, defaults = torch.get_default_dtype(), e3nn.get_optimization_defaults()
    torch.set_default_dtype(torch.float64)
    e3nn.set_optimization_defaults(jit_script_fx=False, optimize_einsums=False)
    yield
    torch.set_default_dtype(before)
    e3nn.set_optimization_defaults(**{name: defaults[name] for name in ("jit_script_fx", "optimize_einsums")})


irrep = st.tuples(st.integers(0, 4), st.sampled_from("eo")).map(lambda pair: f"{pair[0]}{pair[1]}")
mul = st.integers(1, 4)


def relative(value: torch.Tensor, wanted: torch.Tensor) -> float:
    scale = wanted.abs().max().item() if wanted.numel() else 0.0
    return (value - wanted).abs().max().item() / (scale or 1.0) if wanted.numel() else 0.0


def equal_with_gradients(module, product, x_dim, y_dim, weights):
    """Largest relative difference of outputs and of all gradients."""
    torch.manual_seed(0)
    ours = [torch.randn(5, dim, dtype=torch.float64, requires_grad=True) for dim in (x_dim, y_dim)]
    theirs = [value.detach().clone().requires_grad_() for value in ours]
    own_weight = weights.clone().requires_grad_()
    with torch.no_grad():
        module.W.copy_(weights)
    out, wanted = module(*ours), product(*theirs, own_weight)
    probe = torch.rand_like(wanted) * wanted.detach().sign()  # where a sum cancels, few of its digits are right
    gradients = torch.autograd.grad((out * probe).sum(), [*ours, module.W])
    expected = torch.autograd.grad((wanted * probe).sum(), [*theirs, own_weight])
    return max(relative(a, b) for a, b in zip((out, *gradients), (wanted, *expected), strict=True))


def space(blocks) -> str:
    return " + ".join(f"{mul}x{irrep}" for mul, irrep in blocks)


def e3nn_product(x, y, outs, mode, normalize, paths):
    """e3nn's product with every allowed path, in lexicographic order."""
    ins = [
        (i, j, k, mode, True)
        for i, (_, a) in enumerate(x)
        for j, (_, b) in enumerate(y)
        for k, (_, c) in enumerate(outs)
        if o3.Irrep(c) in o3.Irrep(a) * o3.Irrep(b)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return o3.TensorProduct(
            o3.Irreps(space(x)),
            o3.Irreps(space(y)),
            o3.Irreps(space(outs)),
            ins,
            irrep_normalization=normalize,
            path_normalization=paths,
            internal_weights=False,
            shared_weights=True,
        ).double()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("normalize", NORMALIZE)
@PROPERTY
@given(data=st.data())
def test_declared_output_equals_e3nn(mode, normalize, paths, data):
    """All modes, all nine normalisations, random irreps; blocks may repeat an irrep, in legs and in the output."""
    line, connection = MODES[mode]
    one, two, three = data.draw(mul), data.draw(mul), data.draw(mul)
    x_irreps = data.draw(st.lists(irrep, min_size=1, max_size=3))
    y_irreps = data.draw(st.lists(irrep, min_size=1, max_size=3))
    free_x = connection in ("uvw", "uvv")  # multiplicities that the output does not repeat may differ by block
    free_y = connection in ("uvw", "uvu")
    x = [(data.draw(mul) if free_x else one, name) for name in x_irreps]
    y_mul = one if connection in ("uuu", "uuw") else two
    y = [(data.draw(mul) if free_y else y_mul, name) for name in y_irreps]
    reachable = sorted({str(c) for a in x_irreps for b in y_irreps for c in o3.Irrep(a) * o3.Irrep(b)})
    chosen = data.draw(st.lists(st.sampled_from(reachable), min_size=1, max_size=3))
    out_mul = {"uuu": one, "uvu": one, "uvv": y_mul, "uvuv": one * y_mul}.get(connection)
    outs = [(out_mul or data.draw(st.sampled_from([three, 1, 5])), name) for name in chosen]
    text = (
        f"normalize {normalize}\npaths {paths}\n"
        f"diagram product(x: {space(x)}, y: {space(y)}) -> {space(outs)} {{\n    {line}\n}}\n"
    )
    diagram = fusionc.parse(text)["product"]
    product = e3nn_product(x, y, outs, connection, normalize, paths)
    module = diagram.module()(dtype=torch.float64)
    assert module.W.shape == (product.weight_numel,)
    torch.manual_seed(1)
    weights = torch.randn(product.weight_numel, dtype=torch.float64)
    assert equal_with_gradients(module, product, product.irreps_in1.dim, product.irreps_in2.dim, weights) < 1e-13


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("paths", PATHS)
@settings(PROPERTY, max_examples=4)
@given(data=st.data())
def test_kept_paths_equal_e3nn_with_one_output_for_each_path(normalize, paths, data):
    """`out[path, u]` with unequal multiplicities, inferred output: NequIP's pattern of one block for each path."""
    x = [(data.draw(mul), name) for name in data.draw(st.lists(irrep, min_size=1, max_size=3))]
    y = [(1, name) for name in data.draw(st.lists(irrep, min_size=1, max_size=3))]
    text = (
        f"normalize {normalize}; paths {paths}\n"
        f"diagram product(x: {space(x)}, y: {space(y)}) -> * {{ x[u] y -> out[path, u] * W[path, u] }}\n"
    )
    diagram = fusionc.parse(text)["product"]
    pairs = [(i, j, c) for i, (_, a) in enumerate(x) for j, (_, b) in enumerate(y) for c in sorted(_product(a, b))]
    outs = [(x[i][0], c) for i, _, c in pairs]
    order = sorted(range(len(pairs)), key=lambda k: o3.Irrep(outs[k][1]))
    places = {old: new for new, old in enumerate(order)}
    ins = [(i, j, places[k], "uvu", True) for k, (i, j, _) in enumerate(pairs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        product = o3.TensorProduct(
            o3.Irreps(space(x)),
            o3.Irreps(space(y)),
            o3.Irreps(space([outs[k] for k in order])),
            ins,
            irrep_normalization=normalize,
            path_normalization=paths,
            internal_weights=False,
            shared_weights=True,
        ).double()
    # e3nn's instructions run over (i, j, irrep in its own sorted order), which is also the order of an inferred output
    weights = torch.randn(product.weight_numel, dtype=torch.float64)
    module = diagram.module()(dtype=torch.float64)
    assert equal_with_gradients(module, product, product.irreps_in1.dim, product.irreps_in2.dim, weights) < 1e-13


def _product(a: str, b: str) -> list[o3.Irrep]:
    return list(o3.Irrep(a) * o3.Irrep(b))


@PROPERTY
@given(data=st.data())
def test_three_body_equals_two_chained_products(data):
    """x a -> e, e b -> out with kept paths is two e3nn products, the first with one block for each path."""
    n = data.draw(st.integers(1, 4))
    x = [(n, name) for name in data.draw(st.lists(irrep, min_size=1, max_size=2, unique=True))]
    y = [(1, name) for name in data.draw(st.lists(irrep, min_size=1, max_size=2, unique=True))]
    middle = sorted({str(c) for _, a in x for _, b in y for c in _product(a, b)})
    last = sorted({str(c) for a in middle for _, b in y for c in _product(a, b)})
    outs = [(n, name) for name in data.draw(st.lists(st.sampled_from(last), min_size=1, max_size=2, unique=True))]
    text = (
        f"diagram d(x: {space(x)}, a: {space(y)}, b: {space(y)}) -> {space(outs)} {{\n"
        "    x[u] a -> e[u]\n    e[u] b -> out[u] * W[path, u]\n}\n"
    )
    program = fusionc.parse(text)
    module = program["d"].module()(dtype=torch.float64)
    first_pairs = [(i, j, c) for i, (_, a) in enumerate(x) for j, (_, b) in enumerate(y) for c in _product(a, b)]
    first = o3.TensorProduct(
        o3.Irreps(space(x)),
        o3.Irreps(space(y)),
        o3.Irreps(space([(n, c) for _, _, c in first_pairs])),
        [(i, j, k, "uvu", False) for k, (i, j, _) in enumerate(first_pairs)],
        path_normalization="none",
    ).double()
    second_ins = [
        (k, j, m, "uvu", True)
        for k, (_, _, c) in enumerate(first_pairs)
        for j, (_, b) in enumerate(y)
        for m, (_, out) in enumerate(outs)
        if o3.Irrep(out) in c * o3.Irrep(b)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        second = o3.TensorProduct(
            first.irreps_out,
            o3.Irreps(space(y)),
            o3.Irreps(space(outs)),
            second_ins,
            internal_weights=False,
            shared_weights=True,
        ).double()
    # our path order: x, a, b, then e, then out; theirs: x, a, e, then b, out
    edge_order = lambda c: (c.l, c.p == -1)  # noqa: E731
    ours = sorted(
        range(len(second_ins)),
        key=lambda s: (
            *first_pairs[second_ins[s][0]][:2],
            second_ins[s][1],
            edge_order(first_pairs[second_ins[s][0]][2]),
            second_ins[s][2],
        ),
    )
    assume(ours)
    weights = torch.randn(len(ours), n, dtype=torch.float64)
    theirs = torch.empty_like(weights)
    theirs[ours] = weights
    with torch.no_grad():
        module.W.copy_(weights.reshape(-1))
    dims = [sum(mul * (2 * o3.Irrep(name).l + 1) for mul, name in blocks) for blocks in (x, y, y)]
    values = [torch.randn(4, dim, dtype=torch.float64) for dim in dims]
    wanted = second(first(values[0], values[1]), values[2], theirs.reshape(-1))
    assert relative(module(*values), wanted) < 1e-13


@PROPERTY
@given(data=st.data())
def test_linear_equals_e3nn(data):
    """A line with one edge on the left is e3nn's Linear."""
    x = [(data.draw(mul), name) for name in data.draw(st.lists(irrep, min_size=1, max_size=4))]
    names = sorted({name for _, name in x})
    outs = [(data.draw(mul), name) for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))]
    text = f"diagram linear(x: {space(x)}) -> {space(outs)} {{ x[u] -> out[v] * W[path, u, v] }}"
    module = fusionc.parse(text)["linear"].module()(dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear = o3.Linear(o3.Irreps(space(x)), o3.Irreps(space(outs)), internal_weights=False, shared_weights=True)
    weights = torch.randn(linear.weight_numel, dtype=torch.float64)
    with torch.no_grad():
        module.W.copy_(weights)
    value = torch.randn(3, linear.irreps_in.dim, dtype=torch.float64)
    assert relative(module(value), linear.double()(value, weights)) < 1e-13

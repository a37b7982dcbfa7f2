"""e3nn's side: `o3.TensorProduct`, with its code generated as plain torch or scripted, whichever is faster here."""

from __future__ import annotations

import warnings
from functools import partial

import torch

from benchmarks.peers import tasks
from benchmarks.peers.cases import Case, weight_sizes
from benchmarks.peers.contestant import Local, Unavailable, local
from benchmarks.peers.measure import seconds
from benchmarks.peers.shapes import Shape, size, written
from benchmarks.peers.tasks import Product

JIT = ("eager", "script")


def build(case: Case, mode: str) -> Local:
    """In mode `eager` the faster of e3nn's two kinds of generated code, by the time of forward and backward."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import e3nn.o3  # noqa: F401
    except ImportError:
        raise Unavailable("e3nn is not installed") from None
    if case.shape.kind == "symmetric":
        raise Unavailable("has no symmetric product of its own")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mode == "compile":
            return _contestant(case, mode, "eager")
        found, remark = [], ""
        for jit in JIT:
            try:
                one = _contestant(case, mode, jit)
                run = partial(tasks.run, "backward", one.product, one.leaves, one.force, one.probe)
                for _ in range(3):  # scripted code is rewritten during its first calls
                    run()
                found.append((min(seconds(run, 1, one.device) for _ in range(3)), jit))
            except Exception as problem:
                if jit == JIT[0]:
                    raise
                remark = f" ({jit} fails: {type(problem).__name__})"
        chosen = _contestant(case, mode, min(found)[1])  # a fresh one, whose first calls are still to come
        chosen.configuration += remark
        return chosen


def _contestant(case: Case, mode: str, jit: str) -> Local:
    import e3nn

    before, dtype = e3nn.get_optimization_defaults()["jit_mode"], torch.get_default_dtype()
    e3nn.set_optimization_defaults(jit_mode=jit)
    torch.set_default_dtype(case.probe.dtype)  # e3nn rounds its constants to the default type
    try:
        places: dict[str, torch.Tensor | None] = dict.fromkeys(("x", "y", "a", "b", "r", "out"))
        leaves = None
        if case.shape.kind == "tree":
            count = len(_tree_order(case.shape))
            sizes = weight_sizes(case.shape)
            width = sizes["W"] // count
            order = torch.tensor(_tree_order(case.shape))
            places["W"] = (order[:, None] * width + torch.arange(width)).reshape(-1)
        return local(case, "e3nn", f"jit_mode {jit}", lambda: _product(case), places, mode, leaves)
    finally:
        e3nn.set_optimization_defaults(jit_mode=before)
        torch.set_default_dtype(dtype)


def instructions(shape: Shape) -> tuple[str, list[tuple[int, int, int, str, bool]]]:
    """The output's irreps and e3nn's list of couplings, in path order; a kept path has a block of its own."""
    if shape.kind == "connected":
        blocks = [block.irrep for block in shape.out]
        return written(shape.out), [(p.i, p.j, blocks.index(p.irrep), "uvw", True) for p in shape.paths]
    order = sorted(range(len(shape.paths)), key=lambda place: shape.paths[place].irrep)
    out = " + ".join(f"{shape.x[shape.paths[place].i].mul}x{shape.paths[place].irrep}" for place in order)
    return out, [(p.i, p.j, order.index(place), "uvu", True) for place, p in enumerate(shape.paths)]


def _product(case: Case) -> Product:
    from e3nn import o3

    shape, device = case.shape, case.probe.device
    if shape.kind == "tree":
        return _tree(shape, device)
    out, lines = instructions(shape)
    product = o3.TensorProduct(
        o3.Irreps(written(shape.x)),
        o3.Irreps(written(shape.y)),
        o3.Irreps(out),
        lines,
        internal_weights=False,
        shared_weights=False,
    ).to(device)
    if shape.kind != "message":
        return lambda x, y, r: product(x, y, r)
    assert case.pairs is not None
    receivers, senders = case.pairs
    nodes, width = len(case.leaves["x"]), size(shape.out)
    return lambda x, y, r: x.new_zeros(nodes, width).index_add(0, receivers, product(x[senders], y, r))


def _first_pairs(shape: Shape) -> list[tuple[int, int, object]]:
    """Couplings of x and a, each of which the chain keeps apart; the irreps by l, even before odd."""
    return [
        (i, j, irrep)
        for i, one in enumerate(shape.x)
        for j, other in enumerate(shape.y)
        for irrep in one.irrep.times(other.irrep)
        if irrep in shape.middle
    ]


def _second_lines(shape: Shape) -> list[tuple[int, int, int]]:
    """Couplings of those with b, in e3nn's order: place of the first coupling, block of b, block of the output."""
    return [
        (k, j, m)
        for k, (_, _, middle) in enumerate(_first_pairs(shape))
        for j, other in enumerate(shape.y)
        for m, block in enumerate(shape.out)
        if block.irrep in list(middle.times(other.irrep))  # type: ignore[attr-defined]
    ]


def _tree_order(shape: Shape) -> list[int]:
    """Of each of e3nn's couplings, its place in fusionc's path order: x, a, b, then the middle irrep, then out."""
    first, lines = _first_pairs(shape), _second_lines(shape)

    def key(line: int) -> tuple[object, ...]:
        k, b, out = lines[line]
        i, a, middle = first[k]
        return i, a, b, (middle.l, middle.p < 0), out  # type: ignore[attr-defined]

    ours = sorted(range(len(lines)), key=key)
    return [ours.index(line) for line in range(len(lines))]


def _tree(shape: Shape, device: torch.device) -> Product:
    """Two chained products, the first with a block for every coupling; the factors stand in the second."""
    from e3nn import o3

    first = _first_pairs(shape)
    one = o3.TensorProduct(
        o3.Irreps(written(shape.x)),
        o3.Irreps(written(shape.y)),
        o3.Irreps(" + ".join(f"{shape.x[i].mul}x{irrep}" for i, _, irrep in first)),
        [(i, j, k, "uvu", False) for k, (i, j, _) in enumerate(first)],
        path_normalization="none",
    ).to(device)
    other = o3.TensorProduct(
        one.irreps_out,
        o3.Irreps(written(shape.y)),
        o3.Irreps(written(shape.out)),
        [(k, j, m, "uvu", True) for k, j, m in _second_lines(shape)],
        internal_weights=False,
        shared_weights=True,
    ).to(device)
    return lambda x, a, b, W: other(one(x, a), b, W)  # noqa: N803

"""cuEquivariance's side: its descriptors run by `SegmentedPolynomial`, in its own layout, ir_mul.

On a CPU its method is `naive`, plain torch. On a GPU with cuequivariance-ops, the method that its own layers choose:
`uniform_1d` where all blocks are alike, `naive` for other channelwise products, `fused_tp` for connected ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.peers.cases import Case, component_major, kept_blocks, weight_places
from benchmarks.peers.contestant import Local, Unavailable, local
from benchmarks.peers.fit import Samples, fitted
from benchmarks.peers.shapes import ELEMENTS, Shape, written
from benchmarks.peers.tasks import Product


def build(case: Case, mode: str, samples: Samples | None = None) -> Local:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import cuequivariance
            import cuequivariance_torch  # noqa: F401
    except ImportError:
        raise Unavailable("cuEquivariance is not installed") from None
    if case.shape.kind == "tree":
        raise Unavailable("has no layer for a product of three operands")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case.shape.kind == "symmetric":
            assert samples is not None
            return _symmetric(cuequivariance, case, mode, samples)
        return _bilinear(cuequivariance, case, mode)


def _group(cue: Any) -> type[Any]:
    """O(3) with e3nn's basis and signs, the documented way to take cuEquivariance to e3nn's numbers."""
    from e3nn import o3

    class E3nnO3(cue.O3):  # type: ignore[misc]
        def __mul__(self, other: Any) -> list[Any]:
            return [type(self)(l=irrep.l, p=irrep.p) for irrep in cue.O3.__mul__(self, other)]

        @classmethod
        def iterator(cls) -> Iterator[Any]:
            return (cls(l=irrep.l, p=irrep.p) for irrep in cue.O3.iterator())

        @classmethod
        def clebsch_gordan(cls, one: Any, two: Any, three: Any) -> Any:
            one, two, three = cls._from(one), cls._from(two), cls._from(three)
            count = int(one.p * two.p == three.p)
            tensor = o3.wigner_3j(one.l, two.l, three.l, dtype=torch.float64) * three.dim**0.5
            return tensor.expand(count, *tensor.shape).numpy()

    return E3nnO3


def _method(polynomial: Any, other: str, device: torch.device) -> str:
    if device.type == "cpu":
        return "naive"
    try:
        import cuequivariance_ops_torch  # noqa: F401
    except ImportError:
        return "naive"
    flat = polynomial.flatten_coefficient_modes().squeeze_modes()
    alike = flat.all_same_segment_shape() and len(flat.polynomial.operations[0][1].subscripts.modes()) == 1
    return "uniform_1d" if alike else other


def _bilinear(cue: Any, case: Case, mode: str) -> Local:
    import cuequivariance_torch as cuet

    shape, device = case.shape, case.probe.device
    group = _group(cue)
    x, y, out = (cue.Irreps(group, written(blocks)) for blocks in (shape.x, shape.y, shape.out))
    connected = shape.kind == "connected"

    def describe() -> Any:
        if connected:
            return cue.descriptors.fully_connected_tensor_product(x, y, out)
        return cue.descriptors.channelwise_tensor_product(x, y, [irrep for _, irrep in out])

    descriptor = describe()
    method = _method(descriptor, "fused_tp" if connected else "naive", device)
    receivers, senders = case.pairs if case.pairs is not None else (None, None)
    nodes = len(case.leaves["x"])

    def make() -> Product:
        one = describe()
        if method == "uniform_1d":
            one = one.flatten_coefficient_modes().squeeze_modes()
        polynomial = cuet.SegmentedPolynomial(one.polynomial, method=method, math_dtype=case.probe.dtype).to(device)
        if shape.kind != "message":
            return lambda x, y, r: polynomial([r, x, y])[0]
        rows = torch.empty(nodes, 1, device=device)
        return lambda x, y, r: polynomial([r, x, y], {1: senders}, {0: rows}, {0: receivers})[0]

    places = _places(descriptor.polynomial.operations[0][1], shape)
    return local(case, "cuEquivariance", f"method {method}, ir_mul", make, places, mode)


def _places(product: Any, shape: Shape) -> dict[str, torch.Tensor | None]:
    """Places in the canonical order, path by path, from the segments of the descriptor: weights, x, y, out."""
    weights, out = product.operands[0], product.operands[3]
    own_weights = torch.empty(weights.size, dtype=torch.int64)
    own_out = component_major(shape.out) if shape.kind == "connected" else torch.empty(out.size, dtype=torch.int64)
    blocks = None if shape.kind == "connected" else kept_blocks(shape)
    canonical_weights = weight_places(shape)
    for line in product.paths:
        _, i, j, place = line.indices
        dim = out.segments[place][0]
        if shape.kind == "connected":
            here = [k for k, path in enumerate(shape.paths) if path == (i, j, shape.out[place].irrep)]
        else:  # one output irrep of a size for each pair of blocks
            here = [k for k, path in enumerate(shape.paths) if (*path[:2], path.irrep.dim) == (i, j, dim)]
        (found,) = here
        own_weights[weights.segment_slices()[line.indices[0]]] = canonical_weights[found]
        if blocks is not None:
            own_out[out.segment_slices()[place]] = blocks[found].T.reshape(-1)
    return {"x": component_major(shape.x), "y": None, "r": own_weights, "out": own_out}


def _symmetric(cue: Any, case: Case, mode: str, samples: Samples) -> Local:
    import cuequivariance_torch as cuet

    shape, device, dtype = case.shape, case.probe.device, case.probe.dtype
    group, channels = _group(cue), shape.x[0].mul
    method = "naive" if device.type == "cpu" else None
    elements = case.elements.int() if case.elements is not None else None

    def module(of: torch.dtype, where: torch.device, how: str | None) -> Any:
        return cuet.SymmetricContraction(
            cue.Irreps(group, written(shape.x)),
            cue.Irreps(group, written(shape.out)),
            3,
            ELEMENTS,
            layout=cue.ir_mul,
            dtype=of,
            math_dtype=of,
            device=where,
            method=how,
        )

    def make() -> Product:
        product = module(dtype, device, method).f
        return lambda a, weight: product([weight.flatten(1), a], {0: elements})[0]

    places = {"a": component_major(shape.x), "out": component_major(shape.out)}
    leaves = {"a": case.leaves["a"][..., places["a"].to(device)].contiguous(), "weight": torch.empty(0)}
    found = local(case, "cuEquivariance", "", make, places, mode, leaves)

    exact = module(torch.float64, torch.device("cpu"), "naive")
    count, components = len(samples.inputs), samples.outputs.shape[-1]
    operand = samples.inputs[:, :, None].expand(-1, -1, channels).reshape(count, -1)  # component-major already

    def evaluate(weights: list[torch.Tensor]) -> torch.Tensor:
        row = torch.zeros(count, dtype=torch.int32)
        out = exact.f([weights[0].reshape(1, -1), operand], {0: row})[0]
        return out.view(count, components, channels).transpose(1, 2)

    (weight,), residual = fitted(evaluate, [exact.weight_shape[0]], samples)
    found.leaves["weight"] = weight.to(device, dtype).requires_grad_()
    found.configuration = f"method {method or 'uniform_1d'}, ir_mul, weights fitted to {residual:.0e}"
    if mode == "compile":
        found.configuration += ", torch.compile"
    return found

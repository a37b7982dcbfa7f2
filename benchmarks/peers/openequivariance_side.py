"""OpenEquivariance's side: kernels generated for one GPU, in e3nn's layout and with e3nn's list of couplings."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.cases import Case
from benchmarks.peers.contestant import Local, Unavailable, local
from benchmarks.peers.e3nn_side import instructions
from benchmarks.peers.shapes import written
from benchmarks.peers.tasks import Product


def build(case: Case, mode: str) -> Local:
    if case.probe.device.type == "cpu":
        raise Unavailable("has no CPU")
    try:
        import openequivariance as oeq
    except ImportError:
        raise Unavailable("OpenEquivariance is not installed") from None
    shape = case.shape
    if shape.kind not in ("channelwise", "message", "connected"):
        raise Unavailable("has two operands only")
    kind = np.float64 if case.probe.dtype == torch.float64 else np.float32
    out, lines = instructions(shape)

    def problem() -> object:
        irreps = (oeq.Irreps(text) for text in (written(shape.x), written(shape.y), out))
        return oeq.TPProblem(
            *irreps, lines, shared_weights=False, internal_weights=False, irrep_dtype=kind, weight_dtype=kind
        )

    def make() -> Product:
        if shape.kind != "message":
            product = oeq.TensorProduct(problem(), torch_op=True)
            return lambda x, y, r: product(x, y, r)
        assert case.pairs is not None
        receivers, senders = case.pairs
        product = oeq.TensorProductConv(problem(), torch_op=True, deterministic=False)
        return lambda x, y, r: product(x, y, r, receivers, senders)

    places: dict[str, torch.Tensor | None] = dict.fromkeys(("x", "y", "out"))
    leaves = dict(case.leaves)
    if shape.kind == "connected":  # its own weight order, which it converts to; the gradients are not compared
        leaves["r"] = oeq.TensorProduct(problem(), torch_op=True).reorder_weights_from_e3nn(
            leaves["r"], has_batch_dim=True
        )
    else:
        places["r"] = None
    return local(case, "OpenEquivariance", "uvw" if shape.kind == "connected" else "uvu", make, places, mode, leaves)

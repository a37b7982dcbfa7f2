"""fusionc's side: the diagram of the shape, compiled to a torch module."""

from __future__ import annotations

import os
import tempfile
from functools import partial

import torch

import fusionc
from benchmarks.peers.cases import Case, component_major
from benchmarks.peers.contestant import Local, Unavailable, local
from benchmarks.peers.fit import Samples
from benchmarks.peers.shapes import ELEMENTS, Shape, size
from benchmarks.peers.tasks import Product

LAYOUTS = ("mul_ir", "ir_mul")


def name_of(layout: str, target: str | None = None) -> str:
    """The name in the table; with a target that is not the one for the device, that one."""
    return f"fusionc {layout}" if target is None else f"fusionc {target}"


def target_for(device: torch.device | str) -> str:
    """Kernels on a GPU, plain torch elsewhere."""
    return "triton" if torch.device(device).type == "cuda" else "torch"


def places(shape: Shape, layout: str) -> dict[str, torch.Tensor | None]:
    """Where the numbers of operands and output stand in the canonical order; weights are in it already."""
    if layout == "mul_ir":
        order = dict.fromkeys(("x", "y", "a", "b", "out"))
    else:
        order = {"x": component_major(shape.x), "out": component_major(shape.out), "y": None, "a": None, "b": None}
        if shape.kind == "symmetric":
            order["a"] = order["x"]
    return order | dict.fromkeys(("r", "W", "W1", "W2", "W3"))


def operations(shape: Shape, batch: int) -> int | None:
    """Multiplications and additions of the emitted program for a whole batch, as fusionc counts them."""
    try:
        return int(fusionc.parse(shape.text)["product"].cost(batch).operations)
    except fusionc.CompileError:
        return None


def build(case: Case, mode: str, layout: str = "mul_ir", target: str | None = None) -> Local:
    """Parsing, checking, planning, printing and importing are in its time to build, from an empty cache. The target is
    the one for the device unless another is asked for.

    Two layouts of one shape are built in one process, and the second finds exact coefficients remembered.
    """
    shape, chosen = case.shape, target or target_for(case.probe.device)
    name = name_of(layout, target)
    configuration = layout if chosen == "torch" == target_for(case.probe.device) else f"{layout}, target {chosen}"
    with tempfile.TemporaryDirectory(prefix="fusionc-benchmark-") as folder:
        before = os.environ.get("FUSIONC_CACHE")
        os.environ["FUSIONC_CACHE"] = folder
        try:
            make = partial(_product, case, layout, chosen)
            return local(case, name, configuration, make, places(shape, layout), mode)
        except fusionc.CompileError as error:
            raise Unavailable(f"not compiled: {error.diagnostics[0].code}, {error.diagnostics[0].message}") from None
        finally:
            os.environ.pop("FUSIONC_CACHE") if before is None else os.environ.update(FUSIONC_CACHE=before)


def build_around(case: Case, mode: str, layout: str = "mul_ir") -> Local:
    """A message as it is written without `sites`: gather, the channelwise product, index_add."""
    plain = case.shape.unsummed
    receivers, senders = case.pairs if case.pairs is not None else (None, None)
    nodes, out = len(case.leaves["x"]), size(plain.out)

    def make() -> Product:
        function = fusionc.parse(plain.text)["product"].function(target_for(case.probe.device), layout=layout)

        def product(x: torch.Tensor, y: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
            return x.new_zeros(nodes, out).index_add(0, receivers, function(x[senders], y, r))

        return product

    configuration = f"{layout}, gather and index_add around the product"
    return local(case, f"{name_of(layout)}*", configuration, make, places(plain, layout), mode)


def _product(case: Case, layout: str, target: str) -> Product:
    diagram = fusionc.parse(case.shape.text)["product"]
    if case.shape.kind == "message":
        module, edges = diagram.module(target, layout=layout)(), case.pairs
        return lambda x, y, r: module(x, y, r, edges=edges)
    function = diagram.function(target, layout=layout)
    if case.shape.kind == "symmetric":
        elements = case.elements
        return lambda a, W1, W2, W3: function(a, elements, W1=W1, W2=W2, W3=W3)  # noqa: N803
    return function


def samples(case: Case, count: int = 96, seed: int = 1) -> Samples:
    """Outputs of the symmetric product on operands that are equal in all channels, for every element, in float64."""
    shape = case.shape
    channels, components = shape.x[0].mul, sum(block.irrep.dim for block in shape.x)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, components, generator=generator, dtype=torch.float64)
    operand = torch.cat(
        [
            part[:, None, :].expand(-1, channels, -1).reshape(count, -1)
            for part in inputs.split([block.irrep.dim for block in shape.x], dim=1)
        ],
        dim=1,
    )
    function = fusionc.parse(shape.text)["product"].function(layout="mul_ir")
    weights = {name: case.leaves[name].detach().cpu().double() for name in case.by_element}
    outputs = []
    for element in range(ELEMENTS):
        out = function(operand, torch.full((count,), element), **weights)
        blocks = out.split([block.size for block in shape.out], dim=1)
        outputs.append(torch.cat([block.view(count, channels, -1) for block in blocks], dim=2))
    return Samples(inputs, torch.stack(outputs))

"""The numbers that every side is given, in the canonical order, drawn from one seed in float64."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

import fusionc
from benchmarks.peers.shapes import ELEMENTS, Shape, Space, size
from benchmarks.peers.tasks import Leaves


@dataclass(frozen=True)
class Case:
    """A shape with its numbers. `leaves` are differentiated; `pairs` (receivers, senders) and `elements` are not."""

    shape: Shape
    edges: int
    leaves: Leaves
    probe: torch.Tensor
    force: str
    pairs: torch.Tensor | None = None
    elements: torch.Tensor | None = None
    gathered: tuple[str, ...] = ()
    by_element: tuple[str, ...] = field(default=())


def weight_sizes(shape: Shape) -> dict[str, int]:
    """How many numbers each weight of the diagram has (one row of it, for weights by element)."""
    sizes: dict[str, int] = {}
    for path in fusionc.parse(shape.text)["product"].paths:
        count = 1
        for extent in path.shape:
            count *= extent
        sizes[path.weight] = max(sizes.get(path.weight, 0), path.offset + count)
    return sizes


def draw(shape: Shape, edges: int, nodes: int, dtype: torch.dtype, device: str, seed: int = 0) -> Case:
    """Standard normal operands and weights, random pairs and elements, drawn on the device."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*extents: int) -> torch.Tensor:
        return torch.randn(*extents, generator=generator, dtype=torch.float64, device=device).to(dtype)

    def integers(top: int, *extents: int) -> torch.Tensor:
        return torch.randint(top, extents, generator=generator, device=device)

    pairs = elements = None
    x, y, out = size(shape.x), size(shape.y), size(shape.out)
    if shape.kind == "symmetric":
        weights = {name: normal(ELEMENTS, count) for name, count in weight_sizes(shape).items()}
        leaves, batch = {"a": normal(nodes, x)} | weights, nodes
        elements = integers(ELEMENTS, nodes)
        return Case(shape, 0, leaves, normal(batch, out), "a", None, elements, (), tuple(weights))
    if shape.kind == "tree":
        leaves = {"x": normal(edges, x), "a": normal(edges, y), "b": normal(edges, y)}
        leaves |= {name: normal(count) for name, count in weight_sizes(shape).items()}
        return Case(shape, edges, leaves, normal(edges, out), "a")
    (weights,) = weight_sizes(shape.unsummed).values() if shape.kind == "message" else weight_sizes(shape).values()
    if shape.kind == "message":
        pairs = integers(nodes, 2, edges)
    leaves = {
        "x": normal(nodes if shape.kind == "message" else edges, x),
        "y": normal(edges, y),
        "r": normal(edges, weights),
    }
    probe = normal(nodes if shape.kind == "message" else edges, out)
    return Case(shape, edges, leaves, probe, "y", pairs, None, ("x",) if shape.kind == "message" else ())


def component_major(blocks: Space) -> torch.Tensor:
    """Places in the canonical order of the numbers in layout `ir_mul`, block after block."""
    places: list[torch.Tensor] = []
    start = 0
    for block in blocks:
        places.append((torch.arange(block.size) + start).view(block.mul, block.irrep.dim).T.reshape(-1))
        start += block.size
    return torch.cat(places)


def by_channel(blocks: Space) -> torch.Tensor:
    """Places of the numbers of blocks with equal multiplicities in the order channel, block, component."""
    places: list[torch.Tensor] = []
    start = 0
    for block in blocks:
        places.append((torch.arange(block.size) + start).view(block.mul, block.irrep.dim))
        start += block.size
    return torch.cat(places, dim=1).reshape(-1)


def kept_blocks(shape: Shape) -> list[torch.Tensor]:
    """For each path of a channelwise product, the places of its channels (rows) and components in the output."""
    starts, position = {}, 0
    for block in shape.out:
        starts[block.irrep] = position
        position += block.size
    places = []
    for path in shape.paths:
        count = shape.x[path.i].mul * path.irrep.dim
        places.append((torch.arange(count) + starts[path.irrep]).view(shape.x[path.i].mul, path.irrep.dim))
        starts[path.irrep] += count
    return places


def weight_places(shape: Shape) -> list[torch.Tensor]:
    """For each path of a bilinear product with weights for every edge, the places of its weights."""
    places, start = [], 0
    muls = {block.irrep: block.mul for block in shape.out}
    for path in shape.paths:
        count = shape.x[path.i].mul * (muls[path.irrep] if shape.kind == "connected" else 1)
        places.append(torch.arange(start, start + count))
        start += count
    return places

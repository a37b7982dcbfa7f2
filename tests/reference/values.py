"""The numbers: one einsum for each path, of operands, the path's tensor and weights, then the sums over sites.

Everything is torch in double precision, and autograd goes through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch

from reference.listing import Listing, Path, list_paths
from reference.reading import Bracket, Line, Weight, read_diagram

Tensor = torch.Tensor


def evaluate(
    listing: Listing,
    legs: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    layout: str = "mul_ir",
    relations: Mapping[str, Tensor] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> tuple[Tensor, ...]:
    """The outputs for legs and learned weights by name.

    Legs have any batch dimensions in front, which broadcast; learned weights have shape (*rows, numel). `relations` are
    integers [2, E], `sizes` say how many sites there are in sets that no leg is over.
    """
    diagram = listing.diagram
    counts = dict(sizes or {})
    counts |= {name: int(pairs.shape[1]) for name, pairs in (relations or {}).items()}
    shapes, flat = [], {}
    for name, leg in diagram.legs.items():
        behind = (leg.kind != "index") + (leg.domain is not None)
        value = legs[name]
        shapes.append(value.shape[: value.ndim - behind])
        if leg.domain is not None and leg.domain not in diagram.pairs:
            counts[leg.domain] = value.shape[value.ndim - behind]
    batch = torch.broadcast_shapes(*shapes) if shapes else ()
    for name, leg in diagram.legs.items():
        behind = (leg.kind != "index") + (leg.domain is not None)
        value = legs[name]
        tail = value.shape[value.ndim - behind :]
        members = tail[:1] if leg.domain is not None else (1,)
        last = tail[-1:] if leg.kind != "index" else ()
        flat[name] = value.expand((*batch, *tail)).reshape((prod(batch), *members, *last))
    pairs = {name: torch.as_tensor(value) for name, value in (relations or {}).items()}
    reading = _Evaluation(listing, flat, weights, layout, pairs, counts, prod(batch))
    outputs = reading.run()
    return tuple(value.reshape((*batch, *value.shape[1:])) for value in outputs)


def evaluate_arrays(
    text: str,
    legs: Sequence[np.ndarray],
    weights: Mapping[str, np.ndarray],
    layout: str = "mul_ir",
    relations: Mapping[str, np.ndarray] | None = None,
    sizes: Mapping[str, int] | None = None,
    name: str = "d",
) -> tuple[np.ndarray, ...]:
    """The outputs of a text's diagram as arrays, for legs in declared order."""
    listing = list_paths(read_diagram(text, name))
    named = {leg: torch.as_tensor(value) for leg, value in zip(listing.diagram.legs, legs, strict=True)}
    learned = {weight: torch.as_tensor(value) for weight, value in weights.items()}
    pairs = {relation: torch.as_tensor(value) for relation, value in (relations or {}).items()}
    with torch.no_grad():
        return tuple(value.numpy() for value in evaluate(listing, named, learned, layout, pairs, sizes))


def agrees(one: Sequence[np.ndarray], other: Sequence[np.ndarray], tolerance: float = 1e-12) -> bool:
    """Whether two oracles give the same outputs, up to rounding against their largest number (or one, where that is
    less: what is zero by Schur's lemma is rounding alone)."""
    pairs = list(zip(one, other, strict=True))
    scale = max([1.0, *(float(np.abs(part).max(initial=0.0)) for part in other)])
    return all(a.shape == b.shape and float(np.abs(a - b).max(initial=0.0)) <= tolerance * scale for a, b in pairs)


@dataclass
class _Evaluation:
    """`values` holds each edge's blocks: [batch, member, channels…, component], one member where there are no sites."""

    listing: Listing
    legs: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    layout: str
    relations: Mapping[str, Tensor]
    counts: Mapping[str, int]
    batch: int
    values: dict[str, list[Tensor]] = field(default_factory=dict)

    def run(self) -> list[Tensor]:
        diagram = self.listing.diagram
        for name, leg in diagram.legs.items():
            if leg.kind == "tensor":
                self.values[name] = self._split(self.legs[name], leg.blocks)
        ends: dict[str, list[tuple[Line, list[tuple[Path, Tensor]]]]] = {}
        for number, line in enumerate(diagram.lines):
            found = [(path, self._path(line, path, k)) for k, path in enumerate(self.listing.paths[number])]
            ends.setdefault(line.target, []).append((line, found))
            if line.target not in diagram.outputs and number == diagram.writers(line.target)[-1]:
                self.values[line.target] = self._edge(line.target, ends[line.target])
        return [self._output(name, ends.get(name, [])) for name in diagram.outputs]

    def _size(self, domain: str | None) -> int:
        return 1 if domain is None else self.counts[domain]

    def _split(self, flat: Tensor, blocks: Sequence[Any]) -> list[Tensor]:
        pieces, start = [], 0
        for block in blocks:
            size = block.irrep[0] + 1
            piece = flat[..., start : start + block.mul * size]
            if self.layout == "mul_ir":
                pieces.append(piece.reshape(*flat.shape[:2], block.mul, size))
            else:
                pieces.append(piece.reshape(*flat.shape[:2], size, block.mul).transpose(2, 3))
            start += block.mul * size
        return pieces

    def _edge(self, edge: str, ends: Sequence[tuple[Line, list[tuple[Path, Tensor]]]]) -> list[Tensor]:
        blocks = self.listing.blocks[edge]
        if self.listing.diagram.child(edge) is not None:
            return [value for _, value in ends[0][1]]
        return [
            sum(value for _, found in ends for path, value in found if path.irrep == block.irrep)  # type: ignore[misc]
            for block in blocks
        ]

    def _output(self, name: str, ends: Sequence[tuple[Line, list[tuple[Path, Tensor]]]]) -> Tensor:
        pieces, domain = [], self.listing.diagram.outputs[name].domain
        lead = (self.batch, self._size(domain))
        like = next(iter([*self.legs.values(), *self.weights.values()]))
        for place, block in enumerate(self.listing.outputs[name]):
            size = block.irrep[0] + 1
            kept, total = [], None
            for line, found in ends:
                for path, value in found:
                    if path.place == place:
                        value = value.reshape(*lead, prod(value.shape[2:-1]), size)
                        if line.keeps:
                            kept.append(value)
                        else:
                            total = value if total is None else total + value
            if kept:
                total = torch.cat(kept, 2)
            if total is None:
                total = like.new_zeros((*lead, block.mul, size))
            pieces.append(
                (total if self.layout == "mul_ir" else total.transpose(2, 3)).reshape(*lead, block.mul * size)
            )
        whole = torch.cat(pieces, 2)
        return whole if domain is not None else whole[:, 0]

    # --- one path of one line --------------------------------------------------------------------------------------

    def _path(self, line: Line, path: Path, number: int) -> Tensor:
        """[batch, member, channels…, component] of the right edge.

        In the einsum B is the batch, C all values that the line's site indices take together, a … the components of the
        operands and K that of the right edge, U … the channels.
        """
        chosen, pairs, count = self._assignments(line)
        letters = {index: "DEFGHIJLMNOPQRSTUVWXYZ"[place] for place, index in enumerate(path.sizes)}

        def word(indices: Bracket) -> str:
            return "".join(letters[index] for index in indices)

        def gathered(value: Tensor, sites: Bracket) -> Tensor:
            members = torch.zeros(count, dtype=torch.int64)
            if sites:
                members = chosen[sites[0]] if len(sites) == 1 else pairs[sites]
            return value[:, members]

        terms, arrays, components = [], [], ""
        for position, (operand, block) in enumerate(zip(line.operands, path.blocks, strict=True)):
            value = gathered(self.values[operand.edge][block], operand.sites)
            if value.ndim - 3 > len(operand.channels):
                value = value[:, :, 0]  # written without a bracket: multiplicity one
            components += chr(ord("a") + position)
            terms.append(f"BC{word(operand.channels)}{components[-1]}")
            arrays.append(value)
        terms.append(components + "K")
        arrays.append(torch.as_tensor(path.tensor).to(arrays[0].dtype))
        for weight in line.weights:
            lead, value = self._weight(weight, number, gathered)
            terms.append(lead + word(weight.channels))
            arrays.append(value)
        result = torch.einsum(f"{','.join(terms)}->BC{word(line.channels)}K", *arrays) * path.scale
        members = torch.zeros(count, dtype=torch.int64)
        domain = self.listing.diagram.domain(line.target)
        if line.sites:
            members = chosen[line.sites[0]] if len(line.sites) == 1 else pairs[line.sites]
        zeros = result.new_zeros((self.batch, self._size(domain), *result.shape[2:]))
        return zeros.index_add(1, members, result)

    def _weight(self, weight: Weight, number: int, gathered: Any) -> tuple[str, Tensor]:
        start, shape = self.listing.weights[weight.name].slice(number)
        if weight.name in self.legs:
            lead, flat = "BC", gathered(self.legs[weight.name], weight.sites)
        elif weight.rows:
            lead = "BC"
            flat = self.weights[weight.name][tuple(gathered(self.legs[row], sites) for row, sites in weight.rows)]
        else:
            lead, flat = "", self.weights[weight.name]
        return lead, flat[..., start : start + prod(shape)].reshape((*flat.shape[:-1], *shape))

    def _assignments(self, line: Line) -> tuple[dict[str, Tensor], dict[Bracket, Tensor], int]:
        """The values that site indices take together: each pair of each relation, and every site of an index that no
        relation ties. Which site for each index, which pair for each tie, and how many of these there are."""
        found: list[dict[Any, int]] = [{}]
        for tied, relation in line.ties.items():
            pairs = self.relations[relation].tolist()
            found = [
                {**known, tied[0]: a, tied[1]: b, tied: number}
                for known in found
                for number, (a, b) in enumerate(zip(*pairs, strict=True))
                if known.get(tied[0], a) == a and known.get(tied[1], b) == b
            ]
        for letter, site_set in line.letters.items():
            if not any(letter in tied for tied in line.ties):
                found = [{**known, letter: site} for known in found for site in range(self._size(site_set))]

        def column(key: Any) -> Tensor:
            return torch.tensor([known[key] for known in found], dtype=torch.int64)

        return {letter: column(letter) for letter in line.letters}, {t: column(t) for t in line.ties}, len(found)

"""Diagrams over sites from the outside: what a caller gives beside the legs, random inputs, another order of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionc.diagram.ir import FusionGraph
from fusionc.diagram.paths import PathTable
from fusionc.tools.oracle import random_inputs, random_legs

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """What a diagram is evaluated on: legs in declared order, relations as integers [2, E], and the sizes of all
    domains by name (empty for a diagram without sites)."""

    legs: tuple[Array, ...]
    relations: Mapping[str, Array] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def with_legs(self, legs: Sequence[Array]) -> Inputs:
        """The same relations with other legs."""
        return replace(self, legs=tuple(legs))

    def keywords(self, graph: FusionGraph) -> dict[str, Any]:
        """What a module takes by keyword: relations as tensors, and the sizes of site sets that no leg is over."""
        relations = {name: torch.as_tensor(value) for name, value in self.relations.items()}
        return relations | {name: self.sizes[name] for name in graph.told_sites}


def random_batch(table: PathTable, batch: int, rng: np.random.Generator, sizes: Mapping[str, int]) -> Inputs:
    """Random inputs with a batch dimension; relations with a pair that is listed twice and a site in no pair."""
    if not table.graph.sites:
        return Inputs(tuple(random_legs(table, batch, rng)))
    legs, relations = random_inputs(table, sizes, rng, batch)
    return Inputs(tuple(legs), relations, dict(sizes))


def random_orders(sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
    """For each domain a permutation: which old member stands at each new place."""
    return {name: rng.permutation(size) for name, size in sizes.items()}


def permuted_inputs(graph: FusionGraph, inputs: Inputs, orders: Mapping[str, Array]) -> Inputs:
    """The same inputs with sites and pairs in another order: relations name the new places of their sites."""
    legs = [
        permuted(value, leg.domain, orders, -1 if leg.name in graph.index_legs else -2)
        for leg, value in zip(graph.legs, inputs.legs, strict=True)
    ]
    places = {name: np.argsort(order) for name, order in orders.items()}
    relations = {}
    for relation in graph.relations:
        pairs = inputs.relations[relation.name][:, orders[relation.name]]
        relations[relation.name] = np.stack([places[relation.first][pairs[0]], places[relation.second][pairs[1]]])
    return replace(inputs, legs=tuple(legs), relations=relations)


def permuted(value: Array, domain: str | None, orders: Mapping[str, Array], axis: int = -2) -> Array:
    """A value over a domain in the domain's new order."""
    return value if domain is None else np.take(value, orders[domain], axis=axis)

"""One random diagram checked: the generated module against both oracles, its derivatives against autograd of one.

Everything follows from the seed: text, layout, sizes, batch shapes, strides of the operands, what is differentiated.
"""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from math import prod

import numpy as np
import random_diagrams
import reference
import torch

import fusionc
from fusionc.tools.oracle import evaluate

TIGHT = 1e-11
MOST_PATHS = 40
MOST_NUMBERS = 60_000  # of coupling tensors and weights: larger diagrams say nothing new
BATCHES = [(), (1,), (2,), (2,), (3,), (2, 2), (0,), (2, 0), (1, 2)]
Tensor = torch.Tensor


class Disagreement(Exception):
    """A module and an oracle differ; the message says where."""


@dataclass
class Operand:
    """A leg, or a learned weight: `base` is what is differentiated, `view` makes of it what the module gets."""

    base: Tensor
    view: Callable[[Tensor], Tensor]
    moves: bool

    @property
    def value(self) -> Tensor:
        return self.view(self.base)


@dataclass
class Case:
    seed: int
    text: str
    diagram: fusionc.Diagram
    listing: reference.Listing
    layout: str
    legs: dict[str, Operand]
    weights: dict[str, Operand]
    relations: dict[str, Tensor]
    sizes: dict[str, int]
    second: bool

    def describe(self) -> str:
        shapes = {name: (tuple(leg.value.shape), leg.value.stride(), leg.moves) for name, leg in self.legs.items()}
        moving = [name for name, weight in self.weights.items() if weight.moves]
        pairs = {name: value.tolist() for name, value in self.relations.items()}
        return (
            f"seed {self.seed}, {self.layout}\n{self.text}legs (shape, strides, differentiated): {shapes}\n"
            f"differentiated weights: {moving}\nrelations: {pairs}, sizes: {self.sizes}"
        )


def draw(seed: int) -> Case:
    """The case of a seed: the first text that compiles and is small. Raises `Disagreement`."""
    for number, text in enumerate(islice(random_diagrams.texts(seed), 200)):
        try:
            diagram = fusionc.parse(text)["d"]
            if not 0 < diagram.count_paths() <= MOST_PATHS:
                continue
        except fusionc.CompileError:
            continue
        except Exception as error:
            raise Disagreement(f"seed {seed}\n{text}parse: {error!r}") from error
        listing = reference.list_paths(reference.read_diagram(text))
        size = sum(path.tensor.size for paths in listing.paths for path in paths)
        if size + sum(weight.numel for weight in listing.weights.values()) <= MOST_NUMBERS:
            return _with_operands(seed, text, diagram, listing, random.Random(f"{seed}:{number}"))
    raise Disagreement(f"seed {seed}: no text compiles")


def _with_operands(
    seed: int, text: str, diagram: fusionc.Diagram, listing: reference.Listing, rng: random.Random
) -> Case:
    read = listing.diagram
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if read.basis == "complex" else torch.float64
    sizes = {"atoms": rng.choice([1, 3, 4]), "cells": rng.choice([1, 2]), "edges": rng.choice([0, 1, 5, 6]), "homes": 3}
    domains = {leg.domain for leg in read.legs.values()} | {output.domain for output in read.outputs.values()}
    relations = {}
    for name in read.pairs:
        if name in domains:
            ends = [sizes[end] for end in read.pairs[name]]
            pairs = torch.stack([torch.randint(0, end, (sizes[name],), generator=generator) for end in ends])
            if sizes[name] > 1:
                pairs[:, -1] = pairs[:, 0]
            relations[name] = pairs
    batch = rng.choice(BATCHES)
    which = rng.choice(["all", "all", "some", "none"])
    legs = {}
    for name, leg in read.legs.items():
        own = _broadcast(rng, batch)
        tail = [] if leg.domain is None else [sizes[leg.domain]]
        if leg.kind == "index":
            legs[name] = Operand(
                torch.randint(0, leg.rows, (*own, *tail), generator=generator), lambda base: base, False
            )
            continue
        if leg.kind == "tensor":
            tail.append(sum(block.mul * (block.irrep[0] + 1) for block in leg.blocks))
        else:
            tail.append(listing.weights[name].numel)
        legs[name] = _operand(rng, (*own, *tail), dtype, generator, _moves(rng, which))
    weights = {
        name: Operand(
            torch.randn(*shape.rows, shape.numel, dtype=dtype, generator=generator),
            lambda base: base,
            _moves(rng, which),
        )
        for name, shape in listing.weights.items()
        if shape.learned
    }
    told = {end for name in relations for end in read.pairs[name]} | (domains - {*read.pairs, None})
    told -= {leg.domain for leg in read.legs.values()}
    given = {name: sizes[name] for name in sorted(told)}
    layout = rng.choice(["mul_ir", "ir_mul"])
    return Case(seed, text, diagram, listing, layout, legs, weights, relations, given, rng.random() < 0.3)


def _moves(rng: random.Random, which: str) -> bool:
    return {"all": True, "none": False, "some": rng.random() < 0.5}[which]


def _broadcast(rng: random.Random, batch: tuple[int, ...]) -> tuple[int, ...]:
    """A batch shape that broadcasts to the whole one."""
    if rng.random() < 0.6:
        return batch
    kept = batch[rng.randint(0, len(batch)) :]
    return tuple(1 if rng.random() < 0.4 else size for size in kept)


def _operand(
    rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator, moves: bool
) -> Operand:
    """Dense, transposed, cut out of something larger, or expanded along the first dimension."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=dtype, generator=generator)

    kind = rng.choice(["dense"] * 4 + ["transposed", "cut", "expanded"])
    if kind == "transposed" and len(shape) > 1:
        return Operand(normal(*shape[::-1]), lambda base: base.permute(*range(base.ndim)[::-1]), moves)
    if kind == "cut":
        return Operand(normal(*shape[:-1], 2 * shape[-1] + 1), lambda base: base[..., 1::2], moves)
    if kind == "expanded" and len(shape) > 1:
        return Operand(normal(*shape[1:]), lambda base: base.expand(shape), moves)
    return Operand(normal(*shape), lambda base: base, moves)


# --- the comparison ------------------------------------------------------------------------------------------------


def check(case: Case, lowered: bool = False, target: str = "torch") -> None:
    """Raises `Disagreement`; whatever the module raises is one too. `lowered`: with the thresholds of emission as low
    as they go, so that what is written for large results runs on small ones. Kernels of the target `triton` are only
    emitted, and the file is compiled, unless triton interprets them (`TRITON_INTERPRET=1`)."""
    try:
        with _lowered() if lowered else nullcontext():
            if target == "torch":
                _check(case)
            else:
                _check_kernels(case)
    except Disagreement as error:
        raise Disagreement(f"{case.describe()}\n{error}") from error
    except Exception as error:
        raise Disagreement(f"{case.describe()}\n{type(error).__name__}: {error}") from error


def _lowered() -> AbstractContextManager[object]:
    thresholds = importlib.import_module("fusionc.program.thresholds")
    return thresholds.using(thresholds.LOWERED)  # type: ignore[no-any-return]


def _check_kernels(case: Case) -> None:
    """Diagrams that have no kernels are refused by a diagnostic, which is as good as a file."""
    try:
        compile(case.diagram.emit("triton", layout=case.layout), "kernels", "exec")
    except fusionc.CompileError:
        return
    if os.environ.get("TRITON_INTERPRET") == "1":
        _check(case, "triton")


def _check(case: Case, target: str = "torch") -> None:
    moving = {name: one for name, one in {**case.legs, **case.weights}.items() if one.moves}
    bases = {name: one.base.clone().requires_grad_() for name, one in moving.items()}
    wanted = _outputs(case, bases, _by_reference(case))
    got = _outputs(case, bases, _by_module(case, target))
    _compare("value", wanted, got)
    _compare("value of the other oracle", wanted, _by_first_oracle(case, wanted))
    if not bases:
        return
    first = _gradients(wanted, bases, case.second)
    other = _gradients(got, bases, case.second)
    _compare_gradients("gradient", bases, first, other)
    if case.second:
        _compare_gradients("second gradient", bases, _again(first, bases), _again(other, bases))


def _outputs(case: Case, bases: dict[str, Tensor], call: Callable[..., tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    legs = {name: one.view(bases.get(name, one.base)) for name, one in case.legs.items()}
    weights = {name: one.view(bases.get(name, one.base)) for name, one in case.weights.items()}
    return call(legs, weights)


def _by_reference(case: Case) -> Callable[..., tuple[Tensor, ...]]:
    return lambda legs, weights: reference.evaluate(
        case.listing, legs, weights, case.layout, case.relations, case.sizes
    )


def _by_module(case: Case, target: str) -> Callable[..., tuple[Tensor, ...]]:
    complex_basis = case.listing.diagram.basis == "complex"
    dtype = torch.complex128 if complex_basis else torch.float64
    module = case.diagram.module(target, layout=case.layout)(dtype=dtype)

    def call(legs: dict[str, Tensor], weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        there = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
        if there != {name: tuple(weight.shape) for name, weight in weights.items()}:
            raise Disagreement(f"weights have shapes {there}")
        keywords = {**case.relations, **case.sizes}
        out = torch.func.functional_call(module, weights, tuple(legs.values()), keywords)
        return (out,) if isinstance(out, Tensor) else tuple(out)

    return call


def _by_first_oracle(case: Case, like: tuple[Tensor, ...]) -> list[Tensor]:
    """The oracle of the tools, for one batch dimension; outputs get the shapes of the others."""
    read = case.listing.diagram
    batches = [
        leg.value.shape[: leg.value.ndim - (read.legs[name].kind != "index") - (read.legs[name].domain is not None)]
        for name, leg in case.legs.items()
    ]
    batch = torch.broadcast_shapes(*batches)
    if prod(batch) == 0:
        return list(like)
    legs = [
        leg.value.expand((*batch, *leg.value.shape[len(own) :]))
        .reshape(prod(batch), *leg.value.shape[len(own) :])
        .numpy()
        for leg, own in zip(case.legs.values(), batches, strict=True)
    ]
    weights = {name: weight.value.numpy() for name, weight in case.weights.items()}
    relations = {name: value.numpy() for name, value in case.relations.items()}
    found = evaluate(case.diagram.checked.table, legs, weights, case.layout, relations, case.sizes)  # type: ignore[arg-type]
    return [torch.as_tensor(np.asarray(one)).reshape((*batch, *one.shape[1:])) for one in found]


def _probe(shape: torch.Size, dtype: torch.dtype, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(shape, dtype=dtype, generator=generator)


def _gradients(outputs: tuple[Tensor, ...], bases: dict[str, Tensor], again: bool) -> list[Tensor | None]:
    live = [(number, out) for number, out in enumerate(outputs) if out.requires_grad]
    if not live:
        return [None] * len(bases)
    probes = [_probe(out.shape, out.dtype, number) for number, out in live]
    return list(
        torch.autograd.grad(
            [out for _, out in live],
            list(bases.values()),
            probes,
            create_graph=again,
            retain_graph=True,
            allow_unused=True,
        )
    )


def _again(gradients: list[Tensor | None], bases: dict[str, Tensor]) -> list[Tensor | None]:
    """The gradient of a random combination of gradients."""
    terms = [
        (one, _probe(one.shape, one.dtype, 100 + number))
        for number, one in enumerate(gradients)
        if one is not None and one.requires_grad
    ]
    if not terms:
        return [None] * len(bases)
    ones, probes = zip(*terms, strict=True)
    return list(torch.autograd.grad(list(ones), list(bases.values()), list(probes), allow_unused=True))


def _compare(what: str, wanted: tuple[Tensor, ...], got: tuple[Tensor, ...] | list[Tensor]) -> None:
    if [tuple(one.shape) for one in wanted] != [tuple(one.shape) for one in got]:
        raise Disagreement(
            f"{what}: shapes {[tuple(one.shape) for one in got]}, not {[tuple(o.shape) for o in wanted]}"
        )
    scale = max([1.0, *(float(one.detach().abs().max()) for one in wanted if one.numel())])
    for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
        error = float((one.detach() - other.detach()).abs().max()) if one.numel() else 0.0
        if not error <= TIGHT * scale:
            raise Disagreement(f"{what} of output {number}: off by {error:.3g} where the largest is {scale:.3g}")


def _compare_gradients(
    what: str, bases: dict[str, Tensor], wanted: list[Tensor | None], got: list[Tensor | None]
) -> None:
    dense = [
        tuple(torch.zeros_like(base) if one is None else one for one, base in zip(side, bases.values(), strict=True))
        for side in (wanted, got)
    ]
    scale = max([1.0, *(float(one.detach().abs().max()) for one in dense[0] if one.numel())])
    for name, one, other in zip(bases, *dense, strict=True):
        error = float((one.detach() - other.detach()).abs().max()) if one.numel() else 0.0
        if one.shape != other.shape or not error <= TIGHT * scale:
            raise Disagreement(f"{what} by {name}: off by {error:.3g} where the largest is {scale:.3g}")

"""The stages of a diagram with kernels, and its derivatives made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusionc.targets.runtime.kernels import _is_traced
from fusionc.targets.runtime.modes import _is_batched, _uncast


class _Diagram(NamedTuple):
    """The stages of a diagram. `counts[k]` is how many operands stage k has; `results[k]` says of the gradients that
    stage k + 1 computes which operands of stage k they belong to; `shapes[k]` has for every result of stage k the
    operand whose dtype it has, the size that counts its rows (None: no rows), and its shape."""

    stages: tuple[Callable[..., list[Tensor]], ...]
    plain: Callable[..., tuple[Tensor, ...]]
    counts: tuple[int, ...]
    results: tuple[tuple[int, ...], ...]
    shapes: tuple[tuple[tuple[int, int | None, tuple[int, ...]], ...], ...]
    weights: tuple[tuple[int, ...], ...]
    """For every stage the operands that have no rows."""
    tangents: tuple[tuple[int, ...], ...]
    """For every stage behind those of the derivatives the operands of the value whose tangents it takes."""
    linear: tuple[int, ...]
    """The operands in which the value is linear. Where it is in all of them, its derivatives of any order are the value
    and the gradients of other operands: there are no further stages."""
    rows: int
    """How many of the fixed tensors, the first, have rows: index legs."""
    operators: list[Any]


def _orders(diagram: _Diagram) -> int:
    """How many stages there are before the first that computes tangents: the value, its gradients, theirs."""
    return len(diagram.results) + 1


def _allocate(diagram: _Diagram, level: int, operands: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
    """Memory for the results of a stage."""
    found = []
    for like, domain, shape in diagram.shapes[level]:
        rows = () if domain is None else (sizes[0] * (sizes[domain] if domain else 1),)
        found.append(operands[like].new_empty((*rows, *shape)))
    return found


def _run(
    diagram: _Diagram, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """A stage, with its kernels."""
    results = _allocate(diagram, level, operands, sizes)
    with _uncast(operands[0]):
        return diagram.stages[level](results, operands, fixed, sizes)


def _plain(
    diagram: _Diagram, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """A stage in plain torch: behind the last stage, for `vmap` over weights or relations, for `is_grads_batched`."""
    with _uncast(operands[0]):
        if level == 0:
            return diagram.plain(operands, fixed, sizes)
        if level >= _orders(diagram):
            count, places = diagram.counts[0], diagram.tangents[level - _orders(diagram)]
            function = lambda *values: tuple(diagram.plain(values, fixed, sizes))  # noqa: E731
            return _pushed(function, operands[:count], dict(zip(places, operands[count:])))
        count = diagram.counts[level - 1]
        function = lambda *values: tuple(_plain(diagram, level - 1, values, fixed, sizes))  # noqa: E731
        _, pull = torch.func.vjp(function, *operands[:count])
        found = pull(tuple(operands[count:]))
        return tuple(found[place] for place in diagram.results[level - 1])


def _pushed(
    function: Callable[..., tuple[Tensor, ...]], values: Sequence[Tensor], tangents: dict[int, Tensor]
) -> tuple[Tensor, ...]:
    """The tangents of a function for tangents of some arguments, by torch."""

    def some(*moved: Tensor) -> tuple[Tensor, ...]:
        everything = dict(enumerate(values)) | dict(zip(tangents, moved))
        return function(*everything.values())

    primals = tuple(values[place] for place in tangents)
    return torch.func.jvp(some, primals, tuple(tangents.values()))[1]


def _evaluate(
    diagram: _Diagram,
    level: int,
    operands: Sequence[Tensor],
    fixed: Sequence[Tensor],
    sizes: Sequence[int],
    asked: Sequence[int] | None = None,
) -> tuple[Tensor, ...]:
    """Some results of a stage (None: all), which can be differentiated: by an operator while compiling, otherwise by an
    autograd function."""
    asked = tuple(range(len(diagram.shapes[level])) if asked is None else asked)
    if torch.compiler.is_compiling():
        found = diagram.operators[level](list(operands), list(fixed), list(sizes))
        return tuple(found[place] for place in asked)
    return _Apply.apply(diagram, level, tuple(sizes), asked, len(operands), *operands, *fixed)


_BEFORE = 5
"""Arguments of a stage in front of its tensors."""


class _Apply(torch.autograd.Function):
    """A stage; its derivatives are made of other stages. Of its results it gives those that are asked for."""

    @staticmethod
    def forward(
        diagram: _Diagram, level: int, sizes: tuple[int, ...], asked: tuple[int, ...], count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        found: Sequence[Tensor]
        operands, fixed = tensors[:count], tensors[count:]
        if _is_batched(operands):
            found = _plain(diagram, level, operands, fixed, sizes)
        elif _is_traced(operands):
            found = diagram.operators[level](list(operands), list(fixed), list(sizes))
        else:
            found = _run(diagram, level, operands, fixed, sizes)
        return tuple(found[place] for place in asked)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        diagram, level, sizes, asked, count, *tensors = inputs
        ctx.call = _Call(diagram, level, sizes, asked, count)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call, needed = ctx.call, ctx.needs_input_grad[_BEFORE:]
        operands, fixed = ctx.saved_tensors[: call.operand_count], ctx.saved_tensors[call.operand_count :]
        given = {number: one for number, one in zip(call.asked, cotangents) if one is not None}
        found = call.gradients(operands, fixed, given, needed[: call.operand_count])
        return (*[None] * _BEFORE, *found, *(None for _ in fixed))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, ...]:
        call, moved = ctx.call, tangents[_BEFORE:]
        operands, fixed = ctx.saved_tensors[: call.operand_count], ctx.saved_tensors[call.operand_count :]
        given = {place: one for place, one in enumerate(moved[: call.operand_count]) if one is not None}
        return tuple(call.tangents(operands, fixed, given))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        call, dims, tensors = _Call(*arguments[:_BEFORE]), in_dims[_BEFORE:], arguments[_BEFORE:]
        found = call.mapped(info.batch_size, dims, tensors)
        return found, (0,) * len(found)


class _Call(NamedTuple):
    """What a stage is run for: which results are asked for, and how many of the tensors are operands."""

    diagram: _Diagram
    level: int
    sizes: tuple[int, ...]
    asked: tuple[int, ...]
    operand_count: int

    def plain(self, operands: Sequence[Tensor], fixed: Sequence[Tensor]) -> tuple[Tensor, ...]:
        found = _plain(self.diagram, self.level, operands, fixed, self.sizes)
        return tuple(found[place] for place in self.asked)

    def evaluated(
        self, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], asked: Sequence[int]
    ) -> tuple[Tensor, ...]:
        """Some results of another stage, in the same call."""
        return _evaluate(self.diagram, level, operands, fixed, self.sizes, asked) if asked else ()

    # --- gradients

    def gradients(
        self, operands: Sequence[Tensor], fixed: Sequence[Tensor], cotangents: dict[int, Tensor], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradient of every operand that needs one; results without a cotangent count as zero."""
        if not cotangents:
            return [None] * len(operands)
        if self.level == 1:
            count, places = self.diagram.counts[0], self.diagram.results[0]
            directions = {places[number]: one for number, one in cotangents.items()}
            return self._second(operands[:count], fixed, operands[count:], directions, needed)
        given = self._filled(operands, cotangents)
        if self.level == _orders(self.diagram) - 1 > 0:  # plain torch behind the last stage
            _, pull = torch.func.vjp(lambda *values: self.plain(values, fixed), *operands)
            return list(pull(tuple(given[number] for number in self.asked)))
        if self.level == 0:
            return self._next(1, (*operands, *given), fixed, needed)
        return self._gradients_of_tangents(operands, fixed, given, needed)

    def _filled(self, operands: Sequence[Tensor], cotangents: dict[int, Tensor]) -> list[Tensor]:
        """Cotangents of all results."""
        found = []
        for number, (like, domain, shape) in enumerate(self.diagram.shapes[self.level]):
            rows = () if domain is None else (self.sizes[0] * (self.sizes[domain] if domain else 1),)
            one = cotangents.get(number)
            found.append(operands[like].new_zeros((*rows, *shape)) if one is None else one)
        return found

    def _next(
        self, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradients that a stage computes, where they belong."""
        places = self.diagram.results[level - 1]
        asked = [number for number, place in enumerate(places) if place < len(needed) and needed[place]]
        found: list[Tensor | None] = [None] * len(needed)
        for number, gradient in zip(asked, self.evaluated(level, operands, fixed, asked)):
            found[places[number]] = gradient
        return found

    def _gradients_of_tangents(
        self, operands: Sequence[Tensor], fixed: Sequence[Tensor], cotangents: Sequence[Tensor], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """⟨cotangent, tangent of the value⟩ is ⟨gradients, tangents⟩: linear in the tangents, which get the gradients,
        and its derivative by the operands is a second one."""
        count, places = self.diagram.counts[0], self.diagram.tangents[self.level - _orders(self.diagram)]
        values, given = operands[:count], dict(zip(places, operands[count:]))
        by_tangents = dict(zip(places, needed[count:]))
        first = self._next(1, (*values, *cotangents), fixed, [by_tangents.get(place, False) for place in range(count)])
        second = self._second(values, fixed, cotangents, given, needed[:count])
        return [*second, *(first[place] for place in places)]

    def _second(
        self,
        values: Sequence[Tensor],
        fixed: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        directions: dict[int, Tensor],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The derivatives by the operands, and by the cotangents where they are needed, of ⟨gradients, directions⟩."""
        if len(self.diagram.linear) == self.diagram.counts[0]:
            return self._swapped(values, fixed, cotangents, directions, needed)
        moved = [
            directions[place] if place in directions else torch.zeros_like(values[place])
            for place in self.diagram.results[0]
        ]
        return self._next(2, (*values, *cotangents, *moved), fixed, needed)

    def _swapped(
        self,
        values: Sequence[Tensor],
        fixed: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        directions: dict[int, Tensor],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The same where the value is linear in every operand: with a direction in its place the gradients of the
        others are those of ⟨gradient, direction⟩, and the value is its derivative by the cotangents."""
        count, found = len(values), list[Tensor | None]([None] * len(needed))
        for place, direction in directions.items():
            moved = (*values[:place], direction, *values[place + 1 :])
            others = [need and at != place for at, need in enumerate(needed[:count])]
            parts = self._next(1, (*moved, *cotangents), fixed, others)
            if any(needed[count:]):
                parts += self.evaluated(0, moved, fixed, tuple(range(len(cotangents))))
            for at, part in enumerate(parts):
                if part is not None:
                    before = found[at]
                    found[at] = part if before is None else before + part
        return found

    # --- tangents

    def tangents(
        self, operands: Sequence[Tensor], fixed: Sequence[Tensor], tangents: dict[int, Tensor]
    ) -> Sequence[Tensor]:
        """The tangents of the results, for tangents of some operands."""
        if self.level == 0:
            return self._tangents_of_value(operands, fixed, tangents)
        if self.level == 1:
            return self._tangents_of_gradients(operands, fixed, tangents)
        return _pushed(lambda *values: self.plain(values, fixed), operands, tangents)

    def _tangents_of_value(
        self, operands: Sequence[Tensor], fixed: Sequence[Tensor], tangents: dict[int, Tensor]
    ) -> Sequence[Tensor]:
        places, known = tuple(tangents), self.diagram.tangents
        if places in known:
            level = _orders(self.diagram) + known.index(places)
            return self.evaluated(level, (*operands, *tangents.values()), fixed, self.asked)
        parts = []
        for place, tangent in tangents.items():
            if place in self.diagram.linear:
                swapped = (*operands[:place], tangent, *operands[place + 1 :])
                parts.append(self.evaluated(0, swapped, fixed, self.asked))
            else:
                level = _orders(self.diagram) + known.index((place,))
                parts.append(self.evaluated(level, (*operands, tangent), fixed, self.asked))
        return [sum(part[1:], part[0]) for part in zip(*parts)]

    def _tangents_of_gradients(
        self, operands: Sequence[Tensor], fixed: Sequence[Tensor], tangents: dict[int, Tensor]
    ) -> list[Tensor]:
        """Gradients are linear in the cotangents; their derivatives by the operands are symmetric: what differentiates
        ⟨gradients, directions⟩ has them in any direction."""
        count, results = self.diagram.counts[0], self.diagram.results[0]
        values, cotangents = operands[:count], operands[count:]
        places = [results[number] for number in self.asked]
        moved = {place: one for place, one in tangents.items() if place < count and place in results}
        turned = {place - count: one for place, one in tangents.items() if place >= count}
        parts: list[list[Tensor | None]] = []
        if turned:
            given = [turned[k] if k in turned else torch.zeros_like(one) for k, one in enumerate(cotangents)]
            parts.append(self._next(1, (*values, *given), fixed, [place in places for place in range(count)]))
        if moved:
            needed = [place in places for place in range(count)]
            parts.append(self._second(values, fixed, cotangents, moved, needed))
        found = []
        for place in places:
            each = [one for part in parts if (one := part[place]) is not None]
            found.append(sum(each[1:], each[0]) if each else torch.zeros_like(operands[place]))
        return found

    # --- vmap

    def mapped(self, size: int, dims: Sequence[int | None], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A stage for all elements of a dimension: one larger batch where everything that has it has rows."""
        diagram, level = self.diagram, self.level
        by_row = all(diagram.shapes[level][number][1] is not None for number in self.asked)
        shared = {*diagram.weights[level], *range(self.operand_count + diagram.rows, len(tensors))}
        if not by_row or any(dims[place] is not None for place in shared):
            function = lambda *values: self.plain(values[: self.operand_count], values[self.operand_count :])  # noqa: E731
            return torch.vmap(function, in_dims=tuple(dims))(*tensors)
        flat = []
        for place, (value, dim) in enumerate(zip(tensors, dims)):
            if place not in shared:
                moved = value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
                value = moved.flatten(0, 1)
            flat.append(value)
        sizes = (size * self.sizes[0], *self.sizes[1:])
        found = _evaluate(diagram, level, flat[: self.operand_count], flat[self.operand_count :], sizes, self.asked)
        return tuple(torch.unflatten(one, 0, (size, -1)) for one in found)

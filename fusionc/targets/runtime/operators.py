"""What ranges over sites as operators, for code that is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.autograd import _stage_gradients
from fusionc.targets.runtime.compiled import _assembled
from fusionc.targets.runtime.dtypes import _dtype
from fusionc.targets.runtime.modes import _is_plain
from fusionc.targets.runtime.pieces import _evaluated, _pieces, _placed
from fusionc.targets.runtime.sites import _scatter
from fusionc.targets.runtime.stages import _listed, _Stage


def _over_pairs(
    name: str,
    parts: Callable[..., tuple[tuple[Any, ...], ...]],
    reads: tuple[int | None, ...],
    ends: tuple[int | None, ...],
    widths: tuple[int, ...],
    piece: int,
) -> Callable[..., list[Tensor]]:
    """What is computed for pairs, as an operator for compiled code: `parts`, compiled on its own, a piece of the pairs
    at a time. A compiler would hold what all pairs give, and add it up one number at a time. `reads`: for each operand
    the row of the relation that names the site where a pair reads it (-1: it is over the pairs, None: the same for
    all). `ends`: for each result the row that names the site to which it is added (-1: it is over the pairs, None: all
    pairs are added up), and its numbers, `widths`."""

    def computed(read: Sequence[Tensor], needed: tuple[bool, ...]) -> list[Tensor]:
        results = [_assembled(output) for output in parts(*read)]
        return [one.sum(-2) if end is None else one for one, end in zip(results, ends)]

    pulled = _pulling(lambda read: computed(read, ()), len(reads))
    value_of, gradients_of = _looping(computed, name), _looping(pulled, f"gradients_of_{name}")

    def through(
        function: Callable[..., Sequence[Tensor]],
        operands: Sequence[Tensor],
        needed: tuple[bool, ...],
        rows: tuple[int | None, ...],
        ends: Sequence[int | None],
        relation: Tensor,
        sizes: Sequence[int],
    ) -> list[Tensor]:
        results: list[Any] = [None] * len(ends)
        dims = [None if row is None else -2 for row in rows]
        for part in _pieces(relation.shape[1], piece, operands[0]):
            pairs = relation[:, part]
            read = [_at_pairs(one, row, pairs, part) for one, row in zip(operands, rows)]
            found = function(read, dims, needed)
            for place, (end, one) in enumerate(zip(ends, found)):
                if end is None:  # (not in place: two results may be one)
                    results[place] = one if results[place] is None else results[place] + one
                elif end < 0:
                    results[place] = _placed(results[place], one, part, relation.shape[1], -2)
                else:
                    results[place] = _scatter(results[place], one, pairs[end], sizes[place], -2)
            del read, found, one  # (the next piece takes their memory)
        return results

    def value(operands: Sequence[Tensor], relations: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        return through(value_of, operands, (), reads, ends, relations[0], every(sizes))

    def gradients(
        operands: list[Tensor], given: list[Tensor], needed: tuple[bool, ...], relations: list[Tensor], sizes: list[int]
    ) -> list[Tensor]:
        goals = [row for row, need in zip(reads, needed) if need]
        counts = [0 if row is None else one.shape[-2] for one, row, need in zip(operands, reads, needed) if need]
        return through(gradients_of, [*operands, *given], needed, (*reads, *ends), goals, relations[0], counts)

    def shapes(operands: Sequence[Tensor], relations: Sequence[Tensor], sizes: Sequence[int]) -> list[list[int]]:
        batch = next(one.shape[:-2] for one, row in zip(operands, reads) if row is not None)
        over = [[] if end is None else [size] for end, size in zip(ends, every(sizes, relations[0].shape[1]))]
        return [[*batch, *more, width] for more, width in zip(over, widths)]

    def every(sizes: Sequence[int], pairs: int = 0) -> list[int]:
        rest = iter(sizes)
        return [pairs if end is None or end < 0 else next(rest) for end in ends]

    return _operator(name, value, gradients, value, shapes)


def _at_pairs(value: Tensor, row: int | None, pairs: Tensor, piece: slice) -> Tensor:
    """What some pairs read of a value: at sites, their own, or what is the same for all."""
    if row is None:
        return value
    return value[..., piece, :] if row < 0 else value.index_select(-2, pairs[row])


def _as_operator(
    stage: _Stage, name: str, keywords: tuple[str, ...], behind: int, outputs: tuple[tuple[str, int], ...]
) -> Callable[..., list[Tensor]]:
    """A stage as an operator that compiled code calls: what ranges over sites goes through them a piece at a time,
    which a compiler would undo. `keywords`: the relations, then the numbers of sites. `behind`: how many dimensions of
    the first operand stand behind the batch. `outputs`: for each what it ranges over, if anything, and its
    dimension."""

    def value(operands: Sequence[Tensor], relations: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        return _listed(_evaluated(stage, (), sites(relations, sizes), tuple(operands)))

    def plain(operands: Sequence[Tensor], relations: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        return _listed(stage.function(*operands, **sites(relations, sizes)))

    def gradients(
        operands: list[Tensor], given: list[Tensor], needed: tuple[bool, ...], relations: list[Tensor], sizes: list[int]
    ) -> list[Tensor]:
        found = _stage_gradients(stage, (), sites(relations, sizes), operands, needed, tuple(given))
        pairs = [(one, operand) for one, operand, need in zip(found, operands, needed) if need]
        return [torch.zeros_like(operand) if one is None else one for one, operand in pairs]

    def shapes(operands: Sequence[Tensor], relations: Sequence[Tensor], sizes: Sequence[int]) -> list[list[int]]:
        batch, found = operands[0].shape[: operands[0].ndim - behind], sites(relations, sizes)
        found = {key: one.shape[1] if isinstance(one, Tensor) else one for key, one in found.items()}
        return [[*batch, *([found[domain]] if domain else []), dim] for domain, dim in outputs]

    def sites(relations: Sequence[Tensor], sizes: Sequence[int]) -> dict[str, Any]:
        return dict(zip(keywords, (*relations, *sizes)))

    return _operator(name, value, gradients, plain, shapes)


def _operator(
    name: str,
    value: Callable[..., list[Tensor]],
    gradients: Callable[..., list[Tensor]],
    plain: Callable[..., list[Tensor]],
    shapes: Callable[..., list[list[int]]],
) -> Callable[..., list[Tensor]]:
    """A function of operands, relations and numbers of sites as an operator for compiled code. What differentiates it
    is another one, `gradients`; where that is differentiated itself, `plain` is."""

    def run(operands: list[Tensor], relations: list[Tensor], sizes: list[int]) -> list[Tensor]:
        with torch.no_grad():
            return _apart(value([one.detach() for one in operands], relations, sizes), operands)

    def fake(operands: list[Tensor], relations: list[Tensor], sizes: list[int]) -> list[Tensor]:
        return [operands[0].new_empty(shape, dtype=_dtype(operands)) for shape in shapes(operands, relations, sizes)]

    def run_gradients(
        operands: list[Tensor], given: list[Tensor], needed: list[bool], relations: list[Tensor], sizes: list[int]
    ) -> list[Tensor]:
        detached = [one.detach() for one in operands], [one.detach() for one in given]
        with torch.no_grad():
            return _apart(gradients(*detached, tuple(needed), relations, sizes), (*operands, *given))

    def fake_gradients(
        operands: list[Tensor], given: list[Tensor], needed: list[bool], relations: list[Tensor], sizes: list[int]
    ) -> list[Tensor]:
        return [one.new_empty(one.shape) for one, need in zip(operands, needed) if need]

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        operands, relations, ctx.sizes = inputs
        ctx.count = len(operands)
        ctx.save_for_backward(*operands, *relations)

    def backward(ctx: Any, given: list[Tensor]) -> tuple[list[Tensor | None], list[None], list[None] | None]:
        operands, relations = list(ctx.saved_tensors[: ctx.count]), list(ctx.saved_tensors[ctx.count :])
        given, needed = [one.contiguous() for one in given], list(ctx.needs_input_grad[0])
        if torch.is_grad_enabled():
            pulled = _pulling(lambda read: plain(read, relations, ctx.sizes), ctx.count)
            found = iter(pulled([*operands, *given], tuple(needed)))
        else:
            found = iter(derivative(operands, given, needed, relations, ctx.sizes))
        results = [next(found) if need else None for need in needed]
        return results, [None] * len(relations), None if ctx.sizes else []  # (an empty list counts as one of tensors)

    schema = "(Tensor[] operands, {}Tensor[] relations, SymInt[] sizes) -> Tensor[]"
    register = functools.partial(torch.library.custom_op, mutates_args=())
    operator = register(f"NAMESPACE::value_{name}", run, schema=schema.format(""))
    given = "Tensor[] given, bool[] needed, "
    derivative = register(f"NAMESPACE::gradients_{name}", run_gradients, schema=schema.format(given))
    operator.register_fake(fake)
    derivative.register_fake(fake_gradients)
    operator.register_autograd(backward, setup_context=setup)
    return operator


def _looping(function: Callable[..., Sequence[Tensor]], name: str) -> Callable[..., Sequence[Tensor]]:
    """A function of a list of tensors and of what is needed, compiled for any length of the dimensions that stand
    beside it (None: of none). A single element has no loop: a compiler would make another one for it."""
    compiled = _compiled_once(function, name)

    def call(read: list[Tensor], dims: Sequence[int | None], needed: tuple[bool, ...]) -> Sequence[Tensor]:
        along = [(one, dim % one.ndim) for one, dim in zip(read, dims) if dim is not None]
        if _is_plain() or any(one.shape[dim] < 2 for one, dim in along):
            return function(read, needed)
        for one, dim in along:
            torch._dynamo.maybe_mark_dynamic(one, dim)
        return compiled(read, needed)

    return call


def _pulling(function: Callable[..., list[Tensor]], count: int) -> Callable[..., Sequence[Tensor]]:
    """What pulls gradients back through a function of so many operands: of those that are needed, from the operands and
    the gradients of the results."""

    def pulled(read: Sequence[Tensor], needed: tuple[bool, ...]) -> Sequence[Tensor]:
        operands, given = read[:count], read[count:]

        def of_needed(*asked: Tensor) -> list[Tensor]:
            rest = iter(asked)
            return function([next(rest) if need else one for one, need in zip(operands, needed)])

        return torch.func.vjp(of_needed, *(one for one, need in zip(operands, needed) if need))[1](list(given))

    return pulled


def _compiled_once(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function compiled when it is called first: it takes seconds to load a compiler. Its code is its own: a compiler
    keeps what it makes of a function there, and not for many."""
    function.__code__ = function.__code__.replace(co_name=name)
    found: list[Callable[..., Any]] = []
    state = torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()

    def call(*arguments: Any) -> Any:
        if not found:
            found.append(torch.compile(function))
        with torch._C._ForceDispatchKeyGuard(*state):  # (an operator's first call is watched, in another state)
            return found[0](*arguments)

    return call


def _apart(results: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """Results of an operator: contiguous, and no memory of an operand or of another result."""
    taken = {one.untyped_storage().data_ptr() for one in given}
    found = []
    for one in results:
        one = one.clone() if one.untyped_storage().data_ptr() in taken else one.contiguous()
        taken.add(one.untyped_storage().data_ptr())
        found.append(one)
    return found

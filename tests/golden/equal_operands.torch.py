# SPDX-License-Identifier: 0BSD
# Written by fusionc 0.1.0 for torch, layout mul_ir. The code is yours; edit the diagram rather than this file.
"""Fusion diagram: EqualOperands.

Operands and outputs have shape [..., dim]: any leading batch dimensions, then the irreps
(for every block all channels, each with its components: the layout `mul_ir`, e3nn's).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["EqualOperands", "equal_operands"]

_HALVES = (torch.float16, torch.bfloat16)
_REAL = (*_HALVES, torch.float32, torch.float64)
_COMPLEX = (torch.complex64, torch.complex128)


def _widened(*values: Tensor) -> tuple[Tensor, ...]:
    """Halves as float32: under autocast, operands arrive in either."""
    return tuple(value.float() if value.dtype in _HALVES else value for value in values)


def _dtype(operands: Sequence[Tensor]) -> torch.dtype:
    """The dtype of a result: that of its operands together, whatever the first is (rows of a table, real weights)."""
    return functools.reduce(torch.promote_types, (operand.dtype for operand in operands))


def _table(size: int, entries: dict[int, float]) -> Tensor:
    """Constant matrices, one behind the other, row-major; what is not listed is zero."""
    table = torch.zeros(size, dtype=torch.float64, device="cpu")
    values = torch.tensor(list(entries.values()), dtype=torch.float64, device="cpu")
    table[torch.tensor(list(entries), dtype=torch.int64, device="cpu")] = values
    return table


class _Kept:
    """Tensors that functions read, or one that is `sizes` lists one behind the other. They stay on every device where
    they were needed, numbers in the dtype of the arithmetic."""

    def __init__(self, *tensors: Tensor, sizes: tuple[int, ...] = ()) -> None:
        self._tensors, self._sizes = tensors, sizes
        self._known: dict[tuple[torch.device, torch.dtype | None], tuple[Tensor, ...]] = {}

    def on(self, device: torch.device, dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
        if _is_plain():  # what is traced is not kept
            return self._moved(device, dtype)
        if (device, dtype) not in self._known:
            with torch.inference_mode(False):
                self._known[device, dtype] = self._moved(device, dtype)
        return self._known[device, dtype]

    def _moved(self, device: torch.device, dtype: torch.dtype | None) -> tuple[Tensor, ...]:
        moved = [one.to(device, dtype if one.is_floating_point() else one.dtype) for one in self._tensors]
        return moved[0].split(self._sizes) if self._sizes else tuple(moved)


def _check_tensor(what: str, value: Tensor) -> None:
    """Raise unless a value is a tensor; say what makes one of it."""
    if not isinstance(value, Tensor):
        kind = type(value)
        found = "a numpy array" if kind.__module__ == "numpy" else kind.__name__
        convertible = kind in (list, tuple) or found != kind.__name__
        hint = f": torch.as_tensor({what.split('`')[1]}) is one" if convertible else ""
        raise TypeError(f"{what} should be a torch.Tensor, and is {found}{hint}")


def _check_leg(leg: str, value: Tensor, size: int, space: str, kinds: tuple[torch.dtype, ...], sites: str = "") -> None:
    """Raise unless a leg has the shape [..., size] (over sites [..., sites, size]) and one of the dtypes."""
    _check_tensor(f"leg `{leg}`", value)
    if value.ndim < (2 if sites else 1) or value.shape[-1] != size:
        shape = f"[..., {sites}, {size}]" if sites else f"[..., {size}]"
        raise ValueError(f"leg `{leg}` should have shape {shape} ({space}), and has {list(value.shape)}")
    if value.dtype not in kinds:
        kind = "complex" if kinds is _COMPLEX else "real floating-point"
        raise TypeError(f"leg `{leg}` should be a {kind} tensor, and is {value.dtype}")


def _check_like(what: str, value: Tensor, first: str, like: Tensor) -> None:
    """Raise unless a tensor has the dtype and the device of the first leg. Weights may be of the real dtype that
    belongs to a complex one; where halves are computed in float32, weights may be float32 too."""
    fits = [like.dtype]
    if not what.startswith("leg") and like.dtype in _COMPLEX:
        fits.append(torch.float32 if like.dtype == torch.complex64 else torch.float64)
    if not what.startswith("leg") and like.dtype in _HALVES:
        fits += [*_HALVES, torch.float32]
    if value.dtype not in fits:
        raise TypeError(f"{what} should be {like.dtype} like leg `{first}`, and is {value.dtype}")
    if value.device != like.device:
        raise ValueError(f"{what} should be on {like.device} like leg `{first}`, and is on {value.device}")


def _check_weight(weight: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless a weight has one number for each path and channel."""
    _check_tensor(f"weight `{weight}`", value)
    if tuple(value.shape) != shape:
        raise ValueError(f"weight `{weight}` should have shape {list(shape)}, and has {list(value.shape)}")


class _Stage(NamedTuple):
    """A function of tensors, and what differentiates it. `kinds`: for each operand how many dimensions stand behind the
    batch (-1: a weight, the same for all). `piece`: how many elements of the batch are evaluated at a time (0: the
    function sees to that itself). `results`: the operands whose gradients it gives (none: it gives the value).
    `width`: the numbers of an element of its value, where the function can write them `into` a place."""

    function: Callable[..., Any]
    kinds: tuple[int, ...]
    piece: int = 0
    results: tuple[int, ...] = ()
    width: int = 0
    derivatives: tuple[_Stage | _Swapped | None, ...] = ()


class _Swapped(NamedTuple):
    """What differentiates the gradient of an operand in which the value is linear: the value and its gradients once
    more, with what is given in the place of the operand. `value` tells the stage of the value."""

    value: Callable[[], _Stage]
    place: int


def _batch(kinds: tuple[int, ...], operands: Sequence[Tensor]) -> torch.Size:
    """The batch dimensions of operands that have so many dimensions behind them (-1: none in front)."""
    first, kind = next((one, kind) for one, kind in zip(operands, kinds) if kind >= 0)
    return first.shape[: first.ndim - kind]


def _in_rows(kinds: tuple[int, ...], operands: Sequence[Tensor]) -> list[Tensor]:
    """Operands with one batch dimension."""
    count = math.prod(_batch(kinds, operands))
    return [
        one if kind < 0 else one.reshape(count, *one.shape[one.ndim - kind :]) for one, kind in zip(operands, kinds)
    ]


def _listed(found: Any) -> list[Any]:
    """What a function returns that returns a tensor or several."""
    return [found] if isinstance(found, Tensor) else list(found)


def _unlisted(results: list[Tensor]) -> Any:
    """A tensor or several, as a function returns them."""
    return results[0] if len(results) == 1 else tuple(results)


def _is_transformed() -> bool:
    """Whether torch.func is at work: here, or in what a compiler follows, which understands just this question."""
    return torch._C._are_functorch_transforms_active()


def _is_plain() -> bool:
    """Whether operations have to be plain ones: for a compiler, for torch.func, for forward derivatives, for whatever
    looks at each operation (`make_fx`, `torch.jit.trace`, fake tensors)."""
    if torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level >= 0:
        return True
    if _is_transformed():
        return True
    return torch._C._len_torch_dispatch_stack() > 0 or torch._C._get_tracing_state() is not None


def _is_recorded() -> bool:
    """Whether operations may be recorded: nothing is written into a place then."""
    return torch.is_grad_enabled() or _is_plain()


def _is_autocast(kind: str) -> bool:
    """Whether a kind of device chooses the dtypes of its operations (some, like meta, never do)."""
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _uncast(value: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Gradients may be asked for under autocast, forces are where energies are: the arithmetic stays what it is."""
    kind = value.device.type
    return torch.autocast(kind, enabled=False) if _is_autocast(kind) else contextlib.nullcontext()


def _is_batched(values: Sequence[Tensor | None]) -> bool:
    """Whether `is_grads_batched` of `torch.autograd` is at work, whose tensors have no memory of their own."""
    return any(one is not None and torch._C._functorch.is_legacy_batchedtensor(one) for one in values)


def _call(stage: _Stage, /, *operands: Tensor, **sites: Tensor | int) -> Any:
    """The value of a diagram. It saves nothing but its operands for the derivative, which computes the rest again."""
    if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
        with _Exported():
            return stage.function(*operands, **sites)
    if _is_plain():
        return stage.function(*operands, **sites)
    if not stage.piece:
        return _recorded(stage, (), sites, operands)
    batch = _batch(stage.kinds, operands)  # (which is cut into pieces along one dimension)
    if len(batch) == 1:
        return _recorded(stage, (), sites, operands)
    results = _listed(_recorded(stage, (), sites, tuple(_in_rows(stage.kinds, operands))))
    return _unlisted([result.reshape(*batch, result.shape[-1]) for result in results])


class _Exported(torch.overrides.TorchFunctionMode):
    """Matrix products and sums of products in what is exported: `torch.export` takes each as a whole, and then does not
    know what its derivative reads. In steps it does."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function in (torch.Tensor.matmul, torch.matmul) and arguments[1].ndim > 1:
            return _matrices_in_steps(*arguments)
        if function is torch.einsum:
            return _sum_in_steps(*arguments)
        return function(*arguments, **(keywords or {}))


def _matrices_in_steps(one: Tensor, two: Tensor) -> Tensor:
    """A product of matrices [..., r, k] and [..., k, c]."""
    if two.ndim == 2:
        return torch.mm(one.reshape(-1, one.shape[-1]), two).view(*one.shape[:-1], two.shape[-1])
    matrix = one if one.ndim > 1 else one.unsqueeze(0)
    batch = torch.broadcast_shapes(matrix.shape[:-2], two.shape[:-2])
    left, right = (side.expand(*batch, *side.shape[-2:]).reshape(-1, *side.shape[-2:]) for side in (matrix, two))
    result = torch.bmm(left, right).view(*batch, matrix.shape[-2], two.shape[-1])
    return result if one.ndim > 1 else result.squeeze(-2)


def _sum_in_steps(text: str, one: Tensor, two: Tensor) -> Tensor:
    """What `torch.einsum` gives for two operands."""
    operands, result = text.split("->")
    sides, batch = [], 0
    for value, letters in zip((one, two), operands.split(",")):
        before, dots, behind = letters.partition("...")
        count = value.ndim - len(before) - len(behind) if dots else 0
        sides.append((value, [*before, *range(-count, 0), *behind]))
        batch = max(batch, count)
    before, dots, behind = result.partition("...")
    kept = [*before, *(range(-batch, 0) if dots else ()), *behind]
    summed = [axis for axis in dict.fromkeys((*sides[0][1], *sides[1][1])) if axis not in kept]
    factors = []
    for value, axes in sides:
        there = [axis in axes for axis in (*kept, *summed)]
        value = value.permute([axes.index(axis) for axis in (*kept, *summed) if axis in axes])
        factors.append(value[tuple(slice(None) if has else None for has in there)])
    product = factors[0] * factors[1]
    return product.sum(tuple(range(len(kept), len(kept) + len(summed)))) if summed else product


def _recorded(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], operands: tuple[Tensor, ...]) -> Any:
    """A stage evaluated, and recorded where a derivative may be asked for."""
    if not torch.is_grad_enabled():
        return _evaluated(stage, needed, sites, operands)
    if any(operand.requires_grad for operand in operands):
        return _Differentiable.apply(stage, needed, sites, *operands)
    with torch.no_grad():  # nothing is recorded, so results may be written where they belong
        found = _evaluated(stage, needed, sites, operands)
    return _detached(found)


def _detached(found: Any) -> Any:
    """Results as tensors of their own: a view that is made where nothing is recorded could not be written into."""
    if isinstance(found, Tensor):
        return found.detach()
    return tuple(None if one is None else one.detach() for one in found)


class _Differentiable(torch.autograd.Function):
    """A stage whose derivative is another stage. (The derivative of the last one is left to autograd.)"""

    @staticmethod
    def forward(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], *operands: Tensor) -> Any:
        return _detached(_evaluated(stage, needed, sites, operands))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.stage, ctx.needed, ctx.sites, *operands = inputs
        ctx.save_for_backward(*operands)
        ctx.set_materialize_grads(not ctx.stage.results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        needed = tuple(
            need and _is_asked(node) for need, (node, _) in zip(ctx.needs_input_grad[3:], ctx.next_functions)
        )
        operands = ctx.saved_tensors  # (checkpoints want to be asked once)
        with _uncast(operands[0]):
            return None, None, None, *_stage_gradients(ctx.stage, ctx.needed, ctx.sites, operands, needed, gradients)


def _stage_gradients(
    stage: _Stage,
    asked: tuple[bool, ...],
    sites: dict[str, Any],
    operands: Sequence[Tensor],
    needed: tuple[bool, ...],
    gradients: tuple[Tensor | None, ...],
) -> list[Tensor | None]:
    """Gradients of a stage's operands, by the stages that compute them (`asked`: which results it had)."""
    if not stage.derivatives or _is_batched(gradients):
        return _by_autograd(stage, asked, sites, operands, needed, gradients)
    found: list[Tensor | None] = [None] * len(operands)
    separate = [(gradient,) for gradient in gradients] if stage.results else [gradients]
    for derivative, given in zip(stage.derivatives, separate):
        if derivative is None or given[0] is None:
            continue
        given = tuple(_conjugate(one) for one in given)
        if isinstance(derivative, _Swapped):
            pairs = _swapped(derivative, stage, sites, operands, needed, *given)
        else:
            pairs = zip(derivative.results, _recorded(derivative, needed, sites, (*operands, *given)))
        for place, part in pairs:
            if part is not None:
                part = _conjugate(part)
                found[place] = part if found[place] is None else found[place] + part
    return found


def _swapped(
    derivative: _Swapped,
    stage: _Stage,
    sites: dict[str, Any],
    operands: Sequence[Tensor],
    needed: tuple[bool, ...],
    given: Tensor,
) -> Iterator[tuple[int, Tensor | None]]:
    """The derivatives of <given, gradient of an operand>, which is <cotangents, value> with the given in its place:
    by the other operands they are gradients, by the cotangents the value. `stage` computes the gradients."""
    value, place = derivative
    count = len(value().kinds)
    moved = (*operands[:place], given, *operands[place + 1 : count])
    others = tuple(need and at != place for at, need in enumerate(needed[:count]))
    if any(others):
        yield from zip(stage.results, _recorded(stage, others, sites, (*moved, *operands[count:])))
    if any(needed[count:]):
        yield from enumerate(_listed(_recorded(value(), (), sites, moved)), start=count)


def _is_asked(node: Any) -> bool:
    """Whether the backward pass that is under way goes on to a node."""
    try:
        return node is not None and torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf whose gradient is returned
        return True


def _conjugate(value: Tensor) -> Tensor:
    """Gradients of complex numbers are conjugates of derivatives."""
    return value.conj().resolve_conj() if value.is_complex() else value


def _by_autograd(
    stage: _Stage, asked: Any, sites: Any, operands: Sequence[Tensor], needed: Sequence[bool], gradients: Sequence[Any]
) -> list[Tensor | None]:
    """The gradients of a stage, recorded statement by statement."""
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        if not recorded:
            operands = tuple(one.detach().requires_grad_(need) for one, need in zip(operands, needed))
        outputs = _listed(stage.function(*operands, **sites, **({"needed": asked} if stage.results else {})))
    pairs = [(output, one) for output, one in zip(outputs, gradients) if one is not None and output is not None]
    pairs = [(output, one) for output, one in pairs if output.requires_grad]
    wanted = [one for one, need in zip(operands, needed) if need]
    if not pairs or not wanted:
        return [None] * len(operands)
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs], wanted, [one for _, one in pairs], create_graph=recorded, allow_unused=True
        )
    )
    return [next(found) if need else None for need in needed]


def _evaluated(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], operands: tuple[Tensor, ...]) -> Any:
    """A stage, a piece of the batch at a time: what is in between stays in a cache. Results are written where they
    belong; gradients of weights are added up."""
    keywords = {**sites, "needed": needed} if stage.results else dict(sites)
    if not stage.piece:  # over sites operands have batches as they come, and may have none
        return stage.function(*operands, **keywords)
    count = next((operand.shape[0] for operand, kind in zip(operands, stage.kinds) if kind >= 0), 0)
    pieces = _pieces(count, stage.piece, operands[0])
    if len(pieces) < 2:
        return stage.function(*operands, **keywords)
    results: list[Any] = []
    if stage.width:
        results = [operands[0].new_empty((count, stage.width), dtype=_dtype(operands))]
    for piece in pieces:
        if stage.width:
            keywords["into"] = results[0][piece]
        parts = stage.function(
            *(operand if kind < 0 else operand[piece] for operand, kind in zip(operands, stage.kinds)), **keywords
        )
        if stage.width:
            continue
        parts = _listed(parts)
        results = results or [None] * len(parts)
        for place, part in enumerate(parts):
            if part is None:
                continue
            if stage.results and stage.kinds[stage.results[place]] < 0:
                results[place] = _added(results[place], part)
            else:
                results[place] = _placed(results[place], part, piece, count, 0)
    return tuple(results) if stage.results or len(results) > 1 else results[0]


def _pieces(count: int, size: int, like: Tensor) -> list[slice]:
    """So many elements in pieces of about a size (a quarter more is no reason for another one), at least one; all at
    once where a statement may be recorded. A GPU has more memory to fill."""
    if _is_recorded():
        return [slice(None)]
    number = max(1, math.ceil(count / (size if like.device.type == "cpu" else size * 256) - 0.25))
    step = max(1, -(-count // number))
    return [slice(start, start + step) for start in range(0, max(count, 1), step)]


def _placed(whole: Tensor | None, part: Tensor, piece: slice, count: int, dim: int) -> Tensor:
    """A piece put into the whole of `count` elements along a dimension, which the first piece makes."""
    if part.shape[dim] == count:
        return part
    if whole is None:
        shape = list(part.shape)
        shape[dim] = count
        whole = part.new_empty(shape)
    whole.movedim(dim, 0)[piece] = part.movedim(dim, 0)
    return whole


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    """A piece added to the sum of those before it."""
    return part if total is None else total.add_(part)


def _assembled(parts: tuple[Any, ...]) -> Tensor:
    """An output put together from its parts."""
    return torch.cat([torch.stack(part, -1).flatten(-2) if isinstance(part, tuple) else part for part in parts], -1)


def _compiled(parts: Callable[..., tuple[tuple[Any, ...], ...]], *operands: Tensor) -> Any:
    """The value of a diagram in code that is compiled: plain statements, of which a compiler makes one loop. `parts`
    gives for each output what stands side by side in it (in a tuple: interleaved)."""
    return _unlisted([_assembled(output) for output in parts(*operands)])


def _summed_up(value: Tensor, own: int) -> Tensor:
    """A sum over all dimensions but the last `own`."""
    return value.flatten(0, -1 - own).sum(0) if value.ndim > own else value


def _behind(parts: tuple[tuple[Tensor, int, Tensor | None], ...], into: Tensor | None = None) -> Tensor:
    """Parts of an output, one behind the other, each times its weights if there are any; the last so many dimensions of
    a part are its numbers."""
    if _is_recorded():
        weighed = [(part if weights is None else part * weights, own) for part, own, weights in parts]
        return torch.cat([part.flatten(-own) for part, own in weighed], -1)
    shapes = [part.shape[-own:] for part, own, _ in parts]
    sizes = [shape.numel() for shape in shapes]
    first, own, _ = parts[0]
    out = first.new_empty((*first.shape[:-own], sum(sizes))) if into is None else into
    for (part, _, weights), shape, view in zip(parts, shapes, out.split(sizes, -1)):
        place = torch.unflatten(view, -1, shape)
        place.copy_(part) if weights is None else torch.mul(part, weights, out=place)
    return out


def _times(fresh: Tensor, other: Tensor) -> Tensor:
    """A product, in the memory of its first factor, which nothing else needs, where nothing is recorded."""
    return fresh * other if _is_recorded() else fresh.mul_(other)


def _sums(value: Tensor, columns: Tensor, starts: Tensor, width: int, factors: Tensor | None = None) -> Tensor:
    """A sparse matrix applied to rows: row k of the result is the sum of the rows `columns[starts[k] : starts[k + 1]]`
    (`width` at most), each times its factor."""
    flat = value.flatten(1) if value.ndim > 1 else value[:, None]
    if not (value.is_complex() or _is_recorded()) and flat.shape[1]:
        result = torch.embedding_bag(flat, columns, starts, mode=0, per_sample_weights=factors)[0]
        return result.view(starts.shape[0], *value.shape[1:])
    places = starts[:, None] + torch.arange(width, device=starts.device)
    inside = places < torch.cat((starts[1:], starts.new_full((1,), columns.shape[0])))[:, None]
    places = places.clamp(max=columns.shape[0] - 1)
    used = inside.to(flat.dtype) if factors is None else inside * factors[places]
    return (flat[columns[places]] * used[..., None]).sum(1).view(starts.shape[0], *value.shape[1:])


def _mixed(matrix: Tensor, rows: Tensor) -> Tensor:
    """A matrix [r, c] applied to rows [c, ...]: [r, ...]."""
    flat = rows.flatten(1) if rows.ndim > 1 else rows[:, None]
    return torch.mm(matrix, flat).view(matrix.shape[0], *rows.shape[1:])


def _scaled(factors: Tensor, rows: Tensor) -> Tensor:
    """Every row times a number of its own."""
    return rows * factors.view(-1, *[1] * (rows.ndim - 1))


def _unbatched(rows: Tensor, like: Tensor, others: int) -> Tensor:
    """Rows of weights that are the same for all elements of the batch: axes of size one for the batch of `like`."""
    batch = like.ndim - 1 - others
    return rows.reshape(rows.shape[0], *[1] * batch, *rows.shape[1:]) if batch else rows


def _everywhere(value: Tensor, dim: int, batch: tuple[int, ...]) -> Tensor:
    """A value without a batch, the same for all elements of one; `dim` is the axis of its components."""
    if dim == 0:
        return value[:, *[None] * len(batch)].expand(-1, *batch, *value.shape[1:])
    return value.expand(*batch, *value.shape)


_EQUAL_OPERANDS_CONSTANTS = _Kept(
    _table(
        36,
        {
            # W3, recoupled
            0: 0.5773502691896257, 1: 0.5773502691896257, 2: 0.3333333333333333, 3: 0.3333333333333333,
            # W1, recoupled
            4: 0.5773502691896257, 7: 0.5773502691896257,
            # grad of W1, recoupled
            8: 1.0, 13: 1.0, 14: 1.0, 15: 1.0,
            # grad of a
            16: 2.0, 17: 1.0, 18: 1.0, 19: 1.0, 20: 1.0, 21: 2.0, 22: 1.0, 23: 2.0, 24: 1.0, 25: 2.0,
            # grad of grad of a a
            26: 2.0, 27: 1.0, 28: 1.0, 29: 1.0, 30: 1.0, 31: 1.0, 32: 1.0, 33: 2.0, 34: 2.0, 35: 2.0,
        },
    ),
    sizes=(
        4, 4, 8, 10, 10,
    ),
)
_EQUAL_OPERANDS_INDICES = _Kept(
    torch.tensor(
        [
            0, 0, 0, 0, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 0, 0, 4, 1, 2, 3, 0,
            1, 3, 2, 2, 2, 0, 1, 2, 3, 4, 5, 0, 1, 3, 4, 5, 0, 2, 3, 4, 1, 1, 1, 0, 4, 5, 6, 0, 1, 1, 1, 0, 0,
            1, 0, 2, 0, 3, 0, 2, 1, 3, 1, 4, 1, 0, 1, 3, 5, 0, 1, 2, 3, 0, 0, 0, 0, 1, 4, 5, 6, 0, 1, 2, 3, 4,
            1, 0, 1, 2, 2, 2, 3, 0, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4, 0, 1, 2, 5, 0, 1, 2, 3, 1, 4, 2, 4, 3, 4, 0,
            1, 2, 3, 0, 1, 0, 2, 0, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 4, 6, 8, 0, 0, 1, 0, 2, 0, 3, 1, 2, 3,
            0, 1, 0, 2, 0, 3, 0, 1, 2, 3, 0, 1, 3, 5, 7, 0, 1, 2, 1, 3, 1, 4, 0, 1, 0, 2, 0, 3, 0,
        ],
        dtype=torch.int64,
        device="cpu",
    ),
    sizes=(
        7, 7, 7, 5, 6, 6, 6, 5, 7, 4, 4, 7, 7, 4, 7, 5, 6, 6, 5, 6, 4, 10, 10, 10, 4, 10, 10, 5, 7, 7,
    ),
)


def _equal_operands(a: Tensor, W1: Tensor, W3: Tensor, into: Tensor | None = None) -> Tensor:
    """The arithmetic of `equal_operands`."""
    constants = _EQUAL_OPERANDS_CONSTANTS.on(a.device, a.dtype)
    index = _EQUAL_OPERANDS_INDICES.on(a.device)
    a_2 = torch.cat(
        (
            torch.unflatten(a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    p = _times(a_2.index_select(0, index[0]), a_2.index_select(0, index[1]))
    t = _sums(p, index[2], index[3], 3)
    del p
    W3_2 = torch.unflatten(W3, -1, (4, 2))
    t_2 = _scaled(constants[0], W3_2)
    p_2 = _times(t.index_select(0, index[4]), _unbatched(t_2.index_select(0, index[5]), t, 1))
    del t, t_2
    t_3 = _sums(p_2, index[6], index[7], 2)
    del p_2
    p_3 = _times(a_2.index_select(0, index[1]), t_3.index_select(0, index[8]))
    del t_3
    t_4 = _sums(p_3, index[2], index[9], 4)
    del p_3
    W1_2 = torch.unflatten(W1, -1, (2, 2))
    t_5 = _mixed(constants[1].view(2, 2), W1_2)
    t_6 = a_2 * _unbatched(t_5.index_select(0, index[10]), a_2, 1)
    del t_5
    t_7 = t_4 + t_6
    del t_4, t_6
    out = _behind(
        (
            (t_7[0:1].movedim(0, -2), 2, None),
            (t_7[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
        ),
        into,
    )
    del t_7

    return out


def _equal_operands_scalar(a: Tensor, W1: Tensor, W3: Tensor) -> tuple[tuple[Any, ...], ...]:
    """The arithmetic of `equal_operands` component by component: what a compiler makes one loop of."""
    a_2, = torch.unflatten(a[..., 0:2], -1, (2, 1)).unbind(-1)
    a_3, a_4, a_5 = torch.unflatten(a[..., 2:8], -1, (2, 3)).unbind(-1)
    t = a_2 * a_2
    t_2 = a_2 * a_3
    t_3 = a_2 * a_4
    t_4 = a_2 * a_5
    t_5 = a_3 * a_3 + a_4 * a_4 + a_5 * a_5
    W3_2, W3_3, W3_4, W3_5 = torch.unflatten(W3[..., 0:8], -1, (4, 2)).unbind(-2)
    t_6 = 0.5773502691896257 * W3_2
    t_7 = 0.5773502691896257 * W3_3
    t_8 = 0.3333333333333333 * W3_4
    t_9 = 0.3333333333333333 * W3_5
    t_10 = t * t_6
    t_11 = t * t_7 + t_5 * t_9
    t_12 = t_2 * t_8
    t_13 = t_3 * t_8
    t_14 = t_4 * t_8
    t_15 = a_2 * t_10 + a_3 * t_12 + a_4 * t_13 + a_5 * t_14
    t_16 = a_3 * t_11
    t_17 = a_4 * t_11
    t_18 = a_5 * t_11
    W1_2, W1_3 = torch.unflatten(W1[..., 0:4], -1, (2, 2)).unbind(-2)
    t_19 = 0.5773502691896257 * W1_2
    t_20 = 0.5773502691896257 * W1_3
    t_21 = a_2 * t_19
    t_22 = a_3 * t_20
    t_23 = a_4 * t_20
    t_24 = a_5 * t_20
    t_25 = t_15 + t_21
    t_26 = t_16 + t_22
    t_27 = t_17 + t_23
    t_28 = t_18 + t_24

    return (
        (
            t_25, (t_26, t_27, t_28),
        ),
    )


def _equal_operands_gradients(
    a: Tensor, W1: Tensor, W3: Tensor, grad_out: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of `equal_operands`: of <grad, value> by every operand that is needed."""
    constants = _EQUAL_OPERANDS_CONSTANTS.on(a.device, a.dtype)
    index = _EQUAL_OPERANDS_INDICES.on(a.device)
    a_2 = torch.cat(
        (
            torch.unflatten(a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[0] or needed[2]:
        p = _times(a_2.index_select(0, index[0]), a_2.index_select(0, index[1]))
        t = _sums(p, index[2], index[3], 3)
        del p
    W3_2 = torch.unflatten(W3, -1, (4, 2))
    if needed[0]:
        t_2 = _scaled(constants[0], W3_2)
        p_2 = _times(t.index_select(0, index[4]), _unbatched(t_2.index_select(0, index[5]), t, 1))
        t_3 = _sums(p_2, index[6], index[7], 2)
        del p_2
    W1_2 = torch.unflatten(W1, -1, (2, 2))
    if needed[0]:
        t_4 = _mixed(constants[1].view(2, 2), W1_2)
    grad_out_2 = torch.cat(
        (
            torch.unflatten(grad_out[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[0]:
        t_5 = grad_out_2 * _unbatched(t_4.index_select(0, index[10]), grad_out_2, 1)
        del t_4
    if needed[1]:
        p_3 = grad_out_2 * a_2
        t_6 = _mixed(constants[2].view(2, 4), p_3)
        del p_3
        s = _summed_up(t_6.movedim(0, -2), 2)
        del t_6
        t_7 = _mixed(constants[1].view(2, 2), s)
    if needed[0]:
        p_4 = _times(grad_out_2.index_select(0, index[11]), t_3.index_select(0, index[12]))
        del t_3
        t_8 = _sums(p_4, index[2], index[13], 2)
        del p_4
    if needed[0] or needed[2]:
        p_5 = _times(grad_out_2.index_select(0, index[14]), a_2.index_select(0, index[1]))
        t_9 = _sums(p_5, index[2], index[15], 3)
        del p_5
    if needed[0]:
        p_6 = _times(t_9.index_select(0, index[16]), _unbatched(t_2.index_select(0, index[17]), t_9, 1))
        del t_2
        t_10 = _sums(p_6, index[6], index[18], 2)
        del p_6
    if needed[2]:
        p_7 = _times(t_9.index_select(0, index[16]), t.index_select(0, index[19]))
        t_11 = _sums(p_7, index[6], index[20], 3)
        del p_7
        s_2 = _summed_up(t_11.movedim(0, -2), 2)
        del t_11
        t_12 = _scaled(constants[0], s_2)
    if needed[0]:
        p_8 = _times(t_10.index_select(0, index[21]), a_2.index_select(0, index[22]))
        del t_10
        t_13 = _sums(p_8, index[23], index[24], 4, constants[3])
        del p_8
        t_14 = t_5 + t_8 + t_13
        del t_5, t_8, t_13
        out = _behind(
            (
                (t_14[0:1].movedim(0, -2), 2, None),
                (t_14[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_14

    return out if needed[0] else None, t_7.movedim(0, -2).flatten(-2) if needed[1] else None, t_12.movedim(0, -2).flatten(-2) if needed[2] else None


def _equal_operands_gradients_a(
    a: Tensor, W1: Tensor, W3: Tensor, grad_out: Tensor, grad_grad_a: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of one of those gradients, that of `a`, by every operand that is needed."""
    constants = _EQUAL_OPERANDS_CONSTANTS.on(a.device, a.dtype)
    index = _EQUAL_OPERANDS_INDICES.on(a.device)
    a_2 = torch.cat(
        (
            torch.unflatten(a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[3] or needed[2]:
        p = _times(a_2.index_select(0, index[0]), a_2.index_select(0, index[1]))
        t = _sums(p, index[2], index[3], 3)
        del p
    W3_2 = torch.unflatten(W3, -1, (4, 2))
    if needed[0] or needed[3]:
        t_2 = _scaled(constants[0], W3_2)
    if needed[3]:
        p_2 = _times(t.index_select(0, index[4]), _unbatched(t_2.index_select(0, index[5]), t, 1))
        t_3 = _sums(p_2, index[6], index[7], 2)
        del p_2
    W1_2 = torch.unflatten(W1, -1, (2, 2))
    if needed[3]:
        t_4 = _mixed(constants[1].view(2, 2), W1_2)
    grad_out_2 = torch.cat(
        (
            torch.unflatten(grad_out[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[0] or needed[2]:
        p_3 = _times(grad_out_2.index_select(0, index[14]), a_2.index_select(0, index[1]))
        t_5 = _sums(p_3, index[2], index[15], 3)
        del p_3
    if needed[0]:
        p_4 = _times(t_5.index_select(0, index[16]), _unbatched(t_2.index_select(0, index[17]), t_5, 1))
        t_6 = _sums(p_4, index[6], index[18], 2)
        del p_4
    grad_grad_a_2 = torch.cat(
        (
            torch.unflatten(grad_grad_a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(grad_grad_a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[0] or needed[3] or needed[2]:
        p_5 = _times(grad_grad_a_2.index_select(0, index[25]), a_2.index_select(0, index[26]))
        t_7 = _sums(p_5, index[23], index[27], 3, constants[4])
        del p_5
    if needed[0]:
        p_6 = _times(grad_grad_a_2.index_select(0, index[22]), t_6.index_select(0, index[21]))
        del t_6
        t_8 = _sums(p_6, index[23], index[24], 4, constants[3])
        del p_6
    if needed[0] or needed[3]:
        p_7 = _times(t_7.index_select(0, index[4]), _unbatched(t_2.index_select(0, index[5]), t_7, 1))
        t_9 = _sums(p_7, index[6], index[7], 2)
        del p_7
    if needed[2]:
        p_8 = _times(t_7.index_select(0, index[19]), t_5.index_select(0, index[16]))
        t_10 = _sums(p_8, index[6], index[20], 3)
        del p_8
        s = _summed_up(t_10.movedim(0, -2), 2)
        del t_10
    if needed[3]:
        p_9 = _times(t_9.index_select(0, index[8]), a_2.index_select(0, index[1]))
        t_11 = _sums(p_9, index[2], index[9], 4)
        del p_9
    if needed[0]:
        p_10 = _times(t_9.index_select(0, index[28]), grad_out_2.index_select(0, index[29]))
        t_12 = _sums(p_10, index[2], index[13], 2)
        del p_10
    if needed[3]:
        p_11 = _times(grad_grad_a_2.index_select(0, index[1]), t_3.index_select(0, index[8]))
        del t_3
        t_13 = _sums(p_11, index[2], index[9], 4)
        del p_11
    if needed[0] or needed[2]:
        p_12 = _times(grad_grad_a_2.index_select(0, index[1]), grad_out_2.index_select(0, index[14]))
        t_14 = _sums(p_12, index[2], index[15], 3)
        del p_12
    if needed[3]:
        t_15 = grad_grad_a_2 * _unbatched(t_4.index_select(0, index[10]), grad_grad_a_2, 1)
        del t_4
    if needed[1]:
        p_13 = grad_grad_a_2 * grad_out_2
        t_16 = _mixed(constants[2].view(2, 4), p_13)
        del p_13
        s_2 = _summed_up(t_16.movedim(0, -2), 2)
        del t_16
    if needed[3]:
        t_17 = t_11 + t_13 + t_15
        del t_11, t_13, t_15
    if needed[1]:
        t_18 = _mixed(constants[1].view(2, 2), s_2)
    if needed[0]:
        p_14 = _times(t_14.index_select(0, index[16]), _unbatched(t_2.index_select(0, index[17]), t_14, 1))
        t_19 = _sums(p_14, index[6], index[18], 2)
        del p_14
    if needed[2]:
        p_15 = _times(t_14.index_select(0, index[16]), t.index_select(0, index[19]))
        t_20 = _sums(p_15, index[6], index[20], 3)
        del p_15
        s_3 = _summed_up(t_20.movedim(0, -2), 2)
        del t_20
        t_21 = s + s_3
        t_22 = _scaled(constants[0], t_21)
        del t_21
    if needed[0]:
        p_16 = _times(t_19.index_select(0, index[21]), a_2.index_select(0, index[22]))
        del t_19
        t_23 = _sums(p_16, index[23], index[24], 4, constants[3])
        del p_16
        t_24 = t_8 + t_12 + t_23
        del t_8, t_12, t_23
        out = _behind(
            (
                (t_24[0:1].movedim(0, -2), 2, None),
                (t_24[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_24
    if needed[3]:
        out_2 = _behind(
            (
                (t_17[0:1].movedim(0, -2), 2, None),
                (t_17[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_17

    return out if needed[0] else None, out_2 if needed[3] else None, t_18.movedim(0, -2).flatten(-2) if needed[1] else None, t_22.movedim(0, -2).flatten(-2) if needed[2] else None


def _equal_operands_gradients_W1(
    a: Tensor, W1: Tensor, W3: Tensor, grad_out: Tensor, grad_grad_W1: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of one of those gradients, that of `W1`, by every operand that is needed."""
    constants = _EQUAL_OPERANDS_CONSTANTS.on(a.device, a.dtype)
    index = _EQUAL_OPERANDS_INDICES.on(a.device)
    a_2 = torch.cat(
        (
            torch.unflatten(a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    grad_out_2 = torch.cat(
        (
            torch.unflatten(grad_out[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    grad_grad_W1_2 = torch.unflatten(grad_grad_W1, -1, (2, 2))
    t = _mixed(constants[1].view(2, 2), grad_grad_W1_2)
    s = _everywhere(t, 0, (*a.shape[:-1],))
    del t
    if needed[3]:
        t_2 = _times(s.index_select(0, index[10]), a_2)
    if needed[0]:
        t_3 = _times(s.index_select(0, index[10]), grad_out_2)
        out = _behind(
            (
                (t_3[0:1].movedim(0, -2), 2, None),
                (t_3[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_3
    if needed[3]:
        out_2 = _behind(
            (
                (t_2[0:1].movedim(0, -2), 2, None),
                (t_2[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_2

    return out if needed[0] else None, out_2 if needed[3] else None


def _equal_operands_gradients_W3(
    a: Tensor, W1: Tensor, W3: Tensor, grad_out: Tensor, grad_grad_W3: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of one of those gradients, that of `W3`, by every operand that is needed."""
    constants = _EQUAL_OPERANDS_CONSTANTS.on(a.device, a.dtype)
    index = _EQUAL_OPERANDS_INDICES.on(a.device)
    a_2 = torch.cat(
        (
            torch.unflatten(a[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(a[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    p = _times(a_2.index_select(0, index[0]), a_2.index_select(0, index[1]))
    t = _sums(p, index[2], index[3], 3)
    del p
    grad_out_2 = torch.cat(
        (
            torch.unflatten(grad_out[..., 0:2], -1, (2, 1)).movedim(-1, 0),
            torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).movedim(-1, 0),
        ),
    )
    if needed[0]:
        p_2 = _times(grad_out_2.index_select(0, index[14]), a_2.index_select(0, index[1]))
        t_2 = _sums(p_2, index[2], index[15], 3)
        del p_2
    grad_grad_W3_2 = torch.unflatten(grad_grad_W3, -1, (4, 2))
    t_3 = _scaled(constants[0], grad_grad_W3_2)
    s = _everywhere(t_3, 0, (*a.shape[:-1],))
    del t_3
    p_3 = _times(s.index_select(0, index[5]), t.index_select(0, index[4]))
    del t
    t_4 = _sums(p_3, index[6], index[7], 2)
    del p_3
    if needed[0]:
        p_4 = _times(s.index_select(0, index[17]), t_2.index_select(0, index[16]))
        del t_2
        t_5 = _sums(p_4, index[6], index[18], 2)
        del p_4
    if needed[3]:
        p_5 = _times(t_4.index_select(0, index[8]), a_2.index_select(0, index[1]))
        t_6 = _sums(p_5, index[2], index[9], 4)
        del p_5
    if needed[0]:
        p_6 = _times(t_4.index_select(0, index[28]), grad_out_2.index_select(0, index[29]))
        t_7 = _sums(p_6, index[2], index[13], 2)
        del p_6
        p_7 = _times(t_5.index_select(0, index[21]), a_2.index_select(0, index[22]))
        del t_5
        t_8 = _sums(p_7, index[23], index[24], 4, constants[3])
        del p_7
        t_9 = t_7 + t_8
        del t_7, t_8
        out = _behind(
            (
                (t_9[0:1].movedim(0, -2), 2, None),
                (t_9[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_9
    if needed[3]:
        out_2 = _behind(
            (
                (t_6[0:1].movedim(0, -2), 2, None),
                (t_6[1:4].movedim(0, -2).transpose(-1, -2), 2, None),
            ),
        )
        del t_6

    return out if needed[0] else None, out_2 if needed[3] else None


_EQUAL_OPERANDS = _Stage(
    _equal_operands,
    kinds=(1, -1, -1),
    piece=80660,
    width=8,
    derivatives=(
        _Stage(
            _equal_operands_gradients,
            kinds=(1, -1, -1, 1),
            piece=46510,
            results=(0, 1, 2),
            derivatives=(
                _Stage(
                    _equal_operands_gradients_a,
                    kinds=(1, -1, -1, 1, 1),
                    piece=41667,
                    results=(0, 3, 1, 2),
                ),
                _Stage(
                    _equal_operands_gradients_W1,
                    kinds=(1, -1, -1, 1, -1),
                    piece=116509,
                    results=(0, 3),
                ),
                _Stage(
                    _equal_operands_gradients_W3,
                    kinds=(1, -1, -1, 1, -1),
                    piece=41121,
                    results=(0, 3),
                ),
            ),
        ),
    ),
)

_EQUAL_OPERANDS_WEIGHTS = "43cee71061ca56a4"
"""What the weights mean: their paths, whatever plan evaluates them. A state dict carries it, and refuses other weights."""


def equal_operands(a: Tensor, W1: Tensor, W3: Tensor) -> Tensor:
    """The diagram `equal_operands`:

        diagram equal_operands(a: 2x0e + 2x1o) -> 2x0e + 2x1o {
            a[u] -> out[u] * W1[path, u]
            a[u] a[u] a[u] -> out[u] * W3[path, u]
        }

    a: [..., 8], 2x0e + 2x1o
    W1: [4], learned
    W3: [8], learned
    -> out: [..., 8], 2x0e + 2x1o
    """
    _check_leg("a", a, 8, "2x0e + 2x1o", _REAL)
    if _is_autocast(a.device.type):
        with torch.autocast(a.device.type, enabled=False):
            return equal_operands(*_widened(a, W1, W3))
    _check_weight("W1", W1, (4,))
    _check_like("weight `W1`", W1, "a", a)
    _check_weight("W3", W3, (8,))
    _check_like("weight `W3`", W3, "a", a)
    dtype = a.dtype
    compute = torch.float32 if dtype in _HALVES else dtype
    if dtype in _HALVES:
        a, W1, W3 = a.to(compute), W1.to(compute), W3.to(compute)

    result = _compiled(_equal_operands_scalar, a, W1, W3) if torch.compiler.is_compiling() else _call(_EQUAL_OPERANDS, a, W1, W3)
    return result.to(dtype).contiguous()


class EqualOperands(nn.Module):
    """The diagram `equal_operands`, with its learned weights W1, W3."""

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        nn.Module.__init__(self)
        self.W1 = nn.Parameter(torch.randn(4, device=device, dtype=dtype))
        self.W3 = nn.Parameter(torch.randn(8, device=device, dtype=dtype))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata.setdefault(prefix[:-1], {})["weights"] = _EQUAL_OPERANDS_WEIGHTS

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("weights", _EQUAL_OPERANDS_WEIGHTS) == _EQUAL_OPERANDS_WEIGHTS:
            nn.Module._load_from_state_dict(self, state, prefix, metadata, *rest)
        else:
            rest[-1].append("the weights belong to other paths than those of `equal_operands`")

    def forward(self, a: Tensor) -> Tensor:
        return equal_operands(a, self.W1, self.W3)

    def extra_repr(self) -> str:
        return "2x0e + 2x1o -> 2x0e + 2x1o"

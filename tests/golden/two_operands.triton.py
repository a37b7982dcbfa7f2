# SPDX-License-Identifier: 0BSD
# Written by fusionc 0.1.0 for triton, layout mul_ir. The code is yours; edit the diagram rather than this file.
"""Fusion diagram: TwoOperands.

Operands and outputs have shape [..., dim]: any leading batch dimensions, then the irreps
(for every block all channels, each with its components: the layout `mul_ir`, e3nn's).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

try:
    import triton
    import triton.language as tl
except ImportError:  # kernels are for GPUs; plain torch does the same elsewhere
    triton = tl = None

__all__ = ["TwoOperands", "two_operands"]

_HALVES = (torch.float16, torch.bfloat16)
_REAL = (*_HALVES, torch.float32, torch.float64)
_COMPLEX = (torch.complex64, torch.complex128)


def _widened(*values: Tensor) -> tuple[Tensor, ...]:
    """Halves as float32: under autocast, operands arrive in either."""
    return tuple(value.float() if value.dtype in _HALVES else value for value in values)


def _dtype(operands: Sequence[Tensor]) -> torch.dtype:
    """The dtype of a result: that of its operands together, whatever the first is (rows of a table, real weights)."""
    return functools.reduce(torch.promote_types, (operand.dtype for operand in operands))


def _compute(value: Tensor) -> torch.dtype:
    """The dtype of the arithmetic: halves are computed in float32."""
    return torch.float32 if value.dtype in _HALVES else value.dtype


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


def _broadcast(names: tuple[str, ...], legs: tuple[Tensor, ...], last: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Give all legs one batch shape; `last` says how many dimensions of each are not batch."""
    shapes = [leg.shape[: leg.ndim - keep] for leg, keep in zip(legs, last)]
    if all(shape == shapes[0] for shape in shapes):
        return legs
    for place, shape in enumerate(shapes):
        for other, before in zip(names, shapes[:place]):
            if any(m != n and m != 1 and n != 1 for m, n in zip(reversed(shape), reversed(before))):
                raise ValueError(
                    f"the batch shapes of the legs `{other}` and `{names[place]}` should broadcast, "
                    f"and are {list(before)} and {list(shape)}"
                )
    batch = torch.broadcast_shapes(*shapes)
    return tuple(leg.expand(*batch, *leg.shape[leg.ndim - keep :]) for leg, keep in zip(legs, last))


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


def _is_opaque() -> bool:
    """Whether this is compiled, into code that may have operators which only Python knows: an exported program is to
    run without, and torch.func cannot look into them (tangents would be zero)."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting() and not _is_transformed()


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


def _correlated(own: Tensor, shared: Tensor, groups: tuple[tuple[int, int, int, int], ...], dim: int) -> Tensor:
    """Products summed over all elements: in each group (place, place, rows, columns) rows of components of one operand
    meet the same row of the other, and are added up along it. (Over the elements first: memory is read in order.)"""
    parts = []
    for first, second, rows, columns in groups:
        part = torch.unflatten(own.narrow(dim, first, rows * columns), dim, (rows, columns))
        part = part * shared.narrow(dim, second, columns).unsqueeze(dim - 1)
        parts.append(_summed_up(part, 1 - dim).sum(dim))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _added_products(left: Tensor, right: Tensor, grids: tuple[tuple[int, int, bool], ...], dim: int) -> Tensor:
    """Products of components, added up, in grids [rows, columns] of components: those of each column, or of each row.
    Where nothing is recorded, row by row into the sums: the products themselves are never in memory."""
    sizes = [rows * columns for rows, columns, _ in grids]
    if right.shape[dim] < sum(sizes):  # one component that meets all
        right = right.expand(*[-1] * (right.ndim + dim), sum(sizes), *[-1] * (-1 - dim))
    if _is_recorded() or left.dtype != right.dtype:
        parts = []
        for (rows, columns, across), part in zip(grids, (left * right).split(sizes, dim)):
            parts.append(torch.unflatten(part, dim, (rows, columns)).sum(dim - 1 if across else dim))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    counts = [columns if across else rows for rows, columns, across in grids]
    shape = list(torch.broadcast_shapes(left.shape, right.shape))
    shape[dim] = sum(counts)
    sums = left.new_empty(shape)
    pieces = zip(grids, left.split(sizes, dim), right.split(sizes, dim), sums.split(counts, dim))
    for (rows, columns, across), one, other, place in pieces:
        along = dim - 1 if across else dim
        ones, others = (torch.unflatten(side, dim, (rows, columns)).unbind(along) for side in (one, other))
        torch.mul(ones[0], others[0], out=place)
        for pair in zip(ones[1:], others[1:]):
            place.addcmul_(*pair)
    return sums


def _selected(value: Tensor, places: Tensor, dim: int) -> Tensor:
    """Components, along a dimension that stands before their channels. Element after element: torch would go through
    all elements for the first component, then for the next one."""
    batch, rest = value.shape[:dim], value.shape[dim:]
    if not batch or _is_recorded() or not value.is_contiguous():
        return value.index_select(dim, places)
    starts = torch.arange(0, batch.numel() * rest[0], rest[0], device=value.device)
    rows = value.view(-1, *rest[1:]).index_select(0, (starts[:, None] + places).flatten())
    return rows.view(*batch, places.shape[0], *rest[1:])


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


def _over(channels: int, *values: Tensor) -> tuple[Tensor, ...]:
    """Numbers [..., 1], the same for so many channels: for a compiler, which sums their gradients over channels."""
    if not torch.compiler.is_compiling():
        return values
    return tuple(value.expand(*value.shape[:-1], channels) for value in values)


_TWO_OPERANDS_CONSTANTS = _Kept(
    _table(
        260,
        {
            # W, recoupled
            0: 0.7071067811865476, 1: 0.7071067811865476, 2: 0.7071067811865476, 3: 0.408248290463863,
            # x y
            4: 1.0, 25: 1.0, 30: 1.0, 35: 1.0, 41: 1.0, 44: 1.0, 74: 1.0, 80: 1.0, 107: 1.0, 116: 1.0,
            # grad of y
            132: 1.0, 153: 1.0, 158: 1.0, 163: 1.0, 165: 1.0, 182: 1.0, 199: 1.0, 216: 1.0, 236: 1.0, 256: 1.0,
        },
    ),
    sizes=(
        4, 128, 128,
    ),
)
_TWO_OPERANDS_INDICES = _Kept(
    torch.tensor(
        [
            0, 3, 1, 1, 1, 2, 2, 2, 0, 0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 1,
        ],
        dtype=torch.int64,
        device="cpu",
    ),
    sizes=(
        8, 8, 4,
    ),
)


def _two_operands(x: Tensor, y: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
    """The arithmetic of `two_operands`."""
    constants = _TWO_OPERANDS_CONSTANTS.on(x.device, x.dtype)
    index = _TWO_OPERANDS_INDICES.on(x.device)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    W_2 = torch.unflatten(W, -1, (4, 2))
    t = W_2 * constants[0].view(4, 1)
    m = torch.unflatten(y @ constants[1].view(4, 32), -1, (8, 4))
    t_2 = m @ x_2
    del m
    p = _selected(t, index[0], -2)
    del t
    t_3 = _added_products(t_2, p, ((1, 2, False), (2, 3, True),), -2)
    del t_2, p
    out = _behind(
        (
            (t_3.narrow(-2, 0, 1), 2, None),
            (t_3.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
        ),
        into,
    )
    del t_3

    return out


def _two_operands_scalar(x: Tensor, y: Tensor, W: Tensor) -> tuple[tuple[Any, ...], ...]:
    """The arithmetic of `two_operands` component by component: what a compiler makes one loop of."""
    x_2, = torch.unflatten(x[..., 0:2], -1, (2, 1)).unbind(-1)
    x_3, x_4, x_5 = torch.unflatten(x[..., 2:8], -1, (2, 3)).unbind(-1)
    y_2, y_3, y_4, y_5 = torch.unflatten(y[..., 0:4], -1, (4, 1)).unbind(-2)
    (
        y_6, y_7, y_8, y_9,
    ) = _over(
        2,
        y_2, y_3, y_4, y_5,
    )
    W_2, W_3, W_4, W_5 = torch.unflatten(W[..., 0:8], -1, (4, 2)).unbind(-2)
    t = 0.7071067811865476 * W_2
    t_2 = 0.7071067811865476 * W_3
    t_3 = 0.7071067811865476 * W_4
    t_4 = 0.408248290463863 * W_5
    t_5 = x_2 * y_6
    t_6 = x_3 * y_7 + x_4 * y_8 + x_5 * y_9
    t_7 = x_2 * y_7
    t_8 = x_2 * y_8
    t_9 = x_2 * y_9
    t_10 = x_3 * y_6
    t_11 = x_4 * y_6
    t_12 = x_5 * y_6
    t_13 = t_5 * t + t_6 * t_4
    t_14 = t_7 * t_2 + t_10 * t_3
    t_15 = t_8 * t_2 + t_11 * t_3
    t_16 = t_9 * t_2 + t_12 * t_3

    return (
        (
            t_13, (t_14, t_15, t_16),
        ),
    )


def _two_operands_gradients(
    x: Tensor, y: Tensor, W: Tensor, grad_out: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of `two_operands`: of <grad, value> by every operand that is needed."""
    constants = _TWO_OPERANDS_CONSTANTS.on(x.device, x.dtype)
    index = _TWO_OPERANDS_INDICES.on(x.device)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    W_2 = torch.unflatten(W, -1, (4, 2))
    if needed[0] or needed[1]:
        t = W_2 * constants[0].view(4, 1)
    m = torch.unflatten(y @ constants[1].view(4, 32), -1, (8, 4))
    if needed[2]:
        t_2 = m @ x_2
    grad_out_2 = torch.cat(
        (grad_out[..., 0:2].unsqueeze(-2), torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    if needed[0] or needed[1]:
        t_3 = _selected(grad_out_2, index[1], -2) * _selected(t, index[0], -2)
        del t
    if needed[2]:
        s = _correlated(t_2, grad_out_2, ((0, 0, 2, 1), (2, 1, 2, 3),), -2)
        del t_2
        t_4 = _selected(s, index[2], -2)
    if needed[0]:
        t_5 = m.mT @ t_3
    if needed[1]:
        t_6 = (t_3 @ x_2.mT).flatten(-2) @ constants[2].view(32, 4)
    if needed[2]:
        t_7 = t_4 * constants[0].view(4, 1)
        del t_4
    if needed[0]:
        out = _behind(
            (
                (t_5.narrow(-2, 0, 1), 2, None),
                (t_5.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
            ),
        )
        del t_5

    return out if needed[0] else None, t_6 if needed[1] else None, t_7.flatten(-2) if needed[2] else None


_TWO_OPERANDS = _Stage(
    _two_operands,
    kinds=(1, 1, -1),
    piece=116509,
    width=8,
    derivatives=(
        _Stage(
            _two_operands_gradients,
            kinds=(1, 1, -1, 1),
            piece=57457,
            results=(0, 1, 2),
            derivatives=(
                _Swapped(lambda: _TWO_OPERANDS, 0),
                _Swapped(lambda: _TWO_OPERANDS, 1),
                _Swapped(lambda: _TWO_OPERANDS, 2),
            ),
        ),
    ),
)

_TWO_OPERANDS_WEIGHTS = "087e6f64d24f2bd1"
"""What the weights mean: their paths, whatever plan evaluates them. A state dict carries it, and refuses other weights."""


def two_operands(x: Tensor, y: Tensor, W: Tensor) -> Tensor:
    """The diagram `two_operands`:

        diagram two_operands(x: 2x0e + 2x1o, y: 0e + 1o) -> 2x0e + 2x1o {
            x[u] y -> out[u] * W[path, u]
        }

    x: [..., 8], 2x0e + 2x1o
    y: [..., 4], 1x0e + 1x1o
    W: [8], learned
    -> out: [..., 8], 2x0e + 2x1o
    """
    _check_leg("x", x, 8, "2x0e + 2x1o", _REAL)
    if _is_autocast(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return two_operands(*_widened(x, y, W))
    _check_leg("y", y, 4, "1x0e + 1x1o", _REAL)
    _check_like("leg `y`", y, "x", x)
    _check_weight("W", W, (8,))
    _check_like("weight `W`", W, "x", x)
    x, y = _broadcast(("x", "y"), (x, y), (1, 1))
    if _runs_kernels(x):
        return _two_operands_kernels(x, y, W)
    dtype = x.dtype
    compute = torch.float32 if dtype in _HALVES else dtype
    if dtype in _HALVES:
        x, y, W = x.to(compute), y.to(compute), W.to(compute)

    result = _compiled(_two_operands_scalar, x, y, W) if torch.compiler.is_compiling() else _call(_TWO_OPERANDS, x, y, W)
    return result.to(dtype).contiguous()


class TwoOperands(nn.Module):
    """The diagram `two_operands`, with its learned weights W."""

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        nn.Module.__init__(self)
        self.W = nn.Parameter(torch.randn(8, device=device, dtype=dtype))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata.setdefault(prefix[:-1], {})["weights"] = _TWO_OPERANDS_WEIGHTS

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("weights", _TWO_OPERANDS_WEIGHTS) == _TWO_OPERANDS_WEIGHTS:
            nn.Module._load_from_state_dict(self, state, prefix, metadata, *rest)
        else:
            rest[-1].append("the weights belong to other paths than those of `two_operands`")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return two_operands(x, y, self.W)

    def extra_repr(self) -> str:
        return "2x0e + 2x1o, 1x0e + 1x1o -> 2x0e + 2x1o"



# --- kernels ---------------------------------------------------------------------------------------------------------
#
# On a GPU the functions above run the kernels below; on other devices, and without triton, plain torch. A diagram has a
# stage for each order of derivatives: 0 its value, 1 the gradients, 2 the gradients of these; those from 3 on are the
# tangents of the value (forward mode), each for tangents of some operands. A value that is linear in every operand has
# stages 0 and 1 only. Derivatives are made of them:
#
#     tangents, of some operands         the stage for these; without one, a sum of stages for one operand each: the
#                                        value itself where it is linear in it
#     gradients, tangents of gradients,  stage 2, with zeros for operands without a direction; where there is none, the
#     gradients of tangents              gradients once more for each direction, which stands in its operand's place
#
# What a stage does outside of kernels stands in its function, with the reason beside it. What runs in plain torch, on a
# GPU too, is listed for each diagram.

_INTERPRETED = triton is not None and triton.knobs.runtime.interpret


def _runs_kernels(value: Tensor) -> bool:
    """Whether operands like this one go to the kernels. While compiling they are operators, where these may stand."""
    if torch.compiler.is_compiling() and not _is_opaque():
        return False
    return triton is not None and (value.is_cuda or _INTERPRETED)


def _jit(**options: object) -> Callable[..., Any]:
    """`triton.jit`, or nothing where triton is not installed."""
    return (lambda function: function) if triton is None else triton.jit(**options)


def _count(rows: int, size: int) -> int:
    """How many programs so many rows need."""
    return -(-rows // size)


def _parts(rows: int, size: int, most: int) -> int:
    """How many parts a sum over all rows is made in."""
    return max(1, min(_count(rows, size), most)) * size


def _precision(compute: torch.dtype) -> str:
    """How kernels multiply matrices: three products of parts have the accuracy of float32, one has what torch calls
    "high" or "medium"."""
    if compute == torch.float64:
        return "ieee"
    # (the older question raises where somebody has answered the newer one)
    chosen = getattr(torch.backends.cuda.matmul, "fp32_precision", None) or torch.get_float32_matmul_precision()
    return "tf32" if chosen in ("tf32", "high", "medium") else "tf32x3"


def _launch(kernel: Any, programs: int, blocks: int, warps: int, compute: torch.dtype, *arguments: Any) -> None:
    """Run a kernel on the device of its operands; nothing to do is nothing done."""
    if programs == 0:
        return
    types = {torch.float32: tl.float32, torch.float64: tl.float64}
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    more, most = {}, 128 if compute == torch.float32 else None
    if "PRECISION" in kernel.arg_names:
        more, most = {"PRECISION": _precision(compute)}, most or 255
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(programs, blocks)](
            *arguments,
            COMPUTE=types[compute],
            **more,
            num_warps=warps,
            num_stages=1,
            maxnreg=most,
            enable_fp_fusion=True,
        )


def _is_traced(operands: Sequence[Tensor]) -> bool:
    """Whether something records operations (`make_fx`, `torch.func.linearize`, fake tensors): it cannot see kernels."""
    return torch._C._len_torch_dispatch_stack() > 0 or any(type(one) not in (Tensor, nn.Parameter) for one in operands)


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


def _register(diagram: _Diagram, name: str, keeps: bool) -> _Diagram:
    """Every stage as an operator, for what records operations. Compilers differentiate the value's; all else that is
    differentiated goes through `_Apply`. Stages that keep tensors are none of a CUDA graph's: these would be its
    own."""
    if triton is None:
        return diagram
    schema = "(Tensor[] operands, Tensor[] fixed, SymInt[] sizes) -> Tensor[]"
    tags = (torch.Tag.cudagraph_unsafe,) if keeps else ()
    for level in range(len(diagram.stages)):
        library = torch.library.custom_op(
            f"fusionc_76a392cccdb9::stage{level}_{name}", partial(_run, diagram, level), mutates_args=(), schema=schema, tags=tags
        )
        library.register_fake(partial(_fake, diagram, level))
        diagram.operators.append(library)
    diagram.operators[0].register_autograd(partial(_backward, diagram), setup_context=_setup)
    return diagram


def _fake(
    diagram: _Diagram, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    return _allocate(diagram, level, operands, sizes)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    operands, fixed, sizes = inputs
    ctx.count, ctx.sizes = len(operands), sizes
    ctx.save_for_backward(*operands, *fixed)


def _backward(diagram: _Diagram, ctx: Any, cotangents: Sequence[Tensor]) -> tuple[Any, ...]:
    operands, fixed = list(ctx.saved_tensors[: ctx.count]), list(ctx.saved_tensors[ctx.count :])
    found: list[Tensor | None] = [None] * len(operands)
    results = diagram.operators[1]([*operands, *(one.contiguous() for one in cotangents)], fixed, ctx.sizes)
    for place, gradient in zip(diagram.results[0], results):
        found[place] = gradient
    return found, [None] * len(fixed), None


# What runs where:
#     _two_operands_stage_0: the value
#     _two_operands_stage_0_kernel_0: out; over the batch: 22 terms, 16 loads and stores
#     _two_operands_stage_1: the gradients
#     _two_operands_stage_1_kernel_0: value 8, value 10, grad_x; over the batch: 50 terms, 28 loads and stores
#     _two_operands_stage_1: value 11 in torch, it is small: no domain
#     derivatives of gradients, tangents: stages 0 and 1 for each direction, in its operand's place, added up
#     in torch: sums that programs or blocks of channels make in parts: added up by torch's sum
#     in torch: torch.vmap over `W` and over gradients by weights
#     in torch: autograd.grad with is_grads_batched, whose tensors have no memory of their own
#     in torch: torch.func inside of torch.compile, where kernels are operators that it cannot look into
#     in torch: exported programs, which run where nobody knows these operators


@_jit(do_not_specialize=["batch"])
def _two_operands_stage_0_kernel_0(q_out, p_x, p_y, p_W, batch, COMPUTE: tl.constexpr):
    """
    out; over the batch: 22 terms, 16 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 64 + tl.arange(0, 64)[:, None].to(tl.int64)
    inside = row < batch
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t4_0 = t0_0 * t1_0
    p_W_u = p_W + u
    t2_0 = tl.load(p_W_u).to(COMPUTE)
    t3_0 = 0.7071067811865476 * t2_0
    t5_0 = t4_0 * t3_0
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t4_7 = t0_1 * t1_1
    t4_4 = t0_1 * t1_0
    t4_1 = t0_0 * t1_1
    t2_2 = tl.load(p_W_u + 4).to(COMPUTE)
    t3_2 = 0.7071067811865476 * t2_2
    t2_1 = tl.load(p_W_u + 2).to(COMPUTE)
    t3_1 = 0.7071067811865476 * t2_1
    t5_1 = t4_4 * t3_2
    t5_1 = tl.fma(t4_1, t3_1, t5_1)
    q_out_at = q_out + row * 8
    q_out_at_u3 = q_out_at + u * 3
    tl.store(q_out_at_u3 + 2, t5_1, mask=inside)
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t4_7 = tl.fma(t0_2, t1_2, t4_7)
    t4_5 = t0_2 * t1_0
    t4_2 = t0_0 * t1_2
    t5_2 = t4_5 * t3_2
    t5_2 = tl.fma(t4_2, t3_1, t5_2)
    tl.store(q_out_at_u3 + 3, t5_2, mask=inside)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t4_7 = tl.fma(t0_3, t1_3, t4_7)
    t4_6 = t0_3 * t1_0
    t4_3 = t0_0 * t1_3
    t2_3 = tl.load(p_W_u + 6).to(COMPUTE)
    t3_3 = 0.408248290463863 * t2_3
    t5_3 = t4_6 * t3_2
    t5_3 = tl.fma(t4_3, t3_1, t5_3)
    t5_0 = tl.fma(t4_7, t3_3, t5_0)
    tl.store(q_out_at_u3 + 4, t5_3, mask=inside)
    q_out_at_u = q_out_at + u
    tl.store(q_out_at_u, t5_0, mask=inside)


def _two_operands_stage_0(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 0 of `two_operands`: the value."""
    batch, = sizes
    p_x, p_y, p_W = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_out, = results
    _launch(_two_operands_stage_0_kernel_0, _count(batch, 64), 1, 4, compute, q_out, p_x, p_y, p_W, batch)
    return results


_TWO_OPERANDS_STAGE_1_CONSTANTS = _Kept(
    _table(
        16,
        {
            0: 0.7071067811865476, 5: 0.7071067811865476, 10: 0.7071067811865476, 15: 0.408248290463863,
        },
    ),
    sizes=(
        16,
    ),
)


@_jit(do_not_specialize=["batch"])
def _two_operands_stage_1_kernel_0(
    p_grad_out,
    p_x,
    p_y,
    b8,
    b10,
    p_W,
    q_grad_x,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    value 8, value 10, grad_x; over the batch: 50 terms, 28 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    total8_0 = tl.zeros([16, 2], COMPUTE)
    total8_1 = tl.zeros([16, 2], COMPUTE)
    total8_2 = tl.zeros([16, 2], COMPUTE)
    total8_3 = tl.zeros([16, 2], COMPUTE)
    for block in range(tl.program_id(0), tl.cdiv(batch, 16), tl.num_programs(0)):
        row = block * 16 + tl.arange(0, 16)[:, None].to(tl.int64)
        inside = row < batch
        p_grad_out_at = p_grad_out + row * 8
        p_grad_out_at_u = p_grad_out_at + u
        t5_0 = tl.load(p_grad_out_at_u, mask=inside, other=0.0).to(COMPUTE)
        p_x_at = p_x + row * 8
        p_x_at_u = p_x_at + u
        t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
        p_y_at = p_y + row * 4
        t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
        t4_0 = t0_0 * t1_0
        t7_0 = t5_0 * t4_0
        total8_0 += tl.where(inside, t7_0, 0.0)
        p_grad_out_at_u3 = p_grad_out_at + u * 3
        t5_1 = tl.load(p_grad_out_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
        t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
        t4_1 = t0_0 * t1_1
        t7_1 = t5_1 * t4_1
        t5_2 = tl.load(p_grad_out_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
        t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
        t4_2 = t0_0 * t1_2
        t7_1 = tl.fma(t5_2, t4_2, t7_1)
        t5_3 = tl.load(p_grad_out_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
        t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
        t4_3 = t0_0 * t1_3
        t7_1 = tl.fma(t5_3, t4_3, t7_1)
        total8_1 += tl.where(inside, t7_1, 0.0)
        p_x_at_u3 = p_x_at + u * 3
        t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
        t4_4 = t0_1 * t1_0
        t7_2 = t5_1 * t4_4
        t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
        t4_5 = t0_2 * t1_0
        t7_2 = tl.fma(t5_2, t4_5, t7_2)
        t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
        t4_6 = t0_3 * t1_0
        t7_2 = tl.fma(t5_3, t4_6, t7_2)
        total8_2 += tl.where(inside, t7_2, 0.0)
        t4_7 = t0_1 * t1_1
        t4_7 = tl.fma(t0_2, t1_2, t4_7)
        t4_7 = tl.fma(t0_3, t1_3, t4_7)
        t7_3 = t5_0 * t4_7
        total8_3 += tl.where(inside, t7_3, 0.0)
        p_W_u = p_W + u
        t2_0 = tl.load(p_W_u).to(COMPUTE)
        t3_0 = 0.7071067811865476 * t2_0
        t6_0 = t5_0 * t3_0
        t10_0 = t6_0 * t0_0
        t2_2 = tl.load(p_W_u + 4).to(COMPUTE)
        t3_2 = 0.7071067811865476 * t2_2
        t6_4 = t5_1 * t3_2
        t10_0 = tl.fma(t6_4, t0_1, t10_0)
        t6_5 = t5_2 * t3_2
        t10_0 = tl.fma(t6_5, t0_2, t10_0)
        t6_6 = t5_3 * t3_2
        t10_0 = tl.fma(t6_6, t0_3, t10_0)
        b10_at = b10 + row * 4
        tl.store(b10_at, tl.sum(t10_0, 1)[:, None], mask=inside)
        t2_1 = tl.load(p_W_u + 2).to(COMPUTE)
        t3_1 = 0.7071067811865476 * t2_1
        t6_1 = t5_1 * t3_1
        t6_2 = t5_2 * t3_1
        t6_3 = t5_3 * t3_1
        t10_1 = t6_1 * t0_0
        t2_3 = tl.load(p_W_u + 6).to(COMPUTE)
        t3_3 = 0.408248290463863 * t2_3
        t6_7 = t5_0 * t3_3
        t10_1 = tl.fma(t6_7, t0_1, t10_1)
        t10_2 = t6_7 * t0_2
        t10_3 = t6_7 * t0_3
        tl.store(b10_at + 1, tl.sum(t10_1, 1)[:, None], mask=inside)
        t10_2 = tl.fma(t6_2, t0_0, t10_2)
        tl.store(b10_at + 2, tl.sum(t10_2, 1)[:, None], mask=inside)
        t10_3 = tl.fma(t6_3, t0_0, t10_3)
        tl.store(b10_at + 3, tl.sum(t10_3, 1)[:, None], mask=inside)
        t9_0 = t6_0 * t1_0
        t9_0 = tl.fma(t6_1, t1_1, t9_0)
        t9_0 = tl.fma(t6_2, t1_2, t9_0)
        t9_0 = tl.fma(t6_3, t1_3, t9_0)
        q_grad_x_at = q_grad_x + row * 8
        q_grad_x_at_u = q_grad_x_at + u
        tl.store(q_grad_x_at_u, t9_0, mask=inside)
        t9_1 = t6_4 * t1_0
        t9_1 = tl.fma(t6_7, t1_1, t9_1)
        q_grad_x_at_u3 = q_grad_x_at + u * 3
        tl.store(q_grad_x_at_u3 + 2, t9_1, mask=inside)
        t9_2 = t6_5 * t1_0
        t9_2 = tl.fma(t6_7, t1_2, t9_2)
        tl.store(q_grad_x_at_u3 + 3, t9_2, mask=inside)
        t9_3 = t6_6 * t1_0
        t9_3 = tl.fma(t6_7, t1_3, t9_3)
        tl.store(q_grad_x_at_u3 + 4, t9_3, mask=inside)
    tl.store(b8 + (tl.program_id(0).to(tl.int64) * 16 + tl.arange(0, 16)[:, None]) * 8 + u, total8_0)
    tl.store(b8 + (tl.program_id(0).to(tl.int64) * 16 + tl.arange(0, 16)[:, None]) * 8 + u + 2, total8_1)
    tl.store(b8 + (tl.program_id(0).to(tl.int64) * 16 + tl.arange(0, 16)[:, None]) * 8 + u + 4, total8_2)
    tl.store(b8 + (tl.program_id(0).to(tl.int64) * 16 + tl.arange(0, 16)[:, None]) * 8 + u + 6, total8_3)


def _two_operands_stage_1(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 1 of `two_operands`: the gradients."""
    batch, = sizes
    p_x, p_y, p_W, p_grad_out = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_grad_x, q_grad_y, q_grad_W = results
    constants = _TWO_OPERANDS_STAGE_1_CONSTANTS.on(p_x.device, compute)
    b8 = p_x.new_empty((_parts(batch, 16, 1024), 4, 2), dtype=compute)
    b10 = p_x.new_empty((batch, 4), dtype=compute)
    _launch(_two_operands_stage_1_kernel_0, max(1, min(_count(batch, 16), 1024)), 1, 1, compute, p_grad_out, p_x, p_y, b8, b10, p_W, q_grad_x, batch)
    b8 = b8.sum(0)  # in torch: programs and blocks of channels have summed in parts
    b11 = constants[0].view(4, 4) @ b8  # in torch: is small: no domain
    q_grad_y[..., 0:1] = b10.narrow(-1, 0, 1).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_y[..., 1:4] = b10.narrow(-1, 1, 3).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_W[..., 0:8] = b11.flatten(-2)
    return results


def _two_operands_stage_rows(operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """`two_operands` in plain torch, from rows to rows."""
    p_x, p_y, p_W = operands
    batch, = sizes
    dtype, compute = p_x.dtype, _compute(p_x)
    found = _two_operands(p_x.to(compute), p_y.to(compute), p_W.to(compute))
    return (found.to(dtype),)


_TWO_OPERANDS_2 = _register(
    _Diagram(
        stages=(_two_operands_stage_0, _two_operands_stage_1),
        plain=_two_operands_stage_rows,
        counts=(3, 4),
        results=((0, 1, 2),),
        shapes=(((0, 0, (8,)),), ((0, 0, (8,)), (1, 0, (4,)), (2, None, (8,)))),
        weights=((2,), (2,)),
        tangents=(),
        linear=(0, 1, 2),
        rows=0,
        operators=[],
    ),
    "two_operands",
    keeps=True,
)


def _two_operands_kernels(x: Tensor, y: Tensor, W: Tensor) -> Tensor:
    """`two_operands` with kernels."""
    leading = x.shape[: x.ndim - 1]
    operands = (x.reshape(-1, 8), y.reshape(-1, 4), W)
    fixed = ()
    sizes = (math.prod(leading),)
    found = _evaluate(_TWO_OPERANDS_2, 0, operands, fixed, sizes)
    return found[0].reshape(*leading, 8)


KERNELS = {
    "_two_operands_stage_0_kernel_0": (_two_operands_stage_0_kernel_0, 4, {'q_out': '*operand', 'p_x': '*operand', 'p_y': '*operand', 'p_W': '*operand', 'batch': 'i32'}),
    "_two_operands_stage_1_kernel_0": (_two_operands_stage_1_kernel_0, 1, {'p_grad_out': '*operand', 'p_x': '*operand', 'p_y': '*operand', 'b8': '*compute', 'b10': '*compute', 'p_W': '*operand', 'q_grad_x': '*operand', 'batch': 'i32'}),
}
"""Every kernel by name, with its warps and the types of its arguments (for compilation ahead of time)."""

# SPDX-License-Identifier: 0BSD
# Written by fusionc 0.1.0 for triton, layout mul_ir. The code is yours; edit the diagram rather than this file.
"""Fusion diagram: SeveralOutputs.

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

__all__ = ["SeveralOutputs", "several_outputs"]

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


def _integers(what: str, holds: str, value: Tensor) -> Tensor:
    """A tensor of integers of any size as int64. Raises for all others, booleans among them."""
    if value.dtype == torch.int64:
        return value
    if value.dtype not in (torch.int32, torch.int16, torch.int8, torch.uint8):
        raise TypeError(f"{what} should hold integers ({holds}), and is {value.dtype}")
    return value.long()


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


def _check_index(leg: str, value: Tensor, size: int, first: str, like: Tensor, sites: str = "") -> Tensor:
    """An index leg as int64. Raises unless it holds rows and is on the first leg's device (over sites [..., sites])."""
    _check_tensor(f"leg `{leg}`", value)
    if sites and not value.ndim:
        raise ValueError(f"leg `{leg}` should have shape [..., {sites}], and has []")
    value = _integers(f"leg `{leg}`", f"rows 0 to {size - 1}", value)
    if value.device != like.device:
        raise ValueError(f"leg `{leg}` should be on {like.device} like leg `{first}`, and is on {value.device}")
    if value.numel() and _has_numbers(value):
        least, most = map(int, value.aminmax())
        if least < 0 or most >= size:
            raise IndexError(f"leg `{leg}` should be rows 0 to {size - 1}, and has {least if least < 0 else most}")
    return value


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


def _has_numbers(value: Tensor) -> bool:
    """Whether integers can be looked at: not while they are traced, and on a GPU one would wait for the device, whose
    kernels check them."""
    return value.device.type == "cpu" and not _is_plain()


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


def _weighed(
    value: Tensor,
    weights: Tensor,
    grids: tuple[tuple[int, int, bool], ...],
    dim: int,
    fresh: bool,
    into: Tensor | None = None,
) -> Tensor:
    """Components times weights, in grids [rows, columns] of components: a weight for each column, or for each row.
    Where nothing is recorded, a fresh value is weighed in place: new memory is slower than arithmetic."""
    parts = []
    out = None if into is None else into.view(*into.shape[:-1], *value.shape[dim:])
    if out is None and not _is_recorded():
        out = value if fresh else value.new_empty(value.shape)
    sizes = [rows * columns for rows, columns, _ in grids]
    used = [columns if across else rows for rows, columns, across in grids]
    places = (value if out is None else out).split(sizes, dim)
    pieces = zip(grids, value.split(sizes, dim), weights.split(used, dim), places)
    for (rows, columns, across), part, factor, place in pieces:
        part = torch.unflatten(part, dim, (rows, columns))
        factor = factor.unsqueeze(dim - 1 if across else dim)
        if out is None:
            parts.append((part * factor).flatten(dim - 1, dim))
        else:
            torch.mul(part, factor, out=torch.unflatten(place, dim, (rows, columns)))
    if not parts:
        return out
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


def _few(matrix: Tensor, value: Tensor) -> Tensor:
    """A matrix product in which few numbers are summed: columns times rows. (Small ones take torch's batched product
    several times as long.)"""
    result = matrix[..., :1] * value[..., :1, :]
    plain = _is_recorded()
    for k in range(1, matrix.shape[-1]):
        column, row = matrix[..., k : k + 1], value[..., k : k + 1, :]
        result = result + column * row if plain else result.addcmul_(column, row)
    return result


def _over(channels: int, *values: Tensor) -> tuple[Tensor, ...]:
    """Numbers [..., 1], the same for so many channels: for a compiler, which sums their gradients over channels."""
    if not torch.compiler.is_compiling():
        return values
    return tuple(value.expand(*value.shape[:-1], channels) for value in values)


def _rows_at(table: Tensor, rows: Tensor, *more: Tensor) -> Tensor:
    """The rows of a table that integers name, one for each of its first dimensions: [*rows.shape, ...]. (Indexing by
    one tensor would count negative ones from the end; an embedding has no derivative for complex numbers. A compiler
    takes tensors without dimensions for integers that it does not know.)"""
    if more:
        return table[tuple(one[None] for one in (rows, *more))][0]
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])


def _tabulated(value: Tensor, rows: tuple[Tensor, ...], sizes: tuple[int, ...], own: int, front: int = 0) -> Tensor:
    """Elements added into the rows of a table [*sizes, ...] that indices name; `own` dimensions belong to an element,
    `front` stand before the elements, and then before the table."""
    place = rows[0]
    for index, size in zip(rows[1:], sizes[1:]):
        place = place * size + index
    first, shape = value.shape[:front], value.shape[value.ndim - own :]
    place = place.expand(value.shape[front : value.ndim - own]).reshape(-1)
    table = value.new_zeros((*first, math.prod(sizes), *shape))
    return table.index_add(front, place, value.reshape(*first, -1, *shape)).view(*first, *sizes, *shape)


_SEVERAL_OUTPUTS_CONSTANTS = _Kept(
    _table(
        352,
        {
            # mixed
            0: 0.7071067811865476, 13: 0.408248290463863, 22: 0.408248290463863, 31: 0.408248290463863,
            # kept
            45: 1.0, 50: 1.0, 55: 1.0, 56: 1.0, 84: 1.0, 112: 1.0,
            # grad of x
            137: 1.0, 144: 1.0, 151: 1.0, 152: 1.0, 177: 1.0, 202: 1.0,
            # grad of y
            225: 1.0, 242: 1.0, 259: 1.0, 276: 1.0, 296: 1.0, 316: 1.0,
            # grad of y
            320: 0.7071067811865476, 341: 0.408248290463863, 346: 0.408248290463863, 351: 0.408248290463863,
        },
    ),
    sizes=(
        32, 96, 96, 96, 32,
    ),
)


class SeveralOutputsOutput(NamedTuple):
    """The outputs of `several_outputs`."""

    mixed: Tensor  # [..., 2]: 2x0e
    kept: Tensor  # [..., 12]: 4x1o


def _several_outputs(x: Tensor, y: Tensor, z: Tensor, W: Tensor) -> tuple[Tensor, ...]:
    """The arithmetic of `several_outputs`."""
    constants = _SEVERAL_OUTPUTS_CONSTANTS.on(x.device, x.dtype)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    m = torch.unflatten(y @ constants[0].view(4, 8), -1, (2, 4))
    t = m @ x_2
    del m
    W_rows = _rows_at(W, z)
    W_2 = torch.unflatten(W_rows, -1, (2, 2))
    t_2 = _added_products(t, W_2, ((1, 2, False),), -2)
    del t
    m_2 = torch.unflatten(y @ constants[1].view(4, 24), -1, (6, 4))
    t_3 = m_2 @ x_2
    del m_2

    return t_2.flatten(-2), torch.unflatten(t_3, -2, (2, 3)).transpose(-1, -2).flatten(-3)


def _several_outputs_scalar(x: Tensor, y: Tensor, z: Tensor, W: Tensor) -> tuple[tuple[Any, ...], ...]:
    """The arithmetic of `several_outputs` component by component: what a compiler makes one loop of."""
    x_2, = torch.unflatten(x[..., 0:2], -1, (2, 1)).unbind(-1)
    x_3, x_4, x_5 = torch.unflatten(x[..., 2:8], -1, (2, 3)).unbind(-1)
    y_2, y_3, y_4, y_5 = torch.unflatten(y[..., 0:4], -1, (4, 1)).unbind(-2)
    (
        y_6, y_7, y_8, y_9,
    ) = _over(
        2,
        y_2, y_3, y_4, y_5,
    )
    t = 0.7071067811865476 * y_6
    t_2 = 0.408248290463863 * y_7
    t_3 = 0.408248290463863 * y_8
    t_4 = 0.408248290463863 * y_9
    t_5 = x_2 * t
    t_6 = x_3 * t_2 + x_4 * t_3 + x_5 * t_4
    W_rows = _rows_at(W, z)
    W_2, W_3 = torch.unflatten(W_rows[..., 0:4], -1, (2, 2)).unbind(-2)
    t_7 = t_5 * W_2 + t_6 * W_3
    t_8 = x_2 * y_7
    t_9 = x_2 * y_8
    t_10 = x_2 * y_9
    t_11 = x_3 * y_6
    t_12 = x_4 * y_6
    t_13 = x_5 * y_6

    return (
        (
            t_7,
        ),
        (
            (t_8, t_9, t_10), (t_11, t_12, t_13),
        ),
    )


def _several_outputs_gradients(
    x: Tensor, y: Tensor, z: Tensor, W: Tensor, grad_mixed: Tensor, grad_kept: Tensor, *, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of `several_outputs`: of <grad, value> by every operand that is needed."""
    constants = _SEVERAL_OUTPUTS_CONSTANTS.on(x.device, x.dtype)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    m = torch.unflatten(y @ constants[0].view(4, 8), -1, (2, 4))
    if needed[3]:
        t = m @ x_2
    W_rows = _rows_at(W, z)
    W_2 = torch.unflatten(W_rows, -1, (2, 2))
    grad_mixed_2 = grad_mixed[..., 0:2].unsqueeze(-2)
    grad_kept_2 = torch.cat(
        (
            torch.unflatten(grad_kept[..., 0:6], -1, (2, 3)).transpose(-1, -2),
            torch.unflatten(grad_kept[..., 6:12], -1, (2, 3)).transpose(-1, -2),
        ),
        dim=-2,
    )
    m_2 = torch.unflatten(y @ constants[2].view(4, 24), -1, (4, 6))
    if needed[0]:
        t_2 = m_2 @ grad_kept_2
    if needed[0] or needed[1]:
        t_3 = grad_mixed_2 * W_2
    if needed[3]:
        t_4 = grad_mixed_2 * t
        del t
    if needed[0]:
        t_5 = _few(m.mT, t_3)
    if needed[1]:
        t_6 = (grad_kept_2 @ x_2.mT).flatten(-2) @ constants[3].view(24, 4) + (t_3 @ x_2.mT).flatten(-2) @ constants[4].view(8, 4)
    if needed[0]:
        t_7 = t_2 + t_5
        del t_2, t_5
    if needed[3]:
        s = _tabulated(t_4, (z,), (3,), 2)
        del t_4
    if needed[0]:
        out = _behind(
            (
                (t_7.narrow(-2, 0, 1), 2, None),
                (t_7.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
            ),
        )
        del t_7

    return out if needed[0] else None, t_6 if needed[1] else None, s.flatten(-2) if needed[3] else None


def _several_outputs_gradients_W(
    x: Tensor, y: Tensor, z: Tensor, W: Tensor, grad_mixed: Tensor, grad_kept: Tensor, grad_grad_W: Tensor, *,
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The gradients of one of those gradients, that of `W`, by every operand that is needed."""
    constants = _SEVERAL_OUTPUTS_CONSTANTS.on(x.device, x.dtype)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    m = torch.unflatten(y @ constants[0].view(4, 8), -1, (2, 4))
    if needed[4]:
        t = m @ x_2
    grad_mixed_2 = grad_mixed[..., 0:2].unsqueeze(-2)
    grad_grad_W_rows = _rows_at(grad_grad_W, z)
    grad_grad_W_2 = torch.unflatten(grad_grad_W_rows, -1, (2, 2))
    if needed[4]:
        t_2 = _added_products(grad_grad_W_2, t, ((1, 2, False),), -2)
        del t
    if needed[0] or needed[1]:
        t_3 = _weighed(grad_grad_W_2, grad_mixed_2, ((1, 2, False),), -2, False)
    if needed[0]:
        t_4 = _few(m.mT, t_3)
    if needed[1]:
        t_5 = (t_3 @ x_2.mT).flatten(-2) @ constants[4].view(8, 4)
    if needed[0]:
        out = _behind(
            (
                (t_4.narrow(-2, 0, 1), 2, None),
                (t_4.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
            ),
        )
        del t_4

    return out if needed[0] else None, t_5 if needed[1] else None, t_2.flatten(-2) if needed[4] else None


_SEVERAL_OUTPUTS = _Stage(
    _several_outputs,
    kinds=(1, 1, 0, -1),
    piece=110377,
    derivatives=(
        _Stage(
            _several_outputs_gradients,
            kinds=(1, 1, 0, -1, 1, 1),
            piece=58537,
            results=(0, 1, 3),
            derivatives=(
                _Swapped(lambda: _SEVERAL_OUTPUTS, 0),
                _Swapped(lambda: _SEVERAL_OUTPUTS, 1),
                _Stage(
                    _several_outputs_gradients_W,
                    kinds=(1, 1, 0, -1, 1, 1, -1),
                    piece=87382,
                    results=(0, 1, 4),
                ),
            ),
        ),
    ),
)

_SEVERAL_OUTPUTS_WEIGHTS = "5ac160eb51f065e6"
"""What the weights mean: their paths, whatever plan evaluates them. A state dict carries it, and refuses other weights."""


def several_outputs(x: Tensor, y: Tensor, z: Tensor, W: Tensor) -> SeveralOutputsOutput:
    """The diagram `several_outputs`:

        diagram several_outputs(x: 2x0e + 2x1o, y: 0e + 1o, z: index(3)) -> (mixed: 2x0e, kept: 4x1o) {
            x[u] y -> mixed[u] * W[z, path, u]
            x[u] y -> kept[path,u]
        }

    x: [..., 8], 2x0e + 2x1o
    y: [..., 4], 1x0e + 1x1o
    z: [...], integers from 0 to 2
    W: [3, 4], learned
    -> mixed: [..., 2], 2x0e
    -> kept: [..., 12], 4x1o
    """
    _check_leg("x", x, 8, "2x0e + 2x1o", _REAL)
    if _is_autocast(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return several_outputs(*_widened(x, y, z, W))
    _check_leg("y", y, 4, "1x0e + 1x1o", _REAL)
    _check_like("leg `y`", y, "x", x)
    z = _check_index("z", z, 3, "x", x)
    _check_weight("W", W, (3, 4))
    _check_like("weight `W`", W, "x", x)
    x, y, z = _broadcast(("x", "y", "z"), (x, y, z), (1, 1, 0))
    if _runs_kernels(x):
        return _several_outputs_kernels(x, y, z, W)
    dtype = x.dtype
    compute = torch.float32 if dtype in _HALVES else dtype
    if dtype in _HALVES:
        x, y, W = x.to(compute), y.to(compute), W.to(compute)

    result = _compiled(_several_outputs_scalar, x, y, z, W) if torch.compiler.is_compiling() else _call(_SEVERAL_OUTPUTS, x, y, z, W)
    return SeveralOutputsOutput(result[0].to(dtype).contiguous(), result[1].to(dtype).contiguous())


class SeveralOutputs(nn.Module):
    """The diagram `several_outputs`, with its learned weights W."""

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        nn.Module.__init__(self)
        self.W = nn.Parameter(torch.randn(3, 4, device=device, dtype=dtype))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata.setdefault(prefix[:-1], {})["weights"] = _SEVERAL_OUTPUTS_WEIGHTS

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("weights", _SEVERAL_OUTPUTS_WEIGHTS) == _SEVERAL_OUTPUTS_WEIGHTS:
            nn.Module._load_from_state_dict(self, state, prefix, metadata, *rest)
        else:
            rest[-1].append("the weights belong to other paths than those of `several_outputs`")

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> SeveralOutputsOutput:
        return several_outputs(x, y, z, self.W)

    def extra_repr(self) -> str:
        return "2x0e + 2x1o, 1x0e + 1x1o, index(3) -> 2x0e, 4x1o"



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


def _check_inside(index: Tensor, size: int) -> Tensor:
    """Raise unless all rows or sites are there: on a GPU with the next synchronisation, for nothing waits here."""
    if not torch.compiler.is_compiling() and not _is_transformed():
        torch._assert_async(((index >= 0) & (index < size)).all(), f"an index should lie between 0 and {size - 1}")
    return index


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
            f"fusionc_6e233cbe5f53::stage{level}_{name}", partial(_run, diagram, level), mutates_args=(), schema=schema, tags=tags
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
#     _several_outputs_stage_0: the value
#     _several_outputs_stage_0_kernel_0: mixed, kept; over the batch: 16 terms, 17 loads and stores
#     _several_outputs_stage_1: the gradients
#     _several_outputs_stage_1_kernel_0: value 10, value 13, grad_x; over the batch: 32 terms, 27 loads and stores
#     _several_outputs_stage_1: value 15 in torch, it sums rows of a table
#     _several_outputs_stage_2: the gradients of the gradients
#     _several_outputs_stage_2_kernel_0: value 20, value 30, grad_x_, grad_grad_mixed, grad_grad_kept; over the batch:
#     74 terms, 44 loads and stores
#     _several_outputs_stage_2: value 32 in torch, it sums rows of a table
#     _several_outputs_stage_3: the tangent of the value, where `x`, `y` and `W` have one
#     _several_outputs_stage_3_kernel_0: tangent_mixed, tangent_kept; over the batch: 36 terms, 27 loads and stores
#     _several_outputs_stage_4: the tangent of the value, where `x` and `y` have one
#     _several_outputs_stage_4_kernel_0: tangent_mixed, tangent_kept; over the batch: 30 terms, 25 loads and stores
#     _several_outputs_stage_5: the tangent of the value, where `W` has one
#     _several_outputs_stage_5_kernel_0: tangent_mixed; over the batch: 10 terms, 11 loads and stores
#     tangents of gradients, gradients of tangents: stages 1 and 2, with zeros where there is no tangent
#     tangents of other operands: a launch for each (the value's kernels where it is linear), added up
#     in torch: derivatives of stage 2 (third order), tangents of tangents unless linear
#     in torch: torch.vmap over `W` and over gradients by weights
#     in torch: autograd.grad with is_grads_batched, whose tensors have no memory of their own
#     in torch: torch.func inside of torch.compile, where kernels are operators that it cannot look into
#     in torch: exported programs, which run where nobody knows these operators


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_0_kernel_0(q_mixed, p_x, p_y, p_W, p_z, q_kept, batch, COMPUTE: tl.constexpr):
    """
    mixed, kept; over the batch: 16 terms, 17 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 64 + tl.arange(0, 64)[:, None].to(tl.int64)
    inside = row < batch
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t3_0 = t0_0 * t2_0
    p_W_p_z_at = p_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_W_p_z_at_u = p_W_p_z_at + u
    t4_0 = tl.load(p_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t5_0 = t3_0 * t4_0
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    t3_1 = t0_1 * t2_1
    t6_3 = t0_1 * t1_0
    t6_0 = t0_0 * t1_1
    q_kept_at = q_kept + row * 12
    q_kept_at_u3 = q_kept_at + u * 3
    tl.store(q_kept_at_u3 + 6, t6_3, mask=inside)
    tl.store(q_kept_at_u3, t6_0, mask=inside)
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t3_1 = tl.fma(t0_2, t2_2, t3_1)
    t6_4 = t0_2 * t1_0
    t6_1 = t0_0 * t1_2
    tl.store(q_kept_at_u3 + 7, t6_4, mask=inside)
    tl.store(q_kept_at_u3 + 1, t6_1, mask=inside)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t3_1 = tl.fma(t0_3, t2_3, t3_1)
    t6_5 = t0_3 * t1_0
    t6_2 = t0_0 * t1_3
    t4_1 = tl.load(p_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t5_0 = tl.fma(t3_1, t4_1, t5_0)
    tl.store(q_kept_at_u3 + 8, t6_5, mask=inside)
    tl.store(q_kept_at_u3 + 2, t6_2, mask=inside)
    q_mixed_at = q_mixed + row * 2
    q_mixed_at_u = q_mixed_at + u
    tl.store(q_mixed_at_u, t5_0, mask=inside)


def _several_outputs_stage_0(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 0 of `several_outputs`: the value."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_mixed, q_kept = results
    _launch(_several_outputs_stage_0_kernel_0, _count(batch, 64), 1, 4, compute, q_mixed, p_x, p_y, p_W, p_z, q_kept, batch)
    return results


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_1_kernel_0(
    b10,
    p_grad_mixed,
    p_x,
    p_y,
    b13,
    p_grad_kept,
    p_W,
    p_z,
    q_grad_x,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    value 10, value 13, grad_x; over the batch: 32 terms, 27 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 16 + tl.arange(0, 16)[:, None].to(tl.int64)
    inside = row < batch
    p_grad_mixed_at = p_grad_mixed + row * 2
    p_grad_mixed_at_u = p_grad_mixed_at + u
    t5_0 = tl.load(p_grad_mixed_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t3_0 = t0_0 * t2_0
    t10_0 = t5_0 * t3_0
    b10_at = b10 + row * 4
    b10_at_u = b10_at + u
    tl.store(b10_at_u, t10_0, mask=inside)
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    p_grad_kept_at = p_grad_kept + row * 12
    p_grad_kept_at_u3 = p_grad_kept_at + u * 3
    t6_0 = tl.load(p_grad_kept_at_u3, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = t6_0 * t1_1
    t13_1 = t6_0 * t0_0
    t3_1 = t0_1 * t2_1
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t6_1 = tl.load(p_grad_kept_at_u3 + 1, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = tl.fma(t6_1, t1_2, t14_0)
    t13_2 = t6_1 * t0_0
    t3_1 = tl.fma(t0_2, t2_2, t3_1)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t6_2 = tl.load(p_grad_kept_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = tl.fma(t6_2, t1_3, t14_0)
    t13_3 = t6_2 * t0_0
    t3_1 = tl.fma(t0_3, t2_3, t3_1)
    t10_1 = t5_0 * t3_1
    tl.store(b10_at_u + 2, t10_1, mask=inside)
    t6_3 = tl.load(p_grad_kept_at_u3 + 6, mask=inside, other=0.0).to(COMPUTE)
    t13_0 = t6_3 * t0_1
    t14_1 = t6_3 * t1_0
    t6_4 = tl.load(p_grad_kept_at_u3 + 7, mask=inside, other=0.0).to(COMPUTE)
    t13_0 = tl.fma(t6_4, t0_2, t13_0)
    t14_2 = t6_4 * t1_0
    t6_5 = tl.load(p_grad_kept_at_u3 + 8, mask=inside, other=0.0).to(COMPUTE)
    t13_0 = tl.fma(t6_5, t0_3, t13_0)
    t14_3 = t6_5 * t1_0
    p_W_p_z_at = p_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_W_p_z_at_u = p_W_p_z_at + u
    t4_0 = tl.load(p_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t9_0 = t5_0 * t4_0
    t13_0 = tl.fma(0.7071067811865476 * t9_0, t0_0, t13_0)
    t14_0 = tl.fma(t9_0, t2_0, t14_0)
    b13_at = b13 + row * 4
    tl.store(b13_at, tl.sum(t13_0, 1)[:, None], mask=inside)
    q_grad_x_at = q_grad_x + row * 8
    q_grad_x_at_u = q_grad_x_at + u
    tl.store(q_grad_x_at_u, t14_0, mask=inside)
    t4_1 = tl.load(p_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t9_1 = t5_0 * t4_1
    t13_1 = tl.fma(0.408248290463863 * t9_1, t0_1, t13_1)
    t13_2 = tl.fma(0.408248290463863 * t9_1, t0_2, t13_2)
    t13_3 = tl.fma(0.408248290463863 * t9_1, t0_3, t13_3)
    t14_1 = tl.fma(t9_1, t2_1, t14_1)
    t14_2 = tl.fma(t9_1, t2_2, t14_2)
    t14_3 = tl.fma(t9_1, t2_3, t14_3)
    tl.store(b13_at + 1, tl.sum(t13_1, 1)[:, None], mask=inside)
    tl.store(b13_at + 2, tl.sum(t13_2, 1)[:, None], mask=inside)
    tl.store(b13_at + 3, tl.sum(t13_3, 1)[:, None], mask=inside)
    q_grad_x_at_u3 = q_grad_x_at + u * 3
    tl.store(q_grad_x_at_u3 + 2, t14_1, mask=inside)
    tl.store(q_grad_x_at_u3 + 3, t14_2, mask=inside)
    tl.store(q_grad_x_at_u3 + 4, t14_3, mask=inside)


def _several_outputs_stage_1(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 1 of `several_outputs`: the gradients."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W, p_grad_mixed, p_grad_kept = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_grad_x, q_grad_y, q_grad_W = results
    b10 = p_x.new_empty((batch, 2, 2), dtype=compute)
    b13 = p_x.new_empty((batch, 4), dtype=compute)
    _launch(_several_outputs_stage_1_kernel_0, _count(batch, 16), 1, 1, compute, b10, p_grad_mixed, p_x, p_y, b13, p_grad_kept, p_W, p_z, q_grad_x, batch)
    b15 = b10.new_zeros((3, *b10.shape[1:])).index_put((p_z,), b10, accumulate=True)  # in torch: sums rows of a table
    q_grad_y[..., 0:1] = b13.narrow(-1, 0, 1).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_y[..., 1:4] = b13.narrow(-1, 1, 3).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_W[..., 0:4] = b15.flatten(-2)
    return results


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_2_kernel_0(
    b20,
    p_grad_grad_y,
    p_x,
    p_grad_grad_x,
    p_y,
    p_grad_mixed,
    b30,
    p_grad_kept,
    p_W,
    p_z,
    p_grad_grad_W,
    q_grad_x_,
    q_grad_grad_mixed,
    q_grad_grad_kept,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    value 20, value 30, grad_x_, grad_grad_mixed, grad_grad_kept; over the batch: 74 terms, 44 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 16 + tl.arange(0, 16)[:, None].to(tl.int64)
    inside = row < batch
    p_grad_grad_y_at = p_grad_grad_y + row * 4
    t9_0 = tl.load(p_grad_grad_y_at, mask=inside, other=0.0).to(COMPUTE)
    t11_0 = 0.7071067811865476 * t9_0
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    t18_0 = t11_0 * t0_0
    p_grad_grad_x_at = p_grad_grad_x + row * 8
    p_grad_grad_x_at_u = p_grad_grad_x_at + u
    t8_0 = tl.load(p_grad_grad_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t18_0 = tl.fma(t8_0, t2_0, t18_0)
    p_grad_mixed_at = p_grad_mixed + row * 2
    p_grad_mixed_at_u = p_grad_mixed_at + u
    t5_0 = tl.load(p_grad_mixed_at_u, mask=inside, other=0.0).to(COMPUTE)
    t20_0 = t18_0 * t5_0
    b20_at = b20 + row * 4
    b20_at_u = b20_at + u
    tl.store(b20_at_u, t20_0, mask=inside)
    t9_1 = tl.load(p_grad_grad_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t11_1 = 0.408248290463863 * t9_1
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t18_1 = t11_1 * t0_1
    t9_2 = tl.load(p_grad_grad_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t11_2 = 0.408248290463863 * t9_2
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t18_1 = tl.fma(t11_2, t0_2, t18_1)
    t9_3 = tl.load(p_grad_grad_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t11_3 = 0.408248290463863 * t9_3
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t18_1 = tl.fma(t11_3, t0_3, t18_1)
    p_grad_grad_x_at_u3 = p_grad_grad_x_at + u * 3
    t8_1 = tl.load(p_grad_grad_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    t25_0 = t8_0 * t1_1
    t18_1 = tl.fma(t8_1, t2_1, t18_1)
    t8_2 = tl.load(p_grad_grad_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t25_1 = t8_0 * t1_2
    t18_1 = tl.fma(t8_2, t2_2, t18_1)
    t8_3 = tl.load(p_grad_grad_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t25_2 = t8_0 * t1_3
    t18_1 = tl.fma(t8_3, t2_3, t18_1)
    t20_1 = t18_1 * t5_0
    tl.store(b20_at_u + 2, t20_1, mask=inside)
    p_grad_kept_at = p_grad_kept + row * 12
    p_grad_kept_at_u3 = p_grad_kept_at + u * 3
    t6_3 = tl.load(p_grad_kept_at_u3 + 6, mask=inside, other=0.0).to(COMPUTE)
    t30_0 = t8_1 * t6_3
    t31_1 = t9_0 * t6_3
    t6_4 = tl.load(p_grad_kept_at_u3 + 7, mask=inside, other=0.0).to(COMPUTE)
    t30_0 = tl.fma(t8_2, t6_4, t30_0)
    t31_2 = t9_0 * t6_4
    t6_5 = tl.load(p_grad_kept_at_u3 + 8, mask=inside, other=0.0).to(COMPUTE)
    t30_0 = tl.fma(t8_3, t6_5, t30_0)
    t31_3 = t9_0 * t6_5
    p_W_p_z_at = p_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_W_p_z_at_u = p_W_p_z_at + u
    t4_0 = tl.load(p_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t7_0 = t5_0 * t4_0
    t26_0 = t18_0 * t4_0
    t31_0 = t11_0 * t7_0
    t29_0 = t8_0 * t7_0
    p_grad_grad_W_p_z_at = p_grad_grad_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_grad_grad_W_p_z_at_u = p_grad_grad_W_p_z_at + u
    t10_0 = tl.load(p_grad_grad_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t17_0 = t10_0 * t5_0
    t29_0 = tl.fma(t17_0, t0_0, t29_0)
    t30_0 += 0.7071067811865476 * t29_0
    b30_at = b30 + row * 4
    tl.store(b30_at, tl.sum(t30_0, 1)[:, None], mask=inside)
    t6_0 = tl.load(p_grad_kept_at_u3, mask=inside, other=0.0).to(COMPUTE)
    t30_1 = t8_0 * t6_0
    t31_0 = tl.fma(t9_1, t6_0, t31_0)
    t4_1 = tl.load(p_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t7_1 = t5_0 * t4_1
    t26_0 = tl.fma(t18_1, t4_1, t26_0)
    t31_1 = tl.fma(t11_1, t7_1, t31_1)
    t31_2 = tl.fma(t11_2, t7_1, t31_2)
    t31_3 = tl.fma(t11_3, t7_1, t31_3)
    t29_1 = t8_1 * t7_1
    t10_1 = tl.load(p_grad_grad_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t17_1 = t10_1 * t5_0
    t29_1 = tl.fma(t17_1, t0_1, t29_1)
    t30_1 += 0.408248290463863 * t29_1
    tl.store(b30_at + 1, tl.sum(t30_1, 1)[:, None], mask=inside)
    t6_1 = tl.load(p_grad_kept_at_u3 + 1, mask=inside, other=0.0).to(COMPUTE)
    t30_2 = t8_0 * t6_1
    t31_0 = tl.fma(t9_2, t6_1, t31_0)
    t29_2 = t8_2 * t7_1
    t29_2 = tl.fma(t17_1, t0_2, t29_2)
    t30_2 += 0.408248290463863 * t29_2
    tl.store(b30_at + 2, tl.sum(t30_2, 1)[:, None], mask=inside)
    t6_2 = tl.load(p_grad_kept_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t30_3 = t8_0 * t6_2
    t31_0 = tl.fma(t9_3, t6_2, t31_0)
    t29_3 = t8_3 * t7_1
    t29_3 = tl.fma(t17_1, t0_3, t29_3)
    t30_3 += 0.408248290463863 * t29_3
    tl.store(b30_at + 3, tl.sum(t30_3, 1)[:, None], mask=inside)
    t31_0 = tl.fma(t17_0, t2_0, t31_0)
    q_grad_x__at = q_grad_x_ + row * 8
    q_grad_x__at_u = q_grad_x__at + u
    tl.store(q_grad_x__at_u, t31_0, mask=inside)
    t31_1 = tl.fma(t17_1, t2_1, t31_1)
    q_grad_x__at_u3 = q_grad_x__at + u * 3
    tl.store(q_grad_x__at_u3 + 2, t31_1, mask=inside)
    t31_2 = tl.fma(t17_1, t2_2, t31_2)
    tl.store(q_grad_x__at_u3 + 3, t31_2, mask=inside)
    t31_3 = tl.fma(t17_1, t2_3, t31_3)
    tl.store(q_grad_x__at_u3 + 4, t31_3, mask=inside)
    t3_0 = t0_0 * t2_0
    t26_0 = tl.fma(t10_0, t3_0, t26_0)
    t3_1 = t0_1 * t2_1
    t3_1 = tl.fma(t0_2, t2_2, t3_1)
    t3_1 = tl.fma(t0_3, t2_3, t3_1)
    t26_0 = tl.fma(t10_1, t3_1, t26_0)
    q_grad_grad_mixed_at = q_grad_grad_mixed + row * 2
    q_grad_grad_mixed_at_u = q_grad_grad_mixed_at + u
    tl.store(q_grad_grad_mixed_at_u, t26_0, mask=inside)
    t25_0 = tl.fma(t9_1, t0_0, t25_0)
    q_grad_grad_kept_at = q_grad_grad_kept + row * 12
    q_grad_grad_kept_at_u3 = q_grad_grad_kept_at + u * 3
    tl.store(q_grad_grad_kept_at_u3, t25_0, mask=inside)
    t25_1 = tl.fma(t9_2, t0_0, t25_1)
    tl.store(q_grad_grad_kept_at_u3 + 1, t25_1, mask=inside)
    t25_2 = tl.fma(t9_3, t0_0, t25_2)
    tl.store(q_grad_grad_kept_at_u3 + 2, t25_2, mask=inside)
    t25_3 = t9_0 * t0_1
    t25_3 = tl.fma(t8_1, t1_0, t25_3)
    tl.store(q_grad_grad_kept_at_u3 + 6, t25_3, mask=inside)
    t25_4 = t9_0 * t0_2
    t25_4 = tl.fma(t8_2, t1_0, t25_4)
    tl.store(q_grad_grad_kept_at_u3 + 7, t25_4, mask=inside)
    t25_5 = t9_0 * t0_3
    t25_5 = tl.fma(t8_3, t1_0, t25_5)
    tl.store(q_grad_grad_kept_at_u3 + 8, t25_5, mask=inside)


def _several_outputs_stage_2(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 2 of `several_outputs`: the gradients of the gradients."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W, p_grad_mixed, p_grad_kept, p_grad_grad_x, p_grad_grad_y, p_grad_grad_W = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_grad_x_, q_grad_y_, q_grad_grad_mixed, q_grad_grad_kept, q_grad_W_ = results
    b20 = p_x.new_empty((batch, 2, 2), dtype=compute)
    b30 = p_x.new_empty((batch, 4), dtype=compute)
    _launch(_several_outputs_stage_2_kernel_0, _count(batch, 16), 1, 1, compute, b20, p_grad_grad_y, p_x, p_grad_grad_x, p_y, p_grad_mixed, b30, p_grad_kept, p_W, p_z, p_grad_grad_W, q_grad_x_, q_grad_grad_mixed, q_grad_grad_kept, batch)
    b32 = b20.new_zeros((3, *b20.shape[1:])).index_put((p_z,), b20, accumulate=True)  # in torch: sums rows of a table
    q_grad_y_[..., 0:1] = b30.narrow(-1, 0, 1).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_y_[..., 1:4] = b30.narrow(-1, 1, 3).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_W_[..., 0:4] = b32.flatten(-2)
    return results


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_3_kernel_0(
    q_tangent_mixed,
    p_tangent_x,
    p_y,
    p_x,
    p_tangent_y,
    p_W,
    p_z,
    p_tangent_W,
    q_tangent_kept,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    tangent_mixed, tangent_kept; over the batch: 36 terms, 27 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 64 + tl.arange(0, 64)[:, None].to(tl.int64)
    inside = row < batch
    p_tangent_x_at = p_tangent_x + row * 8
    p_tangent_x_at_u = p_tangent_x_at + u
    t5_0 = tl.load(p_tangent_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t10_0 = t5_0 * t2_0
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_tangent_y_at = p_tangent_y + row * 4
    t6_0 = tl.load(p_tangent_y_at, mask=inside, other=0.0).to(COMPUTE)
    t7_0 = 0.7071067811865476 * t6_0
    t10_0 = tl.fma(t0_0, t7_0, t10_0)
    t3_0 = t0_0 * t2_0
    p_W_p_z_at = p_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_W_p_z_at_u = p_W_p_z_at + u
    t4_0 = tl.load(p_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = t10_0 * t4_0
    p_tangent_W_p_z_at = p_tangent_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_tangent_W_p_z_at_u = p_tangent_W_p_z_at + u
    t11_0 = tl.load(p_tangent_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = tl.fma(t3_0, t11_0, t14_0)
    p_tangent_x_at_u3 = p_tangent_x_at + u * 3
    t5_1 = tl.load(p_tangent_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    t17_0 = t5_0 * t1_1
    t10_1 = t5_1 * t2_1
    t5_2 = tl.load(p_tangent_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t17_1 = t5_0 * t1_2
    t10_1 = tl.fma(t5_2, t2_2, t10_1)
    t5_3 = tl.load(p_tangent_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t17_2 = t5_0 * t1_3
    t10_1 = tl.fma(t5_3, t2_3, t10_1)
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t6_1 = tl.load(p_tangent_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t7_1 = 0.408248290463863 * t6_1
    t10_1 = tl.fma(t0_1, t7_1, t10_1)
    t3_1 = t0_1 * t2_1
    t17_3 = t0_1 * t6_0
    t17_0 = tl.fma(t0_0, t6_1, t17_0)
    q_tangent_kept_at = q_tangent_kept + row * 12
    q_tangent_kept_at_u3 = q_tangent_kept_at + u * 3
    tl.store(q_tangent_kept_at_u3, t17_0, mask=inside)
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t6_2 = tl.load(p_tangent_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t7_2 = 0.408248290463863 * t6_2
    t10_1 = tl.fma(t0_2, t7_2, t10_1)
    t3_1 = tl.fma(t0_2, t2_2, t3_1)
    t17_4 = t0_2 * t6_0
    t17_1 = tl.fma(t0_0, t6_2, t17_1)
    tl.store(q_tangent_kept_at_u3 + 1, t17_1, mask=inside)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t6_3 = tl.load(p_tangent_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t7_3 = 0.408248290463863 * t6_3
    t10_1 = tl.fma(t0_3, t7_3, t10_1)
    t3_1 = tl.fma(t0_3, t2_3, t3_1)
    t17_5 = t0_3 * t6_0
    t17_2 = tl.fma(t0_0, t6_3, t17_2)
    t4_1 = tl.load(p_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = tl.fma(t10_1, t4_1, t14_0)
    t11_1 = tl.load(p_tangent_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t14_0 = tl.fma(t3_1, t11_1, t14_0)
    tl.store(q_tangent_kept_at_u3 + 2, t17_2, mask=inside)
    q_tangent_mixed_at = q_tangent_mixed + row * 2
    q_tangent_mixed_at_u = q_tangent_mixed_at + u
    tl.store(q_tangent_mixed_at_u, t14_0, mask=inside)
    t17_3 = tl.fma(t5_1, t1_0, t17_3)
    tl.store(q_tangent_kept_at_u3 + 6, t17_3, mask=inside)
    t17_4 = tl.fma(t5_2, t1_0, t17_4)
    tl.store(q_tangent_kept_at_u3 + 7, t17_4, mask=inside)
    t17_5 = tl.fma(t5_3, t1_0, t17_5)
    tl.store(q_tangent_kept_at_u3 + 8, t17_5, mask=inside)


def _several_outputs_stage_3(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 3 of `several_outputs`: the tangent of the value, where `x`, `y` and `W` have one."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W, p_tangent_x, p_tangent_y, p_tangent_W = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_tangent_mixed, q_tangent_kept = results
    _launch(_several_outputs_stage_3_kernel_0, _count(batch, 64), 1, 4, compute, q_tangent_mixed, p_tangent_x, p_y, p_x, p_tangent_y, p_W, p_z, p_tangent_W, q_tangent_kept, batch)
    return results


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_4_kernel_0(
    q_tangent_mixed,
    p_tangent_x,
    p_y,
    p_x,
    p_tangent_y,
    p_W,
    p_z,
    q_tangent_kept,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    tangent_mixed, tangent_kept; over the batch: 30 terms, 25 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 64 + tl.arange(0, 64)[:, None].to(tl.int64)
    inside = row < batch
    p_tangent_x_at = p_tangent_x + row * 8
    p_tangent_x_at_u = p_tangent_x_at + u
    t4_0 = tl.load(p_tangent_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t9_0 = t4_0 * t2_0
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_tangent_y_at = p_tangent_y + row * 4
    t5_0 = tl.load(p_tangent_y_at, mask=inside, other=0.0).to(COMPUTE)
    t6_0 = 0.7071067811865476 * t5_0
    t9_0 = tl.fma(t0_0, t6_0, t9_0)
    p_W_p_z_at = p_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_W_p_z_at_u = p_W_p_z_at + u
    t3_0 = tl.load(p_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t10_0 = t9_0 * t3_0
    p_tangent_x_at_u3 = p_tangent_x_at + u * 3
    t4_1 = tl.load(p_tangent_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    t9_1 = t4_1 * t2_1
    t13_3 = t4_1 * t1_0
    t13_0 = t4_0 * t1_1
    t4_2 = tl.load(p_tangent_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t9_1 = tl.fma(t4_2, t2_2, t9_1)
    t13_4 = t4_2 * t1_0
    t13_1 = t4_0 * t1_2
    t4_3 = tl.load(p_tangent_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t9_1 = tl.fma(t4_3, t2_3, t9_1)
    t13_5 = t4_3 * t1_0
    t13_2 = t4_0 * t1_3
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t5_1 = tl.load(p_tangent_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t6_1 = 0.408248290463863 * t5_1
    t9_1 = tl.fma(t0_1, t6_1, t9_1)
    t13_3 = tl.fma(t0_1, t5_0, t13_3)
    t13_0 = tl.fma(t0_0, t5_1, t13_0)
    q_tangent_kept_at = q_tangent_kept + row * 12
    q_tangent_kept_at_u3 = q_tangent_kept_at + u * 3
    tl.store(q_tangent_kept_at_u3 + 6, t13_3, mask=inside)
    tl.store(q_tangent_kept_at_u3, t13_0, mask=inside)
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t5_2 = tl.load(p_tangent_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t6_2 = 0.408248290463863 * t5_2
    t9_1 = tl.fma(t0_2, t6_2, t9_1)
    t13_4 = tl.fma(t0_2, t5_0, t13_4)
    t13_1 = tl.fma(t0_0, t5_2, t13_1)
    tl.store(q_tangent_kept_at_u3 + 7, t13_4, mask=inside)
    tl.store(q_tangent_kept_at_u3 + 1, t13_1, mask=inside)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t5_3 = tl.load(p_tangent_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t6_3 = 0.408248290463863 * t5_3
    t9_1 = tl.fma(t0_3, t6_3, t9_1)
    t13_5 = tl.fma(t0_3, t5_0, t13_5)
    t13_2 = tl.fma(t0_0, t5_3, t13_2)
    t3_1 = tl.load(p_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t10_0 = tl.fma(t9_1, t3_1, t10_0)
    tl.store(q_tangent_kept_at_u3 + 8, t13_5, mask=inside)
    tl.store(q_tangent_kept_at_u3 + 2, t13_2, mask=inside)
    q_tangent_mixed_at = q_tangent_mixed + row * 2
    q_tangent_mixed_at_u = q_tangent_mixed_at + u
    tl.store(q_tangent_mixed_at_u, t10_0, mask=inside)


def _several_outputs_stage_4(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 4 of `several_outputs`: the tangent of the value, where `x` and `y` have one."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W, p_tangent_x, p_tangent_y = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_tangent_mixed, q_tangent_kept = results
    _launch(_several_outputs_stage_4_kernel_0, _count(batch, 64), 1, 4, compute, q_tangent_mixed, p_tangent_x, p_y, p_x, p_tangent_y, p_W, p_z, q_tangent_kept, batch)
    return results


@_jit(do_not_specialize=["batch"])
def _several_outputs_stage_5_kernel_0(
    q_tangent_mixed,
    p_x,
    p_y,
    p_tangent_W,
    p_z,
    batch,
    COMPUTE: tl.constexpr,
):
    """
    tangent_mixed; over the batch: 10 terms, 11 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 64 + tl.arange(0, 64)[:, None].to(tl.int64)
    inside = row < batch
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_y_at = p_y + row * 4
    t1_0 = tl.load(p_y_at, mask=inside, other=0.0).to(COMPUTE)
    t2_0 = 0.7071067811865476 * t1_0
    t3_0 = t0_0 * t2_0
    p_tangent_W_p_z_at = p_tangent_W + (tl.load(p_z + row, mask=inside, other=0)) * 4
    p_tangent_W_p_z_at_u = p_tangent_W_p_z_at + u
    t5_0 = tl.load(p_tangent_W_p_z_at_u, mask=inside, other=0.0).to(COMPUTE)
    t6_0 = t3_0 * t5_0
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t1_1 = tl.load(p_y_at + 1, mask=inside, other=0.0).to(COMPUTE)
    t2_1 = 0.408248290463863 * t1_1
    t3_1 = t0_1 * t2_1
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t1_2 = tl.load(p_y_at + 2, mask=inside, other=0.0).to(COMPUTE)
    t2_2 = 0.408248290463863 * t1_2
    t3_1 = tl.fma(t0_2, t2_2, t3_1)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    t1_3 = tl.load(p_y_at + 3, mask=inside, other=0.0).to(COMPUTE)
    t2_3 = 0.408248290463863 * t1_3
    t3_1 = tl.fma(t0_3, t2_3, t3_1)
    t5_1 = tl.load(p_tangent_W_p_z_at_u + 2, mask=inside, other=0.0).to(COMPUTE)
    t6_0 = tl.fma(t3_1, t5_1, t6_0)
    q_tangent_mixed_at = q_tangent_mixed + row * 2
    q_tangent_mixed_at_u = q_tangent_mixed_at + u
    tl.store(q_tangent_mixed_at_u, t6_0, mask=inside)


def _several_outputs_stage_5(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 5 of `several_outputs`: the tangent of the value, where `W` has one."""
    p_z, = [one.contiguous() for one in fixed]
    batch, = sizes
    p_x, p_y, p_W, p_tangent_W = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_tangent_mixed, q_tangent_kept = results
    q_tangent_kept.zero_()
    _launch(_several_outputs_stage_5_kernel_0, _count(batch, 64), 1, 4, compute, q_tangent_mixed, p_x, p_y, p_tangent_W, p_z, batch)
    return results


def _several_outputs_stage_rows(operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """`several_outputs` in plain torch, from rows to rows."""
    p_x, p_y, p_W = operands
    p_z, *_ = fixed
    batch, = sizes
    dtype, compute = p_x.dtype, _compute(p_x)
    found = _several_outputs(p_x.to(compute), p_y.to(compute), p_z, p_W.to(compute))
    return (found[0].to(dtype), found[1].to(dtype))


_SEVERAL_OUTPUTS_2 = _register(
    _Diagram(
        stages=(_several_outputs_stage_0, _several_outputs_stage_1, _several_outputs_stage_2, _several_outputs_stage_3, _several_outputs_stage_4, _several_outputs_stage_5),
        plain=_several_outputs_stage_rows,
        counts=(3, 5, 8, 6, 5, 4),
        results=((0, 1, 2), (0, 1, 3, 4, 2)),
        shapes=(((0, 0, (2,)), (0, 0, (12,))), ((0, 0, (8,)), (1, 0, (4,)), (2, None, (3, 4))), ((0, 0, (8,)), (1, 0, (4,)), (3, 0, (2,)), (4, 0, (12,)), (2, None, (3, 4))), ((0, 0, (2,)), (0, 0, (12,))), ((0, 0, (2,)), (0, 0, (12,))), ((0, 0, (2,)), (0, 0, (12,)))),
        weights=((2,), (2,), (2, 7), (2, 5), (2,), (2, 3)),
        tangents=((0, 1, 2), (0, 1), (2,)),
        linear=(0, 1),
        rows=1,
        operators=[],
    ),
    "several_outputs",
    keeps=False,
)


def _several_outputs_kernels(x: Tensor, y: Tensor, z: Tensor, W: Tensor) -> SeveralOutputsOutput:
    """`several_outputs` with kernels."""
    leading = x.shape[: x.ndim - 1]
    operands = (x.reshape(-1, 8), y.reshape(-1, 4), W)
    fixed = (_check_inside(z.reshape(-1).to(torch.int64), 3),)
    sizes = (math.prod(leading),)
    found = _evaluate(_SEVERAL_OUTPUTS_2, 0, operands, fixed, sizes)
    return SeveralOutputsOutput(found[0].reshape(*leading, 2), found[1].reshape(*leading, 12))


KERNELS = {
    "_several_outputs_stage_0_kernel_0": (_several_outputs_stage_0_kernel_0, 4, {'q_mixed': '*operand', 'p_x': '*operand', 'p_y': '*operand', 'p_W': '*operand', 'p_z': '*i64', 'q_kept': '*operand', 'batch': 'i32'}),
    "_several_outputs_stage_1_kernel_0": (_several_outputs_stage_1_kernel_0, 1, {'b10': '*compute', 'p_grad_mixed': '*operand', 'p_x': '*operand', 'p_y': '*operand', 'b13': '*compute', 'p_grad_kept': '*operand', 'p_W': '*operand', 'p_z': '*i64', 'q_grad_x': '*operand', 'batch': 'i32'}),
    "_several_outputs_stage_2_kernel_0": (_several_outputs_stage_2_kernel_0, 1, {'b20': '*compute', 'p_grad_grad_y': '*operand', 'p_x': '*operand', 'p_grad_grad_x': '*operand', 'p_y': '*operand', 'p_grad_mixed': '*operand', 'b30': '*compute', 'p_grad_kept': '*operand', 'p_W': '*operand', 'p_z': '*i64', 'p_grad_grad_W': '*operand', 'q_grad_x_': '*operand', 'q_grad_grad_mixed': '*operand', 'q_grad_grad_kept': '*operand', 'batch': 'i32'}),
    "_several_outputs_stage_3_kernel_0": (_several_outputs_stage_3_kernel_0, 4, {'q_tangent_mixed': '*operand', 'p_tangent_x': '*operand', 'p_y': '*operand', 'p_x': '*operand', 'p_tangent_y': '*operand', 'p_W': '*operand', 'p_z': '*i64', 'p_tangent_W': '*operand', 'q_tangent_kept': '*operand', 'batch': 'i32'}),
    "_several_outputs_stage_4_kernel_0": (_several_outputs_stage_4_kernel_0, 4, {'q_tangent_mixed': '*operand', 'p_tangent_x': '*operand', 'p_y': '*operand', 'p_x': '*operand', 'p_tangent_y': '*operand', 'p_W': '*operand', 'p_z': '*i64', 'q_tangent_kept': '*operand', 'batch': 'i32'}),
    "_several_outputs_stage_5_kernel_0": (_several_outputs_stage_5_kernel_0, 4, {'q_tangent_mixed': '*operand', 'p_x': '*operand', 'p_y': '*operand', 'p_tangent_W': '*operand', 'p_z': '*i64', 'batch': 'i32'}),
}
"""Every kernel by name, with its warps and the types of its arguments (for compilation ahead of time)."""

# SPDX-License-Identifier: 0BSD
# Written by fusionc 0.1.0 for triton, layout mul_ir. The code is yours; edit the diagram rather than this file.
"""Fusion diagram: OverSites.

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
from torch.utils.weak import WeakTensorKeyDictionary

try:
    import triton
    import triton.language as tl
except ImportError:  # kernels are for GPUs; plain torch does the same elsewhere
    triton = tl = None

__all__ = ["OverSites", "over_sites"]

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


def _check_sites(sites: str, *legs: tuple[str, int]) -> int:
    """The number of sites of a set, which all legs over it agree on."""
    for leg, size in legs[1:]:
        if size != legs[0][1]:
            first = legs[0]
            raise ValueError(f"legs `{first[0]}` and `{leg}` are over {sites}, and have {first[1]} and {size} of them")
    return legs[0][1]


def _check_relation(name: str, value: Tensor, first: int, second: int, like: Tensor, *legs: tuple[str, int]) -> Tensor:
    """A relation as int64 [2, E]. Raises unless it fits the legs over its pairs and stays inside its sets of sites."""
    _check_tensor(f"relation `{name}`", value)
    value = _integers(f"relation `{name}`", "places of sites", value)
    if value.ndim != 2 or value.shape[0] != 2:
        hint = f": {name}.t() has" if value.ndim == 2 and value.shape[1] == 2 else ""
        raise ValueError(f"relation `{name}` should have shape [2, pairs], and has {list(value.shape)}{hint}")
    if value.device != like.device:
        raise ValueError(f"relation `{name}` should be on {like.device}, and is on {value.device}")
    for leg, size in legs:
        if size != value.shape[1]:
            raise ValueError(f"leg `{leg}` is over {name}, and has {size} pairs where {name} has {value.shape[1]}")
    if not _has_numbers(value):
        return value
    for row, size in enumerate((first, second)):
        least, most = map(int, value[row].aminmax()) if value.shape[1] else (0, size - 1)
        if least < 0 or most >= size:
            wrong = least if least < 0 else most
            inside = f"lie between 0 and {size - 1}" if size else "be empty, for there are no sites"
            raise IndexError(f"row {row} of relation `{name}` should {inside}, and has {wrong}")
    return value


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


def _call_looped(looped: Callable[..., Any], stage: _Stage, /, *operands: Tensor, **sites: Tensor | int) -> Any:
    """The value of a diagram over sites: code that is compiled for a CPU has loops over pairs instead of the stage."""
    if _is_opaque() and operands[0].device.type == "cpu":
        return looped(*operands, **sites)
    return _call(stage, *operands, **sites)


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
    operator = register(f"fusionc_e9b1576af63c::value_{name}", run, schema=schema.format(""))
    given = "Tensor[] given, bool[] needed, "
    derivative = register(f"fusionc_e9b1576af63c::gradients_{name}", run_gradients, schema=schema.format(given))
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


def _layered(
    left: Tensor, right: Tensor, layers: tuple[tuple[Any, ...], ...], first: int, count: int, dim: int
) -> Tensor:
    """Products of components, added up layer by layer. A layer (start, rows, columns, left, right) goes to a grid of
    the result; an operand (start, kind) gives the same row of components to all rows ("across"), one component to a
    whole row ("along"), or one to each ("all"). The `first` layers fill the result, the others add to it."""
    batch = torch.broadcast_shapes(left.shape[:dim], right.shape[:dim])
    shape = [*batch, count, *left.shape[left.ndim + dim + 1 :]]
    plain = _is_recorded()
    # (`vmap` may map either operand: memory for the sum is made like a product)
    sums = (left.narrow(dim, 0, 1) * right.narrow(dim, 0, 1)).new_zeros(shape) if plain else left.new_empty(shape)
    for number, (start, rows, columns, *sides) in enumerate(layers):
        factors = []
        for value, (place, kind) in zip((left, right), sides):
            size = {"across": (1, columns), "along": (rows, 1), "all": (rows, columns)}[kind]
            factors.append(torch.unflatten(value.narrow(dim, place, size[0] * size[1]), dim, size))
        grid = torch.unflatten(sums.narrow(dim, start, rows * columns), dim, (rows, columns))
        if plain:
            grid.add_(factors[0] * factors[1])
        elif number < first:
            torch.mul(*factors, out=grid)
        else:
            grid.addcmul_(*factors)
    return sums


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


def _scatter(sums: Tensor | None, value: Tensor, index: Tensor, size: int, dim: int) -> Tensor:
    """Rows along a dimension, added into `size` places: of the sums of the pieces before, if there are any."""
    if sums is not None:
        return sums.index_add_(dim, index, value)
    shape = list(value.shape)
    shape[dim] = size
    zeros = value.new_zeros(shape)
    recorded = _is_recorded()
    return zeros.index_add(dim, index, value) if recorded else zeros.index_add_(dim, index, value)


_OVER_SITES_CONSTANTS = _Kept(
    _table(
        256,
        {
            # out
            0: 0.7071067811865476, 21: 0.7071067811865476, 26: 0.7071067811865476, 31: 0.7071067811865476,
            37: 0.408248290463863, 40: 0.7071067811865476, 70: 0.408248290463863, 76: 0.7071067811865476,
            103: 0.408248290463863, 112: 0.7071067811865476,
            # grad of y
            128: 0.7071067811865476, 149: 0.408248290463863, 154: 0.408248290463863, 159: 0.408248290463863,
            161: 0.7071067811865476, 178: 0.7071067811865476, 195: 0.7071067811865476, 212: 0.7071067811865476,
            232: 0.7071067811865476, 252: 0.7071067811865476,
        },
    ),
    sizes=(
        128, 128,
    ),
)
_OVER_SITES_INDICES = _Kept(
    torch.tensor(
        [
            0, 3, 1, 1, 1, 2, 2, 2, 0, 0, 1, 2, 3, 1, 2, 3, 0, 2, 5, 1, 3, 6, 4, 7,
        ],
        dtype=torch.int64,
        device="cpu",
    ),
    sizes=(
        8, 8, 8,
    ),
)


def _over_sites(x: Tensor, y: Tensor, r: Tensor, *, edges: Tensor, n_atoms: int) -> Tensor:
    """The arithmetic of `over_sites`. Code that is compiled for a CPU has loops over pairs instead."""
    constants = _OVER_SITES_CONSTANTS.on(x.device, x.dtype)
    index = _OVER_SITES_INDICES.on(x.device)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    s = None
    for piece in _pieces(edges.shape[1], 71090, x):
        edges_0 = edges[0, piece]
        edges_1 = edges[1, piece]
        y_piece = y[..., piece, :]
        r_piece = r[..., piece, :]
        g = x_2.index_select(-3, edges_1)
        m = torch.unflatten(y_piece @ constants[0].view(4, 32), -1, (8, 4))
        t = m @ g
        del m
        r_2 = torch.unflatten(r_piece, -1, (4, 2))
        p = _selected(r_2, index[0], -2)
        t_2 = _added_products(t, p, ((1, 2, False), (2, 3, True),), -2)
        del t, p
        s = _scatter(s, t_2, edges_0, n_atoms, -3)
        del t_2
    out = _behind(
        (
            (s.narrow(-2, 0, 1), 2, None),
            (s.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
        ),
    )

    return out


def _over_sites_pair(y: Tensor, g: Tensor, r: Tensor) -> tuple[tuple[Any, ...], ...]:
    """The arithmetic of a pair of `edges`, component by component."""
    y_2, y_3, y_4, y_5 = torch.unflatten(y[..., 0:4], -1, (4, 1)).unbind(-2)
    (
        y_6, y_7, y_8, y_9,
    ) = _over(
        2,
        y_2, y_3, y_4, y_5,
    )
    g_2, g_3, g_4, g_5 = torch.unflatten(g[..., 0:8], -1, (4, 2)).unbind(-2)
    t = 0.7071067811865476 * y_6
    t_2 = 0.7071067811865476 * y_7
    t_3 = 0.7071067811865476 * y_8
    t_4 = 0.7071067811865476 * y_9
    t_5 = 0.408248290463863 * y_7
    t_6 = 0.408248290463863 * y_8
    t_7 = 0.408248290463863 * y_9
    t_8 = g_2 * t
    t_9 = g_3 * t_5 + g_4 * t_6 + g_5 * t_7
    t_10 = g_2 * t_2
    t_11 = g_2 * t_3
    t_12 = g_2 * t_4
    t_13 = g_3 * t
    t_14 = g_4 * t
    t_15 = g_5 * t
    r_2, r_3, r_4, r_5 = torch.unflatten(r[..., 0:8], -1, (4, 2)).unbind(-2)
    t_16 = t_8 * r_2 + t_9 * r_5
    t_17 = t_10 * r_3 + t_13 * r_4
    t_18 = t_11 * r_3 + t_14 * r_4
    t_19 = t_12 * r_3 + t_15 * r_4

    return (
        (
            t_16, t_17, t_18, t_19,
        ),
    )


def _over_sites_looped(x: Tensor, y: Tensor, r: Tensor, *, edges: Tensor, n_atoms: int) -> Tensor:
    """The arithmetic of `over_sites` in code that is compiled for a CPU."""
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    s, = _OVER_SITES_PAIRS([y, x_2.flatten(-2), r], [edges], [n_atoms])
    s_2 = torch.unflatten(s, -1, (4, 2))
    out = _behind(
        (
            (s_2.narrow(-2, 0, 1), 2, None),
            (s_2.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
        ),
    )

    return out


def _over_sites_gradients(
    x: Tensor, y: Tensor, r: Tensor, grad_out: Tensor, *, needed: tuple[bool, ...], edges: Tensor, n_atoms: int,
) -> tuple[Tensor | None, ...]:
    """The gradients of `over_sites`: of <grad, value> by every operand that is needed."""
    constants = _OVER_SITES_CONSTANTS.on(x.device, x.dtype)
    index = _OVER_SITES_INDICES.on(x.device)
    x_2 = torch.cat(
        (x[..., 0:2].unsqueeze(-2), torch.unflatten(x[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    grad_out_2 = torch.cat(
        (grad_out[..., 0:2].unsqueeze(-2), torch.unflatten(grad_out[..., 2:8], -1, (2, 3)).transpose(-1, -2)),
        dim=-2,
    )
    s = None
    out = None
    out_2 = None
    for piece in _pieces(edges.shape[1], 41121, x):
        edges_0 = edges[0, piece]
        edges_1 = edges[1, piece]
        y_piece = y[..., piece, :]
        r_piece = r[..., piece, :]
        if needed[1] or needed[2]:
            g = x_2.index_select(-3, edges_1)
        m = torch.unflatten(y_piece @ constants[0].view(4, 32), -1, (8, 4))
        if needed[2]:
            t = m @ g
        r_2 = torch.unflatten(r_piece, -1, (4, 2))
        g_2 = grad_out_2.index_select(-3, edges_0)
        if needed[0] or needed[1]:
            t_2 = _selected(g_2, index[1], -2) * _selected(r_2, index[0], -2)
        if needed[2]:
            p = _selected(t, index[2], -2)
            del t
            t_3 = _layered(
                g_2,
                p,
                (
                    (0, 1, 1, (0, "all"), (0, "all")),
                    (1, 2, 1, (1, "across"), (1, "along")),
                    (3, 1, 1, (0, "all"), (3, "all")),
                    (1, 2, 1, (2, "across"), (4, "along")),
                    (1, 2, 1, (3, "across"), (6, "along")),
                ),
                3,
                4,
                -2,
            )
            del p
        if needed[0]:
            t_4 = m.mT @ t_2
            s = _scatter(s, t_4, edges_1, n_atoms, -3)
            del t_4
        if needed[1]:
            t_5 = (t_2 @ g.mT).flatten(-2) @ constants[1].view(32, 4)
            out = _placed(out, t_5, piece, edges.shape[1], -2)
            del t_5
        if needed[2]:
            out_2 = _placed(out_2, t_3.flatten(-2), piece, edges.shape[1], -2)
            del t_3
    if needed[0]:
        out_3 = _behind(
            (
                (s.narrow(-2, 0, 1), 2, None),
                (s.narrow(-2, 1, 3).transpose(-1, -2), 2, None),
            ),
        )

    return out_3 if needed[0] else None, out if needed[1] else None, out_2 if needed[2] else None


_OVER_SITES_PAIRS = _over_pairs("over_sites_pair", _over_sites_pair, (-1, 1, -1), (0,), (8,), 56174)
_OVER_SITES = _Stage(
    _over_sites,
    kinds=(1, 1, 1),
    derivatives=(
        _Stage(
            _over_sites_gradients,
            kinds=(1, 1, 1, 1),
            results=(0, 1, 2),
            derivatives=(
                _Swapped(lambda: _OVER_SITES, 0),
                _Swapped(lambda: _OVER_SITES, 1),
                _Swapped(lambda: _OVER_SITES, 2),
            ),
        ),
    ),
)


def over_sites(x: Tensor, y: Tensor, r: Tensor, *, edges: Tensor) -> Tensor:
    """The diagram `over_sites`:

        diagram over_sites(
            x: 2x0e + 2x1o[atoms],
            y: 0e + 1o[edges],
            r: weights[edges]
        ) -> 2x0e + 2x1o[atoms] {
            x[j,u] y[i,j] -> out[i,u] * r[i, j, path, u]
        }

    x: [..., atoms, 8], 2x0e + 2x1o
    y: [..., edges, 4], 1x0e + 1x1o
    r: [..., edges, 8], weights
    edges: integers [2, E], for each pair its places in atoms and atoms
    -> out: [..., atoms, 8], 2x0e + 2x1o
    """
    _check_leg("x", x, 8, "2x0e + 2x1o", _REAL, "atoms")
    if _is_autocast(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return over_sites(*_widened(x, y, r), edges=edges)
    _check_leg("y", y, 4, "1x0e + 1x1o", _REAL, "edges")
    _check_like("leg `y`", y, "x", x)
    _check_leg("r", r, 8, "weights", _REAL, "edges")
    _check_like("weights `r`", r, "x", x)
    x, y, r = _broadcast(("x", "y", "r"), (x, y, r), (2, 2, 2))
    n_atoms = _check_sites("atoms", ("x", x.shape[-2]))
    edges = _check_relation("edges", edges, n_atoms, n_atoms, x, ("y", y.shape[-2]), ("r", r.shape[-2]))
    if _runs_kernels(x):
        return _over_sites_kernels(x, y, r, edges=edges)
    dtype = x.dtype
    compute = torch.float32 if dtype in _HALVES else dtype
    if dtype in _HALVES:
        x, y, r = x.to(compute), y.to(compute), r.to(compute)

    result = _call_looped(_over_sites_looped, _OVER_SITES, x, y, r, edges=edges, n_atoms=n_atoms)
    return result.to(dtype).contiguous()


class OverSites(nn.Module):
    """The diagram `over_sites`."""

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        nn.Module.__init__(self)

    def forward(self, x: Tensor, y: Tensor, r: Tensor, *, edges: Tensor) -> Tensor:
        return over_sites(x, y, r, edges=edges)

    def extra_repr(self) -> str:
        return "2x0e + 2x1o, 1x0e + 1x1o, weights -> 2x0e + 2x1o"



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


def _sorted_pairs(relation: Tensor, row: int, count: int) -> tuple[Tensor, Tensor]:
    """The pairs of a relation in the order of the sites in one row (stable), and where the pairs of each site begin.
    A tensor that comes again, in another diagram or at the next step, is not sorted again, unless torch has written
    into it. (What others write, a replayed graph or numpy, torch does not know of: give these a new tensor.)"""
    if torch.compiler.is_compiling() or _is_traced([relation]) or relation.is_inference():
        return _sort(relation, row, count)
    if relation.is_cuda and torch.cuda.is_current_stream_capturing():
        return _sort(relation, row, count)  # a graph that is captured sorts what it is given when it is replayed
    version, found = _SORTED.get(relation, {}).get((row, count), (None, None))
    if version != relation._version:
        found = _sort(relation, row, count)
        if not _is_transformed():  # what torch.func makes does not outlive it
            _SORTED.setdefault(relation, {})[row, count] = (relation._version, found)
    return found


_SORTED = WeakTensorKeyDictionary()
"""For every relation that was sorted and is still there: by row and number of sites the version that it had, and what
was found."""


def _sort(relation: Tensor, row: int, count: int) -> tuple[Tensor, Tensor]:
    _check_inside(relation[row], count)
    order = torch.argsort(relation[row], stable=True)
    sites = torch.arange(count + 1, device=relation.device)
    return order, torch.searchsorted(relation[row][order], sites)


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
            f"fusionc_e9b1576af63c::stage{level}_{name}", partial(_run, diagram, level), mutates_args=(), schema=schema, tags=tags
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
#     _over_sites_stage_0: the value
#     _over_sites_stage_0_kernel_0: out; over edges by row 0, the pairs of each site one after the other: 25 terms, 16
#     loads and stores
#     _over_sites_stage_1: the gradients
#     _over_sites_stage_1_kernel_0: grad_x, value 13, grad_r; over edges by row 1, the pairs of each site one after
#     the other: 54 terms, 28 loads and stores
#     derivatives of gradients, tangents: stages 0 and 1 for each direction, in its operand's place, added up
#     in torch: the pairs of `edges`: sorted by row 0, once; compiled or in torch.func at every call
#     in torch: the pairs of `edges`: sorted by row 1, once; compiled or in torch.func at every call
#     in torch: torch.vmap over `edges`
#     in torch: autograd.grad with is_grads_batched, whose tensors have no memory of their own
#     in torch: torch.func inside of torch.compile, where kernels are operators that it cannot look into
#     in torch: exported programs, which run where nobody knows these operators


@_jit(do_not_specialize=["n_atoms", "n_r_edges", "n_rows"])
def _over_sites_stage_0_kernel_0(
    p_x,
    n_atoms,
    n_r_edges,
    r_edges,
    p_y,
    p_r,
    q_out,
    r_edges_order_0,
    r_edges_start_0,
    n_rows,
    COMPUTE: tl.constexpr,
):
    """
    out; over edges by row 0, the pairs of each site one after the other: 25 terms, 16 loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 16 + tl.arange(0, 16)[:, None].to(tl.int64)
    inside = row < n_rows
    member = row // n_atoms
    site = row - member * n_atoms
    begin = tl.load(r_edges_start_0 + site, mask=inside, other=0)
    end = tl.load(r_edges_start_0 + site + 1, mask=inside, other=0)
    sum7_0 = tl.zeros([16, 2], COMPUTE)
    sum7_1 = tl.zeros([16, 2], COMPUTE)
    sum7_2 = tl.zeros([16, 2], COMPUTE)
    sum7_3 = tl.zeros([16, 2], COMPUTE)
    for k in range(0, tl.max(end - begin)):
        at = begin + k
        live = at < end
        local = tl.load(r_edges_order_0 + at, mask=live, other=0)
        pair = member * n_r_edges + local
        r_edges_1 = member * n_atoms + tl.load(r_edges + n_r_edges + local, mask=live, other=0)
        p_x_at_r_edges_1 = p_x + r_edges_1 * 8
        p_x_at_r_edges_1_u = p_x_at_r_edges_1 + u
        t0_0_r_edges_1 = tl.load(p_x_at_r_edges_1_u, mask=live, other=0.0).to(COMPUTE)
        p_y_at = p_y + pair * 4
        t1_0 = tl.load(p_y_at, mask=live, other=0.0).to(COMPUTE)
        t3_0 = 0.7071067811865476 * t1_0
        t4_0 = t0_0_r_edges_1 * t3_0
        p_r_at = p_r + pair * 8
        p_r_at_u = p_r_at + u
        t5_0 = tl.load(p_r_at_u, mask=live, other=0.0).to(COMPUTE)
        t6_0 = t4_0 * t5_0
        p_x_at_r_edges_1_u3 = p_x_at_r_edges_1 + u * 3
        t0_1_r_edges_1 = tl.load(p_x_at_r_edges_1_u3 + 2, mask=live, other=0.0).to(COMPUTE)
        t1_1 = tl.load(p_y_at + 1, mask=live, other=0.0).to(COMPUTE)
        t3_4 = 0.408248290463863 * t1_1
        t4_7 = t0_1_r_edges_1 * t3_4
        t4_4 = t0_1_r_edges_1 * t3_0
        t3_1 = 0.7071067811865476 * t1_1
        t5_2 = tl.load(p_r_at_u + 4, mask=live, other=0.0).to(COMPUTE)
        t6_1 = t4_4 * t5_2
        t4_1 = t0_0_r_edges_1 * t3_1
        t5_1 = tl.load(p_r_at_u + 2, mask=live, other=0.0).to(COMPUTE)
        t6_1 = tl.fma(t4_1, t5_1, t6_1)
        sum7_1 += tl.where(live, t6_1, 0.0)
        t0_2_r_edges_1 = tl.load(p_x_at_r_edges_1_u3 + 3, mask=live, other=0.0).to(COMPUTE)
        t1_2 = tl.load(p_y_at + 2, mask=live, other=0.0).to(COMPUTE)
        t3_5 = 0.408248290463863 * t1_2
        t4_7 = tl.fma(t0_2_r_edges_1, t3_5, t4_7)
        t4_5 = t0_2_r_edges_1 * t3_0
        t3_2 = 0.7071067811865476 * t1_2
        t6_2 = t4_5 * t5_2
        t4_2 = t0_0_r_edges_1 * t3_2
        t6_2 = tl.fma(t4_2, t5_1, t6_2)
        sum7_2 += tl.where(live, t6_2, 0.0)
        t0_3_r_edges_1 = tl.load(p_x_at_r_edges_1_u3 + 4, mask=live, other=0.0).to(COMPUTE)
        t1_3 = tl.load(p_y_at + 3, mask=live, other=0.0).to(COMPUTE)
        t3_6 = 0.408248290463863 * t1_3
        t4_7 = tl.fma(t0_3_r_edges_1, t3_6, t4_7)
        t4_6 = t0_3_r_edges_1 * t3_0
        t3_3 = 0.7071067811865476 * t1_3
        t5_3 = tl.load(p_r_at_u + 6, mask=live, other=0.0).to(COMPUTE)
        t6_0 = tl.fma(t4_7, t5_3, t6_0)
        t6_3 = t4_6 * t5_2
        t4_3 = t0_0_r_edges_1 * t3_3
        sum7_0 += tl.where(live, t6_0, 0.0)
        t6_3 = tl.fma(t4_3, t5_1, t6_3)
        sum7_3 += tl.where(live, t6_3, 0.0)
    q_out_at = q_out + row * 8
    q_out_at_u = q_out_at + u
    tl.store(q_out_at_u, sum7_0, mask=inside)
    q_out_at_u3 = q_out_at + u * 3
    tl.store(q_out_at_u3 + 2, sum7_1, mask=inside)
    tl.store(q_out_at_u3 + 3, sum7_2, mask=inside)
    tl.store(q_out_at_u3 + 4, sum7_3, mask=inside)


def _over_sites_stage_0(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 0 of `over_sites`: the value."""
    r_edges, r_edges_order_0, r_edges_start_0, r_edges_order_1, r_edges_start_1 = [one.contiguous() for one in fixed]
    batch, n_atoms, n_r_edges = sizes
    p_x, p_y, p_r = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_out, = results
    _launch(_over_sites_stage_0_kernel_0, _count(batch * n_atoms, 16), 1, 1, compute, p_x, n_atoms, n_r_edges, r_edges, p_y, p_r, q_out, r_edges_order_0, r_edges_start_0, batch * n_atoms)
    return results


@_jit(do_not_specialize=["n_atoms", "n_r_edges", "n_rows"])
def _over_sites_stage_1_kernel_0(
    p_grad_out,
    n_atoms,
    n_r_edges,
    r_edges,
    p_r,
    p_y,
    b13,
    p_x,
    q_grad_r,
    q_grad_x,
    r_edges_order_1,
    r_edges_start_1,
    n_rows,
    COMPUTE: tl.constexpr,
):
    """
    grad_x, value 13, grad_r; over edges by row 1, the pairs of each site one after the other: 54 terms, 28
    loads and stores
    """
    u = tl.arange(0, 2)[None, :]
    row = tl.program_id(0) * 16 + tl.arange(0, 16)[:, None].to(tl.int64)
    inside = row < n_rows
    p_x_at = p_x + row * 8
    p_x_at_u = p_x_at + u
    t0_0 = tl.load(p_x_at_u, mask=inside, other=0.0).to(COMPUTE)
    p_x_at_u3 = p_x_at + u * 3
    t0_1 = tl.load(p_x_at_u3 + 2, mask=inside, other=0.0).to(COMPUTE)
    t0_2 = tl.load(p_x_at_u3 + 3, mask=inside, other=0.0).to(COMPUTE)
    t0_3 = tl.load(p_x_at_u3 + 4, mask=inside, other=0.0).to(COMPUTE)
    member = row // n_atoms
    site = row - member * n_atoms
    begin = tl.load(r_edges_start_1 + site, mask=inside, other=0)
    end = tl.load(r_edges_start_1 + site + 1, mask=inside, other=0)
    sum12_0 = tl.zeros([16, 2], COMPUTE)
    sum12_1 = tl.zeros([16, 2], COMPUTE)
    sum12_2 = tl.zeros([16, 2], COMPUTE)
    sum12_3 = tl.zeros([16, 2], COMPUTE)
    for k in range(0, tl.max(end - begin)):
        at = begin + k
        live = at < end
        local = tl.load(r_edges_order_1 + at, mask=live, other=0)
        pair = member * n_r_edges + local
        r_edges_0 = member * n_atoms + tl.load(r_edges + local, mask=live, other=0)
        p_grad_out_at_r_edges_0 = p_grad_out + r_edges_0 * 8
        p_grad_out_at_r_edges_0_u = p_grad_out_at_r_edges_0 + u
        t6_0_r_edges_0 = tl.load(p_grad_out_at_r_edges_0_u, mask=live, other=0.0).to(COMPUTE)
        p_r_at = p_r + pair * 8
        p_r_at_u = p_r_at + u
        t5_0 = tl.load(p_r_at_u, mask=live, other=0.0).to(COMPUTE)
        t8_0 = t6_0_r_edges_0 * t5_0
        p_y_at = p_y + pair * 4
        t1_0 = tl.load(p_y_at, mask=live, other=0.0).to(COMPUTE)
        t3_0 = 0.7071067811865476 * t1_0
        t10_0 = t8_0 * t3_0
        p_grad_out_at_r_edges_0_u3 = p_grad_out_at_r_edges_0 + u * 3
        t6_1_r_edges_0 = tl.load(p_grad_out_at_r_edges_0_u3 + 2, mask=live, other=0.0).to(COMPUTE)
        t5_1 = tl.load(p_r_at_u + 2, mask=live, other=0.0).to(COMPUTE)
        t8_1 = t6_1_r_edges_0 * t5_1
        t1_1 = tl.load(p_y_at + 1, mask=live, other=0.0).to(COMPUTE)
        t3_1 = 0.7071067811865476 * t1_1
        t3_4 = 0.408248290463863 * t1_1
        t10_0 = tl.fma(t8_1, t3_1, t10_0)
        t6_2_r_edges_0 = tl.load(p_grad_out_at_r_edges_0_u3 + 3, mask=live, other=0.0).to(COMPUTE)
        t8_2 = t6_2_r_edges_0 * t5_1
        t1_2 = tl.load(p_y_at + 2, mask=live, other=0.0).to(COMPUTE)
        t3_2 = 0.7071067811865476 * t1_2
        t3_5 = 0.408248290463863 * t1_2
        t10_0 = tl.fma(t8_2, t3_2, t10_0)
        t6_3_r_edges_0 = tl.load(p_grad_out_at_r_edges_0_u3 + 4, mask=live, other=0.0).to(COMPUTE)
        t8_3 = t6_3_r_edges_0 * t5_1
        t1_3 = tl.load(p_y_at + 3, mask=live, other=0.0).to(COMPUTE)
        t3_3 = 0.7071067811865476 * t1_3
        t3_6 = 0.408248290463863 * t1_3
        t10_0 = tl.fma(t8_3, t3_3, t10_0)
        sum12_0 += tl.where(live, t10_0, 0.0)
        t5_2 = tl.load(p_r_at_u + 4, mask=live, other=0.0).to(COMPUTE)
        t8_4 = t6_1_r_edges_0 * t5_2
        t10_1 = t8_4 * t3_0
        t5_3 = tl.load(p_r_at_u + 6, mask=live, other=0.0).to(COMPUTE)
        t8_7 = t6_0_r_edges_0 * t5_3
        t10_1 = tl.fma(t8_7, t3_4, t10_1)
        sum12_1 += tl.where(live, t10_1, 0.0)
        t8_5 = t6_2_r_edges_0 * t5_2
        t10_2 = t8_5 * t3_0
        t10_2 = tl.fma(t8_7, t3_5, t10_2)
        sum12_2 += tl.where(live, t10_2, 0.0)
        t8_6 = t6_3_r_edges_0 * t5_2
        t10_3 = t8_6 * t3_0
        t10_3 = tl.fma(t8_7, t3_6, t10_3)
        sum12_3 += tl.where(live, t10_3, 0.0)
        t11_0 = t8_0 * t0_0
        t11_0 = tl.fma(t8_4, t0_1, t11_0)
        t11_0 = tl.fma(t8_5, t0_2, t11_0)
        t11_0 = tl.fma(t8_6, t0_3, t11_0)
        t13_0 = 0.7071067811865476 * t11_0
        b13_at = b13 + pair * 4
        tl.store(b13_at, tl.sum(t13_0, 1)[:, None], mask=live)
        t13_1 = 0.7071067811865476 * t8_1 * t0_0
        t13_1 = tl.fma(0.408248290463863 * t8_7, t0_1, t13_1)
        tl.store(b13_at + 1, tl.sum(t13_1, 1)[:, None], mask=live)
        t13_2 = 0.7071067811865476 * t8_2 * t0_0
        t13_2 = tl.fma(0.408248290463863 * t8_7, t0_2, t13_2)
        tl.store(b13_at + 2, tl.sum(t13_2, 1)[:, None], mask=live)
        t13_3 = 0.7071067811865476 * t8_3 * t0_0
        t13_3 = tl.fma(0.408248290463863 * t8_7, t0_3, t13_3)
        tl.store(b13_at + 3, tl.sum(t13_3, 1)[:, None], mask=live)
        t4_0 = t0_0 * t3_0
        t9_0 = t6_0_r_edges_0 * t4_0
        q_grad_r_at = q_grad_r + pair * 8
        q_grad_r_at_u = q_grad_r_at + u
        tl.store(q_grad_r_at_u, t9_0, mask=live)
        t4_1 = t0_0 * t3_1
        t9_1 = t6_1_r_edges_0 * t4_1
        t4_2 = t0_0 * t3_2
        t9_1 = tl.fma(t6_2_r_edges_0, t4_2, t9_1)
        t4_3 = t0_0 * t3_3
        t9_1 = tl.fma(t6_3_r_edges_0, t4_3, t9_1)
        tl.store(q_grad_r_at_u + 2, t9_1, mask=live)
        t4_4 = t0_1 * t3_0
        t9_2 = t6_1_r_edges_0 * t4_4
        t4_5 = t0_2 * t3_0
        t9_2 = tl.fma(t6_2_r_edges_0, t4_5, t9_2)
        t4_6 = t0_3 * t3_0
        t9_2 = tl.fma(t6_3_r_edges_0, t4_6, t9_2)
        tl.store(q_grad_r_at_u + 4, t9_2, mask=live)
        t4_7 = t0_1 * t3_4
        t4_7 = tl.fma(t0_2, t3_5, t4_7)
        t4_7 = tl.fma(t0_3, t3_6, t4_7)
        t9_3 = t6_0_r_edges_0 * t4_7
        tl.store(q_grad_r_at_u + 6, t9_3, mask=live)
    q_grad_x_at = q_grad_x + row * 8
    q_grad_x_at_u = q_grad_x_at + u
    tl.store(q_grad_x_at_u, sum12_0, mask=inside)
    q_grad_x_at_u3 = q_grad_x_at + u * 3
    tl.store(q_grad_x_at_u3 + 2, sum12_1, mask=inside)
    tl.store(q_grad_x_at_u3 + 3, sum12_2, mask=inside)
    tl.store(q_grad_x_at_u3 + 4, sum12_3, mask=inside)


def _over_sites_stage_1(
    results: list[Tensor], operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    """Stage 1 of `over_sites`: the gradients."""
    r_edges, r_edges_order_0, r_edges_start_0, r_edges_order_1, r_edges_start_1 = [one.contiguous() for one in fixed]
    batch, n_atoms, n_r_edges = sizes
    p_x, p_y, p_r, p_grad_out = [operand.contiguous() for operand in operands]
    compute = _compute(p_x)
    q_grad_x, q_grad_y, q_grad_r = results
    b13 = p_x.new_empty((batch * n_r_edges, 4), dtype=compute)
    _launch(_over_sites_stage_1_kernel_0, _count(batch * n_atoms, 16), 1, 1, compute, p_grad_out, n_atoms, n_r_edges, r_edges, p_r, p_y, b13, p_x, q_grad_r, q_grad_x, r_edges_order_1, r_edges_start_1, batch * n_atoms)
    q_grad_y[..., 0:1] = b13.narrow(-1, 0, 1).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    q_grad_y[..., 1:4] = b13.narrow(-1, 1, 3).unsqueeze(-1).transpose(-1, -2).flatten(-2)
    return results


def _over_sites_stage_rows(operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """`over_sites` in plain torch, from rows to rows."""
    p_x, p_y, p_r = operands
    r_edges, *_ = fixed
    batch, n_atoms, n_r_edges = sizes
    dtype, compute = p_x.dtype, _compute(p_x)
    found = _over_sites(p_x.reshape(batch, n_atoms, 8).to(compute), p_y.reshape(batch, n_r_edges, 4).to(compute), p_r.reshape(batch, n_r_edges, 8).to(compute), edges=r_edges, n_atoms=n_atoms)
    return (found.flatten(0, 1).to(dtype),)


_OVER_SITES_2 = _register(
    _Diagram(
        stages=(_over_sites_stage_0, _over_sites_stage_1),
        plain=_over_sites_stage_rows,
        counts=(3, 4),
        results=((0, 1, 2),),
        shapes=(((0, 1, (8,)),), ((0, 1, (8,)), (1, 2, (4,)), (2, 2, (8,)))),
        weights=((), ()),
        tangents=(),
        linear=(0, 1, 2),
        rows=0,
        operators=[],
    ),
    "over_sites",
    keeps=False,
)


def _over_sites_kernels(x: Tensor, y: Tensor, r: Tensor, *, edges: Tensor) -> Tensor:
    """`over_sites` with kernels."""
    leading = x.shape[: x.ndim - 2]
    operands = (x.reshape(-1, 8), y.reshape(-1, 4), r.reshape(-1, 8))
    fixed = (edges.contiguous(), *_sorted_pairs(edges, 0, x.shape[-2]), *_sorted_pairs(edges, 1, x.shape[-2]))
    sizes = (math.prod(leading), x.shape[-2], edges.shape[1])
    found = _evaluate(_OVER_SITES_2, 0, operands, fixed, sizes)
    return found[0].reshape(*leading, x.shape[-2], 8)


KERNELS = {
    "_over_sites_stage_0_kernel_0": (_over_sites_stage_0_kernel_0, 1, {'p_x': '*operand', 'n_atoms': 'i32', 'n_r_edges': 'i32', 'r_edges': '*i64', 'p_y': '*operand', 'p_r': '*operand', 'q_out': '*operand', 'r_edges_order_0': '*i64', 'r_edges_start_0': '*i64', 'n_rows': 'i32'}),
    "_over_sites_stage_1_kernel_0": (_over_sites_stage_1_kernel_0, 1, {'p_grad_out': '*operand', 'n_atoms': 'i32', 'n_r_edges': 'i32', 'r_edges': '*i64', 'p_r': '*operand', 'p_y': '*operand', 'b13': '*compute', 'p_x': '*operand', 'q_grad_r': '*operand', 'q_grad_x': '*operand', 'r_edges_order_1': '*i64', 'r_edges_start_1': '*i64', 'n_rows': 'i32'}),
}
"""Every kernel by name, with its warps and the types of its arguments (for compilation ahead of time)."""

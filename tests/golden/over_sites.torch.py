# SPDX-License-Identifier: 0BSD
# Written by fusionc 0.1.0 for torch, layout mul_ir. The code is yours; edit the diagram rather than this file.
"""Fusion diagram: OverSites.

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
    operator = register(f"fusionc_78655ba4e46f::value_{name}", run, schema=schema.format(""))
    given = "Tensor[] given, bool[] needed, "
    derivative = register(f"fusionc_78655ba4e46f::gradients_{name}", run_gradients, schema=schema.format(given))
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

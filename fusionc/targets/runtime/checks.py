"""Checks of what a caller gives: dtypes, shapes, devices, rows, sites."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionc.targets.runtime.dtypes import _COMPLEX, _HALVES
from fusionc.targets.runtime.modes import _has_numbers


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


def _check_sites(sites: str, *legs: tuple[str, int]) -> int:
    """The number of sites of a set, which all legs over it agree on."""
    for leg, size in legs[1:]:
        if size != legs[0][1]:
            first = legs[0]
            raise ValueError(f"legs `{first[0]}` and `{leg}` are over {sites}, and have {first[1]} and {size} of them")
    return legs[0][1]


def _check_count(sites: str, count: int) -> int:
    """The number of sites of a set that no leg is over. (`torch.export` may give a symbol: only bools are refused.)"""
    if isinstance(count, (bool, float, str, list, tuple, dict, Tensor, type(None))):
        raise TypeError(f"`{sites}` should be an int, the number of {sites}, and is {type(count).__name__}")
    if count < 0:
        raise ValueError(f"`{sites}` should not be negative, and is {count}")
    return count


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

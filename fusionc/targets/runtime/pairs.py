"""Pairs of a relation as kernels read them: checked on the device, and in the order of their sites."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from fusionc.targets.runtime.kernels import _is_traced
from fusionc.targets.runtime.modes import _is_transformed


def _flat(sites: Tensor, batch: int, count: int) -> Tensor:
    """One row of a relation, for every element of a batch whose sites stand one behind the other."""
    if batch == 1:
        return sites
    return (torch.arange(batch, device=sites.device)[:, None] * count + sites).flatten()


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

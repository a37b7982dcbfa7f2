"""Memory: of a process that makes many modules, and of large results."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fusionc

MANY = """
import fusionc
from pathlib import Path

def size():
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096 / 2**20

TEXT = '''sites atoms; pairs edges(atoms, atoms)
diagram d{0}(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] {{ x[j,u] y[i,j] -> out[i,u] * W[path,u] }}
'''
before = 0.0
for number in range(50):
    fusionc.parse(TEXT.format(number))[f"d{number}"].module()()
    if number == 9:
        before = size()
print(size() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system of Linux")
def test_modules_hold_no_memory_that_they_do_not_use():
    """40 modules: a megabyte of addresses for each is plenty, for their code too."""
    run = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 40


LARGE = "diagram d(x: 16x1o, y: 1o) -> * { x[u] y -> out[path, u] }"
ROWS = 60_000  # (whose result has 34 MB)
linux = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="asks the system of Linux")


@pytest.fixture
def large():
    """A module with large results, operands, and what its file keeps of results that are gone."""
    module = fusionc.parse(LARGE)["d"].module(layout="ir_mul")()
    file = module.forward.__globals__
    file["_SPARE"].clear()
    yield module, (torch.randn(ROWS, 48), torch.randn(ROWS, 3)), file
    file["_SPARE"].clear()


@linux
def test_results_that_are_gone_give_their_memory_to_others(large):
    module, operands, file = large
    one = module(*operands)
    place, wanted = one.data_ptr(), one[::1000].clone()
    view = one[5:]
    other = module(*(2 * operand for operand in operands))
    assert other.data_ptr() != place
    del one
    assert not file["_SPARE"]  # a view is left
    third = module(*operands)
    assert third.data_ptr() not in (place, other.data_ptr())
    torch.testing.assert_close(view[995::1000], wanted[1:])
    torch.testing.assert_close(other[::1000], 4 * wanted)
    del view
    again = module(*operands)
    assert again.data_ptr() == place
    torch.testing.assert_close(again[::1000], wanted)


@linux
def test_gradients_of_results_that_share_memory_in_turn(large):
    module, (x, y), _ = large
    x.requires_grad_()
    (wanted,) = torch.autograd.grad(module(x, y).square().sum(), x)
    for _ in range(3):
        (found,) = torch.autograd.grad(module(x, y).square().sum(), x)
        torch.testing.assert_close(found, wanted)


@linux
def test_the_system_may_have_memory_that_is_kept(large):
    """Linux calls it lazily free."""
    module, operands, _ = large
    result = module(*operands)
    del result
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    (free,) = [int(line.split()[1]) for line in lines if line.startswith("LazyFree")]
    assert free * 1024 > 2**25


@linux
def test_not_too_much_memory_is_kept(large, monkeypatch):
    module, operands, file = large
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 5 * 2**13}[name])
    results = [module(*operands) for _ in range(3)]  # a quarter of that memory is 40 MB
    del results
    assert len(file["_SPARE"]) == 1


@linux
def test_memory_is_taken_where_it_is_not_much_too_large(large):
    module, operands, file = large
    result = module(*operands)
    place = result.data_ptr()
    del result
    larger = tuple(operand.repeat(3, 1) for operand in operands)
    assert module(*larger).data_ptr() != place
    file["_SPARE"][:] = [memory for memory in file["_SPARE"] if len(memory) > 2**26]
    assert len(module(*operands)) == ROWS  # not in three times as much
    assert sorted(len(memory) > 2**26 for memory in file["_SPARE"]) == [False, True]


@linux
def test_a_system_without_such_memory(large):
    """Some know neither huge pages nor memory that is free when they need it."""
    module, operands, file = large

    class Bare(mmap.mmap):
        def madvise(self, *_):
            raise OSError(22, "Invalid argument")

    wanted = module(*operands)
    file["_SPARE"].clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmap, "mmap", Bare)
        found = module(*operands)
        torch.testing.assert_close(found, wanted)
        del found
        assert not file["_SPARE"]

"""Memory of a process that makes many modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

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

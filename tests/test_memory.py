"""Memory: of a process that makes many modules, and of large results."""

from __future__ import annotations

import json
import subprocess
import sys

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


@pytest.mark.parametrize("rows", [3, ROWS])
def test_storages_of_results_and_gradients_can_be_resized(rows):
    """They are tensors like any other: torch gave them their memory."""
    module = fusionc.parse(LARGE)["d"].module(layout="ir_mul")()
    x, y = torch.randn(rows, 48, requires_grad=True), torch.randn(rows, 3)
    result = module(x, y)
    (gradient,) = torch.autograd.grad(result.square().sum(), x)
    for tensor in (result, gradient):
        storage = tensor.untyped_storage()
        assert storage.resizable()
        assert storage.nbytes() == tensor.numel() * tensor.element_size()
        storage.resize_(0)


IMPORT = """
import json, os, random, signal, sys, threading, warnings
import torch, torch.utils.weak

MODES = "deterministic_debug_mode num_threads num_interop_threads default_dtype float32_matmul_precision rng_state"
folder = sys.argv[1]

def state():
    return {
        "environment": dict(os.environ),
        "modes of torch": {mode: str(getattr(torch, f"get_{mode}")()) for mode in MODES.split()},
        "backends": [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.flags, torch.is_grad_enabled()],
        "functions": [torch.compile, torch.jit.script, sys.excepthook, sys.displayhook, warnings.showwarning],
        "filters": [list(warnings.filters), random.getstate()],
        "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
        "folders": [os.getcwd(), os.umask(0o22), list(sys.path), list(sys.meta_path), list(sys.path_hooks)],
        "signals": [signal.getsignal(one) for one in sorted(signal.valid_signals())],
        "files": sorted(os.listdir(folder)),
    }

events = []
def heard(event, arguments):
    writes = event == "open" and (set(str(arguments[1])) & set("wax+"))
    if writes or event.split(".")[0] in ("ctypes", "mmap", "socket", "subprocess", "shutil") or event == "os.putenv":
        events.append([event, str(arguments)])

sys.dont_write_bytecode = True
sys.path.insert(0, folder)
before, known = state(), set(sys.modules)
sys.addaudithook(heard)
import of_torch, of_triton
heard_of, after = list(events), state()
added = {name.split(".")[0] for name in set(sys.modules) - known} - set(sys.stdlib_module_names)
changed = [key for key in before if before[key] != after[key]]
print(json.dumps({"modules": sorted(added), "changed": changed, "events": heard_of}))
"""
SEVERAL = """sites atoms; pairs edges(atoms, atoms)
diagram message(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] {
    x[j,u] y[i,j] -> out[i,u] * W[path,u]
}
diagram product(x: 16x0e + 16x1o, y: 0e + 1o) -> 16x0e + 16x1o { x[u] y -> out[w] * W[path,u,w] }
diagram rows(z: index(5), x: 4x0e + 4x1o[atoms]) -> 4x0e + 4x1o { x[i,u] x[i,u] -> out[u] * W[z,path,u] }
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system of Linux")
def test_a_file_touches_nothing_outside_itself_when_it_is_imported(tmp_path):
    """No settings of malloc, the environment, torch or Python, no threads, files or foreign modules."""
    for target in ("torch", "triton"):
        (tmp_path / f"of_{target}.py").write_text(fusionc.parse(SEVERAL).emit(target))
    command = [sys.executable, "-c", IMPORT, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert set(found["modules"]) <= {"of_torch", "of_triton", "torch", "triton"}
    assert not found["changed"]
    assert not found["events"]

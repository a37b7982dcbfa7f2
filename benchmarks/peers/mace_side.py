"""MACE's side: its `SymmetricContraction`, in an environment of its own, because it pins an old e3nn.

The environment is made on demand in `benchmarks/.env-mace`. The worker runs there and works only when it is asked, so
its rounds alternate with the others' as if it were in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.cases import Case, by_channel
from benchmarks.peers.contestant import Unavailable, canonical
from benchmarks.peers.fit import Samples
from benchmarks.peers.shapes import ELEMENTS, written
from benchmarks.peers.tasks import Leaves

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / ".env-mace"
# Without their dependencies, of which the import of the product needs those that stand in the second list.
ALONE = ("mace-torch==0.3.16", "e3nn==0.4.4", "opt_einsum_fx==0.1.4")
NEEDED = (
    *("numpy", "scipy", "sympy", "opt_einsum", "packaging", "ase", "prettytable", "matscipy", "h5py", "tqdm", "pandas"),
    *("torchmetrics", "torch_ema"),
)


def environment() -> Path:
    """The Python of MACE's environment, which is made if it is not there."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / ".ready").exists():
        print("making MACE's environment in benchmarks/.env-mace ...", file=sys.stderr, flush=True)
        venv.create(FOLDER, with_pip=True, clear=True)
        constraints = FOLDER / "constraints.txt"
        constraints.write_text(f"torch=={torch.__version__.split('+')[0]}\n")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
        try:
            subprocess.run([*pip, "torch", *NEEDED], check=True)
            subprocess.run([*pip, "--no-deps", *ALONE], check=True)
        except subprocess.CalledProcessError:
            raise Unavailable("its environment could not be made") from None
        (FOLDER / ".ready").touch()
    return python


class Remote:
    """A contestant in another process, which answers one question at a time."""

    name = "MACE"

    def __init__(self, case: Case, mode: str, samples: Samples) -> None:
        """Starts the worker and has it build the product."""
        shape = case.shape
        self.places = {"a": by_channel(shape.x)}
        self.folder = tempfile.TemporaryDirectory(prefix="fusionc-benchmark-")
        self.device = str(case.probe.device)
        self.worker = subprocess.Popen(
            [str(environment()), "-m", "benchmarks.peers.mace_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        file = Path(self.folder.name) / "inputs.npz"
        assert case.elements is not None
        np.savez(
            file,
            a=case.leaves["a"].detach()[..., self.places["a"].to(self.device)].cpu().numpy(),
            probe=case.probe.cpu().numpy(),
            elements=case.elements.cpu().numpy(),
            inputs=samples.inputs.numpy(),
            outputs=samples.outputs.numpy(),
        )
        built = self._ask(
            "build",
            file=str(file),
            mode=mode,
            device=self.device,
            dtype=str(case.probe.dtype).removeprefix("torch."),
            threads=torch.get_num_threads(),
            elements=ELEMENTS,
            channels=shape.x[0].mul,
            x=written(shape.x),
            out=written(shape.out),
        )
        self.build_s = float(built["build_s"])
        self.configuration = (
            f"{built['weights']} weights a channel, fitted to {built['residual']:.0e}"
            f"{', torch.compile' if mode == 'compile' else ''}"
        )

    def results(self, task: str) -> Leaves:
        file = Path(self.folder.name) / "results.npz"
        self._ask("results", task=task, file=str(file))
        found = {name: torch.from_numpy(value).to(self.device) for name, value in np.load(file).items()}
        return {name: one if name == "out" else canonical(one, self.places["a"]) for name, one in found.items()}

    def seconds(self, task: str, repeats: int) -> float:
        return float(self._ask("seconds", task=task, repeats=repeats))

    def peak_bytes(self, task: str) -> int:
        return int(self._ask("peak_bytes", task=task))

    def close(self) -> None:
        assert self.worker.stdin is not None
        self.worker.stdin.close()
        self.worker.wait(timeout=60)
        self.folder.cleanup()

    def _ask(self, what: str, **details: Any) -> Any:
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        try:
            self.worker.stdin.write(json.dumps({"do": what} | details) + "\n")
            answer = json.loads(self.worker.stdout.readline() or '{"error": "the worker ended"}')
        except BrokenPipeError:
            answer = {"error": "the worker ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]


def build(case: Case, mode: str, samples: Samples | None = None) -> Remote:
    if case.shape.kind != "symmetric":
        raise Unavailable("its other products are e3nn's")
    assert samples is not None
    return Remote(case, mode, samples)

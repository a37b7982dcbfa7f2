"""The time to build a side's product in a process of its own, where nothing is remembered from other shapes.

`python -m benchmarks.peers.cold` reads what to build as JSON from stdin and prints seconds; imports of torch and of the
library are not in them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from time import perf_counter

import torch

from benchmarks.peers import cuequivariance_side, e3nn_side, fusionc_side, openequivariance_side
from benchmarks.peers.cases import draw
from benchmarks.peers.mace_side import ROOT
from benchmarks.peers.shapes import SHAPES, Shape

SIDES = {"e3nn": e3nn_side, "cuEquivariance": cuequivariance_side, "OpenEquivariance": openequivariance_side}


@cache
def build_seconds(shape: Shape, name: str, configuration: str, dtype: str, device: str) -> float | None:
    """Seconds to build a side's product in a fresh process; None where that fails."""
    question = {
        "shape": shape.name,
        "channels": shape.x[0].mul,
        "text": shape.text if name[-1] != "*" else shape.unsummed.text,
        "name": name,
        "target": "torch" if name.endswith(" torch") else fusionc_side.target_for(device),
        "jit": "script" if "jit_mode script" in configuration else "eager",
        "dtype": dtype,
        "device": device,
    }
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers.cold"]
    found = subprocess.run(
        command, cwd=ROOT, input=json.dumps(question), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return float(found.stdout.splitlines()[-1]) if found.returncode == 0 else None


def main() -> None:
    question = json.load(sys.stdin)
    if question["name"].startswith("fusionc"):
        import os
        import tempfile

        import fusionc

        layout = "mul_ir" if "mul_ir" in question["name"] else "ir_mul"
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FUSIONC_CACHE"] = folder
            start = perf_counter()
            fusionc.parse(question["text"])["product"].module(question["target"], layout=layout)()
            print(perf_counter() - start)
        return
    shape = SHAPES[question["shape"]].with_channels(question["channels"])
    case = draw(shape, 2, 2, getattr(torch, question["dtype"]), question["device"])
    e3nn_side.JIT = (question["jit"],)
    side = SIDES[question["name"]]
    if shape.kind == "symmetric":
        found = cuequivariance_side.build(case, "eager", fusionc_side.samples(case))
    else:
        found = side.build(case, "eager")
    print(found.build_s)


if __name__ == "__main__":
    main()

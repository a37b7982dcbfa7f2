"""MACE's side of the line: runs in MACE's own environment, is told what to do on stdin, answers on stdout.

Every line is a JSON object. `{"do": "build", …}` constructs the product from an npz file; `results`, `seconds` and
`peak_bytes` are the harness's questions about a task. It computes only between a question and its answer, so that the
two processes never compete. An answer is `{"value": …}`, or `{"error": sentence}`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.peers import measure, tasks
from benchmarks.peers.fit import Samples, fitted


class Worker:
    """One symmetric contraction of MACE, and the operands it is given."""

    def build(self, question: dict[str, Any]) -> dict[str, Any]:
        """Construct the product under the dtype it runs in; its weights are fitted to fusionc's in float64."""
        # MACE comes first: it makes the setting that the constants of its old e3nn need to be read.
        from mace.modules.symmetric_contraction import SymmetricContraction  # isort: skip
        from e3nn import o3

        data = {name: torch.from_numpy(value) for name, value in np.load(question["file"]).items()}
        self.device, self.force, dtype = question["device"], "a", getattr(torch, question["dtype"])
        elements, channels = question["elements"], question["channels"]
        torch.set_num_threads(question["threads"])
        samples = Samples(data["inputs"], data["outputs"])
        make = partial(
            SymmetricContraction,
            irreps_in=o3.Irreps(question["x"]),
            irreps_out=o3.Irreps(question["out"]),
            correlation=3,
            num_elements=elements,
        )

        torch.set_default_dtype(dtype)
        start = perf_counter()
        module = make().to(self.device)
        build_s = perf_counter() - start

        torch.set_default_dtype(torch.float64)
        exact = make()
        names = [name for name, _ in exact.named_parameters()]
        counts = [parameter.shape[1] for _, parameter in exact.named_parameters()]
        operand = samples.inputs[:, None, :].expand(-1, channels, -1).contiguous()
        one = torch.zeros(len(operand), elements)
        one[:, 0] = 1.0

        def evaluate(weights: list[torch.Tensor]) -> torch.Tensor:
            rows = {name: weight.expand(elements, -1, -1) for name, weight in zip(names, weights, strict=True)}
            with torch.no_grad():
                out = torch.func.functional_call(exact, rows, (operand, one))
            sizes = [channels * (2 * ir.l + 1) for _, ir in exact.irreps_out]
            return torch.cat([block.view(len(operand), channels, -1) for block in out.split(sizes, dim=1)], dim=2)

        weights, residual = fitted(evaluate, counts, samples)
        torch.set_default_dtype(dtype)
        with torch.no_grad():
            for parameter, weight in zip(dict(module.named_parameters()).values(), weights, strict=True):
                parameter.copy_(weight)

        attributes = torch.nn.functional.one_hot(data["elements"], elements).to(self.device, dtype)
        a = data["a"].to(self.device, dtype)
        self.probe = data["probe"].to(self.device, dtype)
        run = torch.compile(module, dynamic=False) if question["mode"] == "compile" else module
        self.leaves = {"a": a.requires_grad_()} | dict(module.named_parameters())

        def product(a: torch.Tensor, **weights: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = run(a.view(len(a), channels, -1), attributes)
            return out

        self.product = product
        return {"build_s": build_s, "residual": residual, "weights": sum(counts)}

    def results(self, question: dict[str, Any]) -> str:
        """Writes the outcome of a task to the named file."""
        found = self._run(question["task"])
        kept = {name: one.detach().cpu().numpy() for name, one in found.items() if name in ("out", "a", "forces")}
        np.savez(question["file"], **kept)
        return str(question["file"])

    def seconds(self, question: dict[str, Any]) -> float:
        return measure.seconds(lambda: self._run(question["task"]), question["repeats"], self.device)

    def peak_bytes(self, question: dict[str, Any]) -> int:
        return measure.peak_bytes(lambda: self._run(question["task"]), self.device)

    def _run(self, task: str) -> tasks.Leaves:
        return tasks.run(task, self.product, self.leaves, self.force, self.probe)


def main() -> None:
    """Answer until there are no more questions. What libraries print goes to stderr, whose end the harness drops."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    worker = Worker()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            value = getattr(worker, question["do"])(question)
            answer = {"value": value}
        except Exception as problem:
            answer = {
                "error": f"{type(problem).__name__}: {str(problem).strip().splitlines()[0] if str(problem) else ''}"
            }
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()

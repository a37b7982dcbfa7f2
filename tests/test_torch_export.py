"""Exported models whose `forward` asks for forces: gradients inside of what `torch.export` follows operation by
operation."""

from __future__ import annotations

import pytest
import torch

import fusionc

SITES = "sites atoms; pairs edges(atoms, atoms)\n"
CASES = {
    "a statement for each component": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o) -> 2x0e + 2x1o "
    "{ x[u] y -> out[u] * W[path,u] }",
    "mixed": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o) -> 2x0e + 2x1o { x[u] y -> out[w] * W[path,u,w] }",
    "mixed for each element": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o, r: weights) -> 2x0e + 2x1o "
    "{ x[u] y -> out[w] * r[path,u,w] }",
    "two channels": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o) -> 2x0e + 2x1o { x[u] x[v] y -> out[u] * W[path,u,v] }",
    "message": f"{SITES}diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] "
    "{ x[j,u] y[i,j] -> out[i,u] * W[path,u] }",
}


class Forces(torch.nn.Module):
    def __init__(self, product: torch.nn.Module) -> None:
        super().__init__()
        self.product = product

    def forward(self, y, *rest):
        with torch.enable_grad():
            y = y.requires_grad_(True)
            x, *more = rest
            given = {"edges": more.pop()} if more and more[-1].dtype == torch.int64 else {}
            out = self.product(x, y, *more, **given)
            energy = out.square().sum()
            (gradient,) = torch.autograd.grad(energy, y)
        return energy.detach(), -gradient


@pytest.mark.parametrize(("number", "name"), list(enumerate(CASES)))
def test_energies_and_forces(number, name):
    diagram = fusionc.parse(CASES[name])["d"]
    for layout in ("mul_ir", "ir_mul") if name == "message" else (("mul_ir", "ir_mul")[number % 2],):
        model = Forces(diagram.module(layout=layout)(dtype=torch.float64))
        pairs = 5 if name == "message" else 3
        values = [torch.randn(pairs, 4, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)]
        values += [torch.tensor([[0, 1, 2, 2, 1], [1, 0, 0, 2, 1]])] if name == "message" else []
        values += [torch.randn(3, 16, dtype=torch.float64)] if "r: weights" in CASES[name] else []
        exported = torch.export.export(model, tuple(values), strict=False).module()
        values[0] = torch.randn(pairs, 4, dtype=torch.float64)
        for found, wanted in zip(exported(*values), model(*values), strict=True):
            torch.testing.assert_close(found, wanted)

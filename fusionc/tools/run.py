"""`fusionc run`: a diagram on random operands or on a molecule: shapes, time, equivariance."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionc.algebra.elements import Element
from fusionc.algebra.groups import Group
from fusionc.driver import CheckedDiagram
from fusionc.program.lower import space_text
from fusionc.tools.modules import load_module
from fusionc.tools.molecule import (
    Molecule,
    MoleculeError,
    is_geometric,
    neighbour_tuples,
    operands,
    read_molecule,
)
from fusionc.tools.oracle import random_legs, random_weights
from fusionc.tools.report import cost_report
from fusionc.tools.transform import probe_elements, transform
from fusionc.tools.verify import as_tuple, relative

Array = NDArray[Any]
Step = Callable[[str], None]
REPEATS = 5


@dataclass(frozen=True)
class Run:
    """One run of a diagram in float64: what went in, what came out, the median time of a forward pass in seconds, and
    the relative equivariance error for each group element."""

    diagram: str
    subject: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...], str], ...]
    compile_seconds: float
    forward_seconds: float
    multiplications: int
    written_multiplications: int
    equivariance: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [f"{self.diagram}: {self.subject}"]
        rows += [f"  note {note}" for note in self.notes]
        rows += [f"  in   {name:<10} {list(shape)}" for name, shape in self.inputs]
        rows += [f"  out  {name:<10} {list(shape)}   {text}" for name, shape, text in self.outputs]
        rows.append(f"  time {self.forward_seconds * 1e3:.2f} ms forward, {self.compile_seconds:.2f} s to compile")
        ratio = self.written_multiplications / max(1, self.multiplications)
        rows.append(
            f"  cost {self.multiplications:,} multiplications; the written order needs "
            f"{self.written_multiplications:,}, {ratio:.1f} times as many"
        )
        rows += [f"  equivariance error under {name}: {error:.1e}" for name, error in self.equivariance]
        return "\n".join(rows)


def run_random(diagram: CheckedDiagram, batch: int, seed: int, step: Step = lambda name: None) -> Run:
    """A diagram on standard normal operands [batch, dim]."""
    diagram.refuse_sites()
    rng = np.random.default_rng(seed)
    table = diagram.table
    legs = random_legs(table, batch, rng)
    tensors = table.graph.tensor_legs

    def turned(element: Element) -> list[Array]:
        return [
            transform(table.graph.group, tensors[leg.name].space, element, value, basis=table.graph.basis)
            if leg.name in tensors
            else value
            for leg, value in zip(table.graph.legs, legs, strict=True)
        ]

    return _run(diagram, f"random operands, batch {batch}", legs, turned, rng, step)


def run_molecule(
    diagram: CheckedDiagram, path: str | Path, cutoff: float, seed: int, step: Step = lambda name: None
) -> Run:
    """A diagram on a molecule; rotated and inverted positions give the equivariance error. Raises `MoleculeError`."""
    diagram.refuse_sites()
    table = diagram.table
    group, spaces = table.graph.group, [leg.space for leg in table.graph.tensor_legs.values()]
    if table.graph.basis == "complex":
        raise MoleculeError(
            f"`{diagram.name}` is in the complex basis, harmonics of molecules are real: leave --xyz out"
        )
    step("neighbours and spherical harmonics")
    molecule = read_molecule(path, cutoff)
    layout = neighbour_tuples(molecule, sum(is_geometric(group, space) for space in spaces))
    legs = operands(table, molecule, layout, seed)

    def turned(element: Element) -> list[Array]:
        return list(operands(table, _moved(molecule, group, element), layout, seed))

    subject = f"{molecule.name}, {len(molecule.numbers)} atoms, {len(molecule.pairs[0])} pairs within {cutoff} Å"
    notes = [f"the batch runs over {len(layout.centres):,} {layout.what}"]
    if layout.truncated:
        notes.append("there are more; only the first were taken")
    return _run(diagram, subject, list(legs), turned, np.random.default_rng(seed), step, notes)


def _moved(molecule: Molecule, group: Group, element: Element) -> Molecule:
    matrix = np.asarray(group.representation(group.spherical(1)[1], element), dtype=np.float64)
    return Molecule(
        molecule.name,
        molecule.numbers,
        molecule.positions @ matrix.T,
        molecule.pairs,
        molecule.vectors @ matrix.T,
    )


def _run(
    diagram: CheckedDiagram,
    subject: str,
    legs: list[Array],
    turned: Callable[[Element], list[Array]],
    rng: np.random.Generator,
    step: Step,
    notes: Sequence[str] = (),
) -> Run:
    table, group = diagram.table, diagram.graph.group
    step("compiling")
    start = time.perf_counter()
    module = load_module(diagram, random_weights(table, rng))
    compile_seconds = time.perf_counter() - start

    def forward(values: Sequence[Array]) -> list[Array]:
        with torch.no_grad():
            return [part.numpy() for part in as_tuple(module(*map(torch.as_tensor, values)))]

    step("running")
    outputs = forward(legs)
    seconds = _median_seconds(lambda: forward(legs))
    errors = []
    for name, element in probe_elements(group, rng, count=1).items():
        step(f"equivariance under {name}")
        wanted = [
            transform(group, table.outputs[output.name], element, value, basis=table.graph.basis)
            for output, value in zip(diagram.graph.outputs, outputs, strict=True)
        ]
        errors.append(
            (name.replace("random element 1", "a random rotation"), relative(forward(turned(element)), wanted))
        )
    batch = len(legs[0])
    cost = cost_report(diagram, batch, "float64")
    names = [output.name for output in diagram.graph.outputs]
    return Run(
        diagram=diagram.name,
        subject=subject,
        inputs=tuple((leg.name, leg_value.shape) for leg, leg_value in zip(diagram.graph.legs, legs, strict=True)),
        outputs=tuple(
            (name, value.shape, space_text(table, table.outputs[name]))
            for name, value in zip(names, outputs, strict=True)
        ),
        compile_seconds=compile_seconds,
        forward_seconds=seconds,
        multiplications=cost.multiplications,
        written_multiplications=cost.naive.multiplications if cost.naive else cost.multiplications,
        equivariance=tuple(errors),
        notes=tuple(notes),
    )


def _median_seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)

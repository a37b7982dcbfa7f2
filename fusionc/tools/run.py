"""`fusionc run`: a diagram on random operands or on a molecule: shapes, time, equivariance."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionc.algebra.elements import Element
from fusionc.algebra.groups import Group
from fusionc.driver import CheckedDiagram
from fusionc.language.oneline import fitting
from fusionc.program.cost import domain_sizes
from fusionc.program.lower import space_text
from fusionc.tools.modules import load_module
from fusionc.tools.molecule import is_geometric, neighbour_tuples, operands, site_operands
from fusionc.tools.oracle import random_weights
from fusionc.tools.report import check_sizes, cost_report
from fusionc.tools.sites import Inputs, permuted, permuted_inputs, random_batch, random_orders
from fusionc.tools.structure import Molecule, MoleculeError, read_molecule
from fusionc.tools.transform import probe_elements, transform
from fusionc.tools.verify import as_tuple, relative

Array = NDArray[Any]
Step = Callable[[str], None]
REPEATS = 5


@dataclass(frozen=True, repr=False)
class Run:
    """One run of a diagram in float64: what went in, what came out, the median time of a forward pass in seconds, and
    the relative equivariance error for each group element (over sites also for another order of sites and pairs).
    `sizes` are the numbers of sites and pairs."""

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
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return fitting(f"<Run {self.diagram}: {self.subject}>")

    def __str__(self) -> str:
        rows = [f"{self.diagram}: {self.subject}"]
        rows += [f"  note {note}" for note in self.notes]
        rows += [f"  in   {name:<10} {list(shape)}" for name, shape in self.inputs]
        rows += [f"  out  {name:<10} {list(shape)}   {text}" for name, shape, text in self.outputs]
        rows.append(f"  time {self.forward_seconds * 1e3:.2f} ms forward, {self.compile_seconds:.2f} s to compile")
        cost = f"  cost {self.multiplications:,} multiplications; the written order needs "
        cost += f"{self.written_multiplications:,}"
        if self.multiplications:
            cost += f", {self.written_multiplications / self.multiplications:.1f} times as many"
        rows.append(cost)
        rows += [f"  equivariance error under {name}: {error:.1e}" for name, error in self.equivariance]
        return "\n".join(rows)


def run_random(
    diagram: CheckedDiagram,
    batch: int,
    seed: int,
    step: Step = lambda name: None,
    sizes: Mapping[str, int] | None = None,
) -> Run:
    """A diagram on standard normal operands [batch, dim]; over sites on one random relation, without batch dimensions,
    with `batch` sites and 20 pairs for each where `sizes` does not say."""
    check_sizes(diagram, sizes)
    rng = np.random.default_rng(seed)
    diagram.check_length()
    table, graph = diagram.table, diagram.graph
    domains = domain_sizes(graph, batch, sizes).domains
    _refuse_too_many(diagram, 1 if graph.sites else batch, domains)
    inputs = random_batch(table, 1 if graph.sites else batch, rng, domains)
    if graph.sites:
        inputs = inputs.with_legs([leg[0] for leg in inputs.legs])

    def turned(element: Element) -> Inputs:
        return inputs.with_legs(
            [
                transform(graph.group, graph.tensor_legs[leg.name].space, element, value, basis=graph.basis)
                if leg.name in graph.tensor_legs
                else value
                for leg, value in zip(graph.legs, inputs.legs, strict=True)
            ]
        )

    over = ", ".join(f"{size:,} {name}" for name, size in domains.items()) or f"batch {batch}"
    return _run(diagram, f"random operands, {over}", inputs, turned, rng, step)


def _refuse_too_many(diagram: CheckedDiagram, batch: int, domains: Mapping[str, int]) -> None:
    """Raise MemoryError where operands alone would not fit into the machine's memory."""
    width = sum(leg.dim * (domains[leg.domain] if leg.domain else 1) for leg in diagram.program().legs)
    if hasattr(os, "sysconf") and 8 * batch * width > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise MemoryError


def run_molecule(
    diagram: CheckedDiagram, path: str | Path, cutoff: float, seed: int, step: Step = lambda name: None
) -> Run:
    """A diagram on a molecule; rotated and inverted positions give the equivariance error. Raises `MoleculeError`."""
    diagram.check_length()
    graph = diagram.graph
    if graph.basis == "complex":
        raise MoleculeError(
            f"`{diagram.name}` is in the complex basis, harmonics of molecules are real: leave --xyz out"
        )
    step("neighbours and spherical harmonics")
    molecule = read_molecule(path, cutoff)
    if graph.sites:
        _refuse_large_operands(diagram, molecule)
    operate, notes = _on_sites(diagram, seed) if graph.sites else _on_tuples(diagram, molecule, seed)

    def turned(element: Element) -> Inputs:
        return operate(_moved(molecule, graph.group, element))

    subject = f"{molecule.name}, {len(molecule.numbers)} atoms, {molecule.pairs.shape[1]} pairs within {cutoff} Å"
    return _run(
        diagram, subject, operate(molecule), turned, np.random.default_rng(seed), step, [*molecule.notes, *notes]
    )


def _refuse_large_operands(diagram: CheckedDiagram, molecule: Molecule) -> None:
    """Raise where a molecule's operands would not fit into the machine's memory."""
    graph, (atoms, pairs) = diagram.graph, (len(molecule.numbers), molecule.pairs.shape[1])
    try:
        _refuse_too_many(diagram, 1, dict.fromkeys(graph.sites, atoms) | {r.name: pairs for r in graph.relations})
    except MemoryError:
        raise MoleculeError(
            f"operands for {atoms:,} atoms and {pairs:,} pairs do not fit into memory: choose a smaller --cutoff"
        ) from None


def _on_sites(diagram: CheckedDiagram, seed: int) -> tuple[Callable[[Molecule], Inputs], list[str]]:
    """How a diagram over sites takes a molecule, and what there is to say of it."""
    graph = diagram.graph
    notes = [f"each of the {name} is an atom" for name in graph.sites if name != "atoms"]
    notes += [f"each of the {relation.name} is an atom and one of its neighbours" for relation in graph.relations]
    return (lambda molecule: site_operands(diagram.table, molecule, seed)), notes


def _on_tuples(
    diagram: CheckedDiagram, molecule: Molecule, seed: int
) -> tuple[Callable[[Molecule], Inputs], list[str]]:
    """The same for a diagram without sites, which runs on an atom and its neighbours."""
    spaces = [leg.space for leg in diagram.graph.tensor_legs.values()]
    layout = neighbour_tuples(molecule, sum(is_geometric(diagram.graph.group, space) for space in spaces))
    notes = [f"the batch runs over {len(layout.centres):,} {layout.what}"]
    if layout.truncated:
        notes.append("there are more; only the first were taken")
    return (lambda moved: Inputs(tuple(operands(diagram.table, moved, layout, seed)))), notes


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
    inputs: Inputs,
    turned: Callable[[Element], Inputs],
    rng: np.random.Generator,
    step: Step,
    notes: Sequence[str] = (),
) -> Run:
    table, graph = diagram.table, diagram.graph
    step("compiling")
    start = time.perf_counter()
    module = load_module(diagram, random_weights(table, rng))
    compile_seconds = time.perf_counter() - start

    def forward(values: Inputs) -> list[Array]:
        with torch.no_grad():
            outputs = module(*map(torch.as_tensor, values.legs), **values.keywords(graph))
        return [part.numpy() for part in as_tuple(outputs)]

    step("running")
    outputs = forward(inputs)
    seconds = _median_seconds(lambda: forward(inputs))
    errors = []
    for name, element in probe_elements(graph.group, rng, count=1).items():
        step(f"equivariance under {name}")
        wanted = [
            transform(graph.group, table.outputs[output.name], element, value, basis=graph.basis)
            for output, value in zip(graph.outputs, outputs, strict=True)
        ]
        errors.append(
            (name.replace("random element 1", "a random rotation"), relative(forward(turned(element)), wanted))
        )
    if graph.sites:
        errors.append(_order_error(diagram, inputs, outputs, forward, rng))
    cost = cost_report(diagram, 1 if graph.sites else len(inputs.legs[0]), "float64", inputs.sizes)
    return Run(
        diagram=diagram.name,
        subject=subject,
        inputs=tuple((leg.name, value.shape) for leg, value in zip(graph.legs, inputs.legs, strict=True))
        + tuple((name, value.shape) for name, value in inputs.relations.items()),
        outputs=tuple(
            (output.name, value.shape, space_text(table, table.outputs[output.name]))
            for output, value in zip(graph.outputs, outputs, strict=True)
        ),
        compile_seconds=compile_seconds,
        forward_seconds=seconds,
        multiplications=cost.multiplications,
        written_multiplications=cost.naive.multiplications if cost.naive else cost.multiplications,
        equivariance=tuple(errors),
        notes=tuple(notes),
        sizes=dict(inputs.sizes),
    )


def _order_error(
    diagram: CheckedDiagram,
    inputs: Inputs,
    outputs: Sequence[Array],
    forward: Callable[[Inputs], list[Array]],
    rng: np.random.Generator,
) -> tuple[str, float]:
    """The error when sites and pairs come in another order."""
    graph = diagram.graph
    orders = random_orders(inputs.sizes, rng)
    wanted = [permuted(value, output.domain, orders) for output, value in zip(graph.outputs, outputs, strict=True)]
    name = f"a permutation of the {' and '.join((*graph.sites, *(r.name for r in graph.relations)))}"
    return name, relative(forward(permuted_inputs(graph, inputs, orders)), wanted)


def _median_seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)

"""The order of it all: build every contestant of a shape, see that they agree, then let them run in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from benchmarks.peers import cold, fusionc_side, limits, measure
from benchmarks.peers import cuequivariance_side as cuequivariance
from benchmarks.peers import e3nn_side as e3nn
from benchmarks.peers import mace_side as mace
from benchmarks.peers import openequivariance_side as openequivariance
from benchmarks.peers.cases import Case, draw
from benchmarks.peers.contestant import Contestant, Unavailable
from benchmarks.peers.shapes import Shape
from benchmarks.peers.tasks import TASKS, Leaves

PEERS = ("e3nn", "cuequivariance", "mace", "openequivariance")
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}  # relative to the largest number of a tensor


@dataclass(frozen=True)
class Options:
    """What is asked for; `least` is the time in seconds that one measurement should take at least."""

    peers: tuple[str, ...] = PEERS
    edges: int = 2000
    nodes: int = 100
    rounds: int = 9
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    least: float = 0.05
    cold: bool = True


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def first_line(problem: BaseException) -> str:
    text = str(problem).strip()
    return f"{type(problem).__name__}: {text.splitlines()[0]}" if text else type(problem).__name__


def shape_results(shape: Shape, mode: str, options: Options) -> Iterator[dict[str, Any]]:
    """The results of all tasks on one shape in one mode."""
    case = draw(shape, options.edges, options.nodes, options.dtype, options.device)
    contestants, absent = _contestants(case, mode, options)
    try:
        built = {one.name: _build_seconds(case, one, options) for one in contestants}
        rate = limits.multiplication_rate(options.device, options.dtype)
        plain = shape.unsummed if shape.kind == "message" else shape
        operations = fusionc_side.operations(plain, options.nodes if shape.kind == "symmetric" else options.edges)
        for task in TASKS:
            result = _task(case, task, contestants, options)
            for one in result["contestants"]:
                one["build_s"] = built[one["name"]]
                if task == "forward" and operations and "seconds" in one:
                    one["of_multiplication_rate"] = operations / rate / one["seconds"]["median"]
            yield {
                "shape": shape.name,
                "mode": mode,
                "task": task,
                "operations": operations if task == "forward" else None,
                "multiplication_rate": rate,
                "absent": absent,
            } | result
    finally:
        for one in contestants:
            one.close()


def _contestants(case: Case, mode: str, options: Options) -> tuple[list[Contestant], dict[str, str]]:
    """Everyone who takes part, fusionc first, and of the others the sentence that says why not."""
    shape = case.shape
    builders: list[tuple[str, Callable[[], Contestant]]] = []
    for layout in fusionc_side.LAYOUTS:
        builders.append((fusionc_side.name_of(layout), lambda layout=layout: fusionc_side.build(case, mode, layout)))
    if fusionc_side.target_for(options.device) != "torch":
        name = fusionc_side.name_of("ir_mul", "torch")
        builders.append((name, lambda: fusionc_side.build(case, mode, "ir_mul", "torch")))
    if shape.kind == "message":
        builders.append(("fusionc mul_ir*", lambda: fusionc_side.build_around(case, mode)))
    samples = fusionc_side.samples(case) if shape.kind == "symmetric" else None
    peers: dict[str, Callable[[], Contestant]] = {
        "e3nn": lambda: e3nn.build(case, mode),
        "cuequivariance": lambda: cuequivariance.build(case, mode, samples),
        "mace": lambda: mace.build(case, mode, samples),
        "openequivariance": lambda: openequivariance.build(case, mode),
    }
    builders += [(name, peers[name]) for name in options.peers]
    found: list[Contestant] = []
    absent = {}
    for name, build in builders:
        try:
            found.append(build())
        except Unavailable as why:
            absent[name] = str(why)
        except Exception as problem:
            absent[name] = f"could not be built: {first_line(problem)}"
    return found, absent


def _build_seconds(case: Case, one: Contestant, options: Options) -> float:
    """From a fresh process where that was asked for; MACE's worker is one already."""
    if not options.cold or one.name == "MACE":
        return one.build_s
    log(f"  building {one.name} in a fresh process")
    return (
        cold.build_seconds(
            case.shape,
            one.name,
            one.configuration.removesuffix(", torch.compile"),
            str(options.dtype).removeprefix("torch."),
            options.device,
        )
        or one.build_s
    )


def _task(case: Case, task: str, contestants: list[Contestant], options: Options) -> dict[str, Any]:
    """First calls and agreement, then rounds in turn, then memory."""
    rows: dict[str, dict[str, Any]] = {}
    runners: dict[str, Contestant] = {}
    wanted: Leaves = {}
    repeats = {}
    for one in contestants:
        row = rows[one.name] = {"name": one.name, "configuration": one.configuration}
        try:
            row["first_call_s"] = one.seconds(task, 1)
            found = one.results(task)
            wanted = wanted or found
            row["errors"] = errors(found, wanted)
            row["agrees"] = all(error <= TOLERANCE[options.dtype] for error in row["errors"].values())
            if row["agrees"]:
                again = one.seconds(task, 1)
                repeats[one.name] = max(1, min(1000, round(options.least / max(again, 1e-7))))
                runners[one.name] = one
        except Exception as problem:
            row["failed"] = first_line(problem)
    del wanted
    moved = limits.bytes_to_move(case, task)
    copies = limits.copies(moved, options.device)
    times = _rounds(task, runners, repeats, copies, options)
    ours = [name for name in runners if name.startswith("fusionc")]
    for name, one in runners.items():
        row = rows[name] | {"seconds": measure.spread(times[name]), "rounds": times[name], "repeats": repeats[name]}
        row["peak_bytes"] = one.peak_bytes(task)
        for copy in copies:
            fraction = [limit / own for limit, own in zip(times[copy], times[name], strict=True)]
            row[f"of_{copy.replace(', ', '_')}"] = measure.spread(fraction)
        rows[name] = row
    ratios = [
        {"peer": peer, "ours": own}
        | measure.spread([theirs / mine for theirs, mine in zip(times[peer], times[own], strict=True)])
        for own in ours
        for peer in runners
        if peer not in ours
    ]
    bandwidth = {copy: moved / median(times[copy]) for copy in copies}
    return {"bytes": moved, "bytes_per_second": bandwidth, "contestants": list(rows.values()), "ratios": ratios}


def errors(found: Leaves, wanted: Leaves) -> dict[str, float]:
    """The largest difference of each tensor, relative to the largest number in it; those that both have."""
    return {
        name: ((found[name] - wanted[name]).abs().max() / wanted[name].abs().max().clamp(min=1e-30)).item()
        for name in wanted
        if name in found
    }


def _rounds(
    task: str,
    runners: dict[str, Contestant],
    repeats: dict[str, int],
    copies: dict[str, Callable[[], object]],
    options: Options,
) -> dict[str, list[float]]:
    """Seconds of each, round by round. All take their turn in every round, which starts with another one and goes
    the other way each time. A turn begins with as many calls that are not timed: a process that has waited for others
    takes some tens of milliseconds to come to its pace."""
    turns: dict[str, Callable[[], float]] = {
        name: lambda one=one, name=name: one.seconds(task, repeats[name]) for name, one in runners.items()
    }
    for name, call in copies.items():
        call()
        count = max(1, min(1000, round(options.least / 2 / max(measure.seconds(call, 1, options.device), 1e-7))))
        turns[name] = lambda call=call, count=count: measure.seconds(call, count, options.device)
    times: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for number in range(options.rounds):
        start = number % len(names)
        order = names[start:] + names[:start]
        for name in order if number % 2 == 0 else reversed(order):
            turns[name]()
            times[name].append(turns[name]())
    return times


def scaling(shape: Shape, sizes: list[int], options: Options, memory: int) -> list[dict[str, Any]]:
    """Seconds an edge, forward, for each number of edges; the peers that take part in the shape, and fusionc.

    A contestant stops where its peak, taken in proportion from the last size, would exceed `memory` bytes.
    """
    results: list[dict[str, Any]] = []
    peaks: dict[str, float] = {}
    for edges in sizes:
        if 3 * edges * max(peaks.values(), default=0) > 2 * memory and min(peaks.values(), default=0) * edges > memory:
            break
        log(f"scaling: {edges} edges")
        case = draw(shape, edges, options.nodes, options.dtype, options.device)
        contestants, _ = _contestants(case, "eager", options)
        runners = {one.name: one for one in contestants if peaks.get(one.name, 0) * edges <= memory}
        skipped = [one.name for one in contestants if one.name not in runners]
        repeats = {}
        for name, one in runners.items():
            one.seconds("forward", 1)
            repeats[name] = max(1, round(4 * options.least / one.seconds("forward", 1)))
        times = _rounds("forward", runners, repeats, {}, options)
        for name, one in runners.items():
            peaks[name] = one.peak_bytes("forward") / edges
        results.append(
            {
                "edges": edges,
                "seconds_per_edge": {name: measure.spread([one / edges for one in times[name]]) for name in times},
                "skipped": skipped,
            }
        )
        for one in contestants:
            one.close()
    return results

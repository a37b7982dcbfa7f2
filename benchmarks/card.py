"""What is done with a GPU that is there for some minutes: its tests, then published shapes beside peers, and one table.

Every part is a process of its own with a limit, so that one that hangs or crashes takes none of the others with it. The
parts stand in order of what one wants to know first; what the time does not reach is said. `--device cpu` is the
stand-in that checks all of this where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

ROOT = Path(__file__).parent.parent
SHAPES = (
    "mace-large-message",
    "mace-large",
    "mace-product-l1",
    "nequix-message",
    "sevennet-l3i5-message",
    "tree",
    "diffdock",
    "mace-medium-message",
    "nequip-l3",
)
PEERS = "e3nn,cuequivariance,openequivariance"  # MACE's side makes an environment from a network, which is not there
NEEDED = {
    "torch": "torch",
    "triton": "triton",
    "lark": "lark",
    "networkx": "networkx",
    "sympy": "sympy",
    "jinja2": "jinja2",
}
NEEDED |= {
    "opt_einsum": "opt-einsum",
    "pytest": "pytest",
    "hypothesis": "hypothesis",
    "e3nn": "e3nn",
    "matplotlib": "matplotlib",
}


@dataclass(frozen=True)
class Part:
    """A process: what it is called, its command, the seconds it may take, and the JSON that it leaves (if any)."""

    name: str
    command: tuple[str, ...]
    seconds: float
    result: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a part ("passed", "failed", "out of time", "not reached"), its seconds, the last line it printed."""

    part: Part
    state: str
    seconds: float = 0.0
    last_line: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)


def parts(device: str, shapes: Sequence[str], edges: int, nodes: int, rounds: int, folder: Path) -> Iterator[Part]:
    """The tests for a GPU, then the shapes."""
    tests = ("-m", "pytest", "-q", "-m", "gpu", "tests", "-p", "no:cacheprovider", "--durations=5")
    yield Part("gpu tests", (sys.executable, *tests), 200)
    for shape in shapes:
        result = folder / f"{shape}.json"
        flags = (
            "--shapes",
            shape,
            "--peers",
            PEERS,
            "--modes",
            "eager",
            "--rounds",
            str(rounds),
            "--warm",
            "--scaling",
            "",
        )
        flags += ("--device", device, "--edges", str(edges), "--nodes", str(nodes), "--json", str(result))
        yield Part(shape, (sys.executable, "-m", "benchmarks.peers", *flags), 90, result)


def run(part: Part, left: float, log: Path) -> Outcome:
    """A part run within its own limit and the time that is left; its output goes to a file."""
    if left < 10:
        return Outcome(part, "not reached")
    begun = monotonic()
    try:
        with log.open("w", encoding="utf-8") as file:
            code = subprocess.run(
                part.command,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=min(left, part.seconds),
                cwd=ROOT,
                check=False,
            ).returncode
        state = "passed" if code == 0 else "failed"
    except subprocess.TimeoutExpired:
        state = "out of time"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    results = []
    if part.result is not None and part.result.exists():  # (written task after task: what there is counts)
        results = json.loads(part.result.read_text(encoding="utf-8"))["results"]
    return Outcome(part, state, monotonic() - begun, lines[-1] if lines else "", results)


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each part, then the ratios of every shape: how many times as long as fusionc each peer takes."""
    from benchmarks.peers import summary

    for outcome in outcomes:
        yield f"{outcome.part.name:<24}{outcome.state:<13}{outcome.seconds:>6.0f} s  {outcome.last_line[:100]}"
    results = [result for outcome in outcomes for result in outcome.results]
    if results:
        yield ""
        yield from summary.table(results)


def missing() -> list[str]:
    """The packages that are needed and cannot be imported."""
    from importlib.util import find_spec

    return [package for module, package in NEEDED.items() if find_spec(module) is None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/on_a_card.sh", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script without a GPU")
    parser.add_argument("--seconds", type=float, default=450, help="for everything together")
    parser.add_argument("--shapes", type=lambda text: text.split(","), default=list(SHAPES))
    parser.add_argument("--edges", type=int, default=50_000)
    parser.add_argument("--nodes", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="a folder for logs and numbers; by default one that is removed again")
    chosen = parser.parse_args()
    begun = monotonic()
    if absent := missing():
        print(f"not installed: {', '.join(absent)}; lay their wheels in the folder of --wheels", file=sys.stderr)
        return 2
    import torch

    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print("torch sees no GPU; `--device cpu` tries the script without one", file=sys.stderr)
        return 2
    print(
        f"torch {torch.__version__}, {torch.cuda.get_device_name() if chosen.device != 'cpu' else 'no GPU'}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="fusionc-card-") as temporary:
        folder = chosen.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = []
        for part in parts(chosen.device, chosen.shapes, chosen.edges, chosen.nodes, chosen.rounds, folder):
            left = chosen.seconds - (monotonic() - begun)
            outcomes.append(run(part, left, folder / f"{part.name.replace(' ', '_')}.log"))
            print(f"{part.name}: {outcomes[-1].state}", file=sys.stderr, flush=True)
    print("\n".join(table(outcomes)))
    return 0 if all(outcome.state == "passed" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.peers`: fusionc and its peers side by side. Exit code 1 if any results disagree."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "e3nn", "cuequivariance", "cuequivariance-torch", "openequivariance")


def arguments() -> argparse.Namespace:
    from benchmarks.peers.harness import PEERS
    from benchmarks.peers.shapes import SHAPES

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Time fusionc and other libraries in turn on published shapes, after checking that they agree.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    listed = lambda text: [one for one in text.split(",") if one]  # noqa: E731
    parser.add_argument("--shapes", type=listed, default=list(SHAPES), help="of the names in shapes.py")
    parser.add_argument("--peers", type=listed, default=list(PEERS), help="those that are not installed are left out")
    parser.add_argument("--modes", type=listed, help="eager, compile (torch.compile for every side); default both")
    parser.add_argument("--edges", type=int, help="default 2000")
    parser.add_argument("--nodes", type=int, default=100, help="of messages and of the symmetric product")
    parser.add_argument("--channels", type=int, help="instead of a shape's own, where its blocks have equal numbers")
    parser.add_argument("--rounds", type=int, help="in which everyone takes a turn; default 9")
    parser.add_argument("--threads", type=int, default=2, help="of torch, on a CPU")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--scaling", type=listed, help="numbers of edges for mace-large, forward; default 10^3 to 10^5")
    parser.add_argument("--memory", type=float, default=6.0, help="GB that one product of the scaling part may take")
    parser.add_argument("--warm", action="store_true", help="time construction in this process, not in fresh ones")
    parser.add_argument("--huge-pages", action="store_true", help="torch's allocator takes huge pages, for every side")
    parser.add_argument("--quick", action="store_true", help="200 edges, 3 rounds, eager, no fresh processes")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    parser.add_argument("--plot", type=Path, help="write a picture to this name with .png and .svg")
    found = parser.parse_args()
    quick: dict[str, Any] = {"modes": ["eager"], "edges": 200, "rounds": 3, "scaling": ["300", "1000", "3000"]}
    full: dict[str, Any] = {"modes": ["eager", "compile"], "edges": 2000, "rounds": 9}
    full["scaling"] = ["1000", "3000", "10000", "30000", "100000"]
    for name, value in (quick if found.quick else full).items():
        if getattr(found, name) is None:
            setattr(found, name, value)
    for name, allowed in (("shapes", SHAPES), ("peers", PEERS), ("modes", ("eager", "compile"))):
        if unknown := [one for one in getattr(found, name) if one not in allowed]:
            parser.error(f"--{name}: {', '.join(unknown)} is none of {', '.join(allowed)}")
    if found.rounds < 1:
        parser.error("at least one round is needed")
    return found


def machine(device: str, threads: int) -> dict[str, Any]:
    """What the numbers belong to."""
    import torch

    import fusionc

    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    versions = {"fusionc": fusionc.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "python": platform.python_version(),
        "versions": versions,
    }


def main() -> int:
    inductor = tempfile.TemporaryDirectory(prefix="fusionc-benchmark-inductor-")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = inductor.name  # nothing compiled is found from an earlier run
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports its starts and stops otherwise
    warnings.simplefilter("ignore")
    if "--huge-pages" in sys.argv:
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # (torch reads it once, when it first allocates)
    chosen = arguments()

    import torch

    from benchmarks.peers import harness, report
    from benchmarks.peers.shapes import SHAPES

    torch.set_num_threads(chosen.threads)
    options = harness.Options(
        peers=tuple(chosen.peers),
        edges=chosen.edges,
        nodes=chosen.nodes,
        rounds=chosen.rounds,
        device=chosen.device,
        dtype=getattr(torch, chosen.dtype),
        least=0.01 if chosen.quick else 0.05,
        cold=not (chosen.quick or chosen.warm),
    )
    about = machine(chosen.device, chosen.threads)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items()}
    found: dict[str, Any] = {"machine": about, "options": settings, "results": [], "scaling": None}
    print(f"{about['processor']}, {chosen.threads} threads, {about['device']}; {chosen.dtype}, {chosen.edges} edges")
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
    if "compile" in chosen.modes:
        one = torch.ones(8, device=chosen.device, requires_grad=True)  # so that nobody's first call starts the compiler
        torch.compile(lambda value: value.exp().sum())(one).backward()
    for name in chosen.shapes:
        shape = SHAPES[name].with_channels(chosen.channels) if chosen.channels else SHAPES[name]
        for mode in chosen.modes:
            harness.log(f"{name}, {mode}")
            results = list(harness.shape_results(shape, mode, options))
            found["results"] += results
            print("\n".join(report.table(results)), flush=True)
            _write(found, chosen.json)
    if chosen.scaling:
        shape = SHAPES["mace-large"].with_channels(chosen.channels) if chosen.channels else SHAPES["mace-large"]
        rows = harness.scaling(shape, [int(one) for one in chosen.scaling], options, int(chosen.memory * 1e9))
        found["scaling"] = {"shape": shape.name, "rows": rows}
        print("\n".join(report.scaling_table(shape.name, rows)), flush=True)
    _write(found, chosen.json)
    if chosen.plot is not None:
        from benchmarks.peers import plot

        plot.draw(found, chosen.plot)
    wrong = report.disagreements(found["results"])
    if wrong:
        print(f"{wrong} results disagree", file=sys.stderr)
    return 1 if wrong else 0


def _write(found: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Random diagrams of all forms: what is emitted equals both oracles, and its derivatives those of an oracle.

    python tests/campaigns/diagrams.py --count 300 --seconds 60       what CI runs
    python tests/campaigns/diagrams.py --count 10000 --seed 0 --jobs 8
    python tests/campaigns/diagrams.py --seed 4711 --count 1          one case again
    python tests/campaigns/diagrams.py --target triton --count 300    kernels: emitted, and compiled as Python
    TRITON_INTERPRET=1 python tests/campaigns/diagrams.py --target triton --count 50    and run, where triton is there

Each case follows from its seed. Failures go to the standard output with seed, text and shapes; the last line says
`N passed, M failed`, and the exit code is 1 where one failed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

LONGEST = 120  # seconds for one case

sys.path.insert(0, str(Path(__file__).parent.parent))


def attempt(seed: int, lowered: bool = False, target: str = "torch") -> tuple[int, str | None, str | None]:
    """The seed, its text, and what is wrong with it (None: nothing)."""
    from random_cases import Disagreement, check, draw

    def late(signum: int, frame: FrameType | None) -> None:
        raise Disagreement(f"not done after {LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    text = None
    try:
        case = draw(seed)
        text = case.text
        check(case, lowered, target)
    except Disagreement as error:
        message = str(error)
        return seed, text, message if "seed" in message else f"seed {seed}\n{text or ''}{message}"
    finally:
        signal.alarm(0)
    return seed, text, None


def prepare(folder: str) -> None:
    """Modules are imported from a folder of this run; one thread for each process."""
    os.environ["FUSIONC_CACHE"] = folder
    import torch

    torch.set_num_threads(1)


def results(
    seeds: Iterable[int], jobs: int, folder: str, lowered: bool, target: str
) -> Iterator[tuple[int, str | None, str | None]]:
    if jobs == 1:
        prepare(folder)
        yield from map(partial(attempt, lowered=lowered, target=target), seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, prepare, (folder,)) as pool:
        yield from pool.imap_unordered(partial(attempt, lowered=lowered, target=target), seeds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="how many cases (300)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one (0); the others follow")
    parser.add_argument("--seconds", type=float, default=None, help="begin no case after so many seconds")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument(
        "--small-thresholds", action="store_true", help="emit code for large results, cut into small pieces"
    )
    parser.add_argument("--target", choices=["torch", "triton"], default="torch", help="whose modules (torch)")
    options = parser.parse_args()
    start, passed, failed = time.monotonic(), 0, []

    def seeds() -> Iterator[int]:
        for seed in range(options.seed, options.seed + options.count):
            if options.seconds is not None and time.monotonic() - start > options.seconds:
                return
            yield seed

    with tempfile.TemporaryDirectory(prefix="fusionc-campaign-") as folder:
        for seed, _, problem in results(seeds(), options.jobs, folder, options.small_thresholds, options.target):
            if problem is None:
                passed += 1
            else:
                failed.append(seed)
                print(f"{problem}\n", flush=True)
            if (passed + len(failed)) % 50 == 0:
                elapsed = time.monotonic() - start
                print(
                    f"{passed + len(failed)} done, {len(failed)} failed, {elapsed:.0f} s", file=sys.stderr, flush=True
                )
    if failed:
        print(f"failed seeds: {' '.join(map(str, sorted(failed)))}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

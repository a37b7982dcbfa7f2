"""Many processes, and many threads of one, make a module at once where the cache is cold.

    python tests/campaigns/cold_cache.py --rounds 50

A round starts with an empty cache. Its processes have imported torch before they are forked, wait for each other, make
the module and evaluate it; so do the threads of one more process, which all have to get one class. Prints how many
processes and threads succeeded; exit code 1 where one did not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

import fusionc

CONTEXT = multiprocessing.get_context("fork")
TEXT = "diagram d(x: 2x0e + 2x1o, y: 0e) -> 2x0e + 2x1o {{ x[u] y -> out[u] * {factor} }}"
PATIENCE = 120.0


def make(factor: int) -> type[torch.nn.Module]:
    """The module of one round; each round has another one, so that nothing is remembered."""
    kind: type[torch.nn.Module] = fusionc.parse(TEXT.format(factor=factor))["d"].module()
    x, y = torch.ones(3, 8, dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64)
    if not torch.allclose(kind()(x, y), factor * x):  # a scalar changes nothing
        raise ValueError("wrong numbers")
    return kind


def process(factor: int, barrier: threading.Barrier) -> None:
    """One of many processes."""
    barrier.wait(PATIENCE)
    make(factor)


def threads(factor: int, count: int, failures: Callable[[int], None]) -> None:
    """A process with many threads; `failures` is told how many failed."""
    barrier, found, failed = threading.Barrier(count), [], []

    def work() -> None:
        try:
            barrier.wait(PATIENCE)
            found.append(make(factor))
        except BaseException:
            failed.append(traceback.format_exc())

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        print(failed[0], file=sys.stderr)
    failures(len(failed) + len(set(map(id, found)) - {id(kind) for kind in found[:1]}))


def one_round(number: int, processes: int, threads_of_one: int) -> tuple[int, int]:
    """How many succeeded, and how many did not."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FUSIONC_CACHE"] = str(Path(folder) / "processes")
        barrier = CONTEXT.Barrier(processes)
        started = [CONTEXT.Process(target=process, args=(number + 1, barrier)) for _ in range(processes)]
        for one in started:
            one.start()
        for one in started:
            one.join()
        failed += sum(one.exitcode != 0 for one in started)
        if len(list(Path(os.environ["FUSIONC_CACHE"]).glob("*"))) != 1:
            raise SystemExit("the cache should hold one entry")

        os.environ["FUSIONC_CACHE"] = str(Path(folder) / "threads")
        failures = CONTEXT.Value("i", threads_of_one)

        def tell(count: int) -> None:
            failures.value = count

        alone = CONTEXT.Process(target=threads, args=(number + 1, threads_of_one, tell))
        alone.start()
        alone.join()
        failed += failures.value
    return processes + threads_of_one - failed, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--threads", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    fusionc.parse(TEXT.format(factor=0.5))["d"].emit()  # loads the compiler
    passed = failed = 0
    for number in range(options.rounds):
        more, fewer = one_round(number, options.processes, options.threads)
        passed, failed = passed + more, failed + fewer
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

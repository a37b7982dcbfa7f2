"""`python -m benchmarks.peers.summary FILE.json …`: the table of the README from what runs have measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OURS = "fusionc ir_mul"
PEERS = ("e3nn", "cuEquivariance", "MACE", "OpenEquivariance")


def table(results: list[dict[str, Any]]) -> list[str]:
    """For each shape and mode how many times as long as fusionc each peer takes, median of the rounds' ratios; the time
    of fusionc, and how many copies of the bytes that must move, into fresh memory, it takes."""
    measured = {ratio["peer"] for result in results for ratio in result["ratios"]}
    peers = [name for name in PEERS if name in measured]
    heads = ["shape", "mode", "task", "fusionc", "copies", *peers, "peak MB, fusionc", "peak MB, e3nn or MACE"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for result in results:
        rows = {one["name"]: one for one in result["contestants"] if "seconds" in one}
        if OURS not in rows:
            continue
        ratios = {one["peer"]: one for one in result["ratios"] if one["ours"] == OURS}
        cells = [_ratio(ratios[peer]) if peer in ratios else "" for peer in peers]
        peer = next((rows[name] for name in ("e3nn", "MACE") if name in rows), None)
        own, peak = rows[OURS], "" if peer is None else f"{peer['peak_bytes'] / 1e6:.1f}"
        figures = [f"{own['seconds']['median'] * 1e3:.3g} ms", f"{1 / own['of_copy_fresh']['median']:.2f}", *cells]
        figures += [f"{own['peak_bytes'] / 1e6:.1f}", peak]
        lines.append(f"| {' | '.join((result['shape'], result['mode'], result['task'], *figures))} |")
    return lines


def _ratio(ratio: dict[str, Any]) -> str:
    return f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})"


if __name__ == "__main__":
    found = [one for name in sys.argv[1:] for one in json.loads(Path(name).read_text(encoding="utf-8"))["results"]]
    print("\n".join(table(found)))

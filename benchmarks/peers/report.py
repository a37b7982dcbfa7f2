"""The results as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def table(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One part a shape and mode: for each task a line for each contestant, and why others do not take part.

    `x mul_ir` and `x ir_mul`: how many times as long as fusionc in that layout, median of the rounds' ratios, with
    quartiles. `fresh`, `existing`: the share of the copy bandwidth into such memory; `mm`: of the matrix-product rate.
    """
    last = None
    for result in results:
        if (result["shape"], result["mode"]) != last:
            last = (result["shape"], result["mode"])
            yield f"\n{result['shape']}, {result['mode']}"
            yield (
                f"  {'task':<9}{'who':<17}{'ms':>9}{'x mul_ir':>22}{'x ir_mul':>22}{'build s':>9}{'first s':>9}"
                f"{'peak MB':>9}{'fresh':>7}{'existing':>9}{'mm':>7}"
            )
        for one in result["contestants"]:
            yield _line(result, one)
        if result["task"] == "double":
            for name, why in result["absent"].items():
                yield f"  {name}: {why}"
            seen = dict.fromkeys(f"{one['name']}: {one['configuration']}" for one in result["contestants"])
            yield from (f"  {text}" for text in seen)


def _line(result: dict[str, Any], one: dict[str, Any]) -> str:
    head = f"  {result['task']:<9}{one['name']:<17}"
    if "failed" in one:
        return f"{head}fails: {one['failed'][:90]}"
    if not one["agrees"]:
        return f"{head}DISAGREES: {', '.join(f'{name} {error:.1e}' for name, error in one['errors'].items())}"
    ratios = {
        row["ours"]: f"{row['median']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in result["ratios"]
        if row["peer"] == one["name"]
    }
    rate = one.get("of_multiplication_rate")
    first = ratios.get("fusionc mul_ir", ratios.get("fusionc mul_ir*", ""))
    return (
        f"{head}{one['seconds']['median'] * 1e3:>9.2f}{first:>22}{ratios.get('fusionc ir_mul', ''):>22}"
        f"{one['build_s']:>9.2f}{one['first_call_s']:>9.2f}{one['peak_bytes'] / 1e6:>9.1f}"
        f"{one['of_copy_fresh']['median']:>7.1%}{one['of_copy_existing']['median']:>9.1%}"
        f"{f'{rate:.1%}' if rate is not None else '':>7}"
    )


def scaling_table(name: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Microseconds an edge, forward, by the number of edges."""
    if not rows:
        return
    names = list(rows[0]["seconds_per_edge"])
    yield f"\n{name}, forward, microseconds an edge"
    yield f"  {'edges':>8}" + "".join(f"{one:>17}" for one in names)
    for row in rows:
        found = row["seconds_per_edge"]
        values = (f"{found[one]['median'] * 1e6:.2f}" if one in found else "-" for one in names)
        yield f"  {row['edges']:>8}" + "".join(f"{value:>17}" for value in values)


def disagreements(results: Sequence[dict[str, Any]]) -> int:
    return sum(not one.get("agrees", True) for result in results for one in result["contestants"])

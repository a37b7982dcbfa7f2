"""The results as a picture: ratios by shape, and the time an edge by the number of edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.tasks import TASKS

COLOURS = {"e3nn": "#1b6ca8", "cuEquivariance": "#5b8c2a", "MACE": "#b3541e", "OpenEquivariance": "#7a4e9c"}
MARKS = {"forward": "o", "backward": "s", "double": "^"}
OURS = ("fusionc ir_mul", "fusionc mul_ir", "fusionc mul_ir*")


def draw(report: dict[str, Any], stem: Path) -> None:
    """Writes `stem`.png and `stem`.svg; a mode that was measured has a panel of its own."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "fusionc"})
    from matplotlib import pyplot

    results = report["results"]
    modes = list(dict.fromkeys(result["mode"] for result in results))
    panels = len(modes) + bool(report["scaling"])
    if not panels:
        return
    shapes = list(dict.fromkeys(result["shape"] for result in results))
    height = max(3.5, 0.55 * len(shapes) + 1.5)
    figure, axes = pyplot.subplots(1, panels, figsize=(6.2 * panels, height), squeeze=False, layout="constrained")
    for panel, mode in zip(axes[0], modes, strict=False):
        _ratios(panel, [result for result in results if result["mode"] == mode], shapes)
        panel.set_title(f"{mode}: time of the peer over time of fusionc")
    if report["scaling"]:
        _scaling(axes[0][-1], report["scaling"])
    for ending in ("png", "svg"):
        figure.savefig(stem.with_suffix(f".{ending}"), dpi=150)
    pyplot.close(figure)


def _ratios(panel: Any, results: list[dict[str, Any]], shapes: list[str]) -> None:
    """Median and quartiles, against the layout of fusionc that is the faster one in that task."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        times = {one["name"]: one["seconds"]["median"] for one in result["contestants"] if "seconds" in one}
        best = min((name for name in OURS if name in times), key=lambda name: times[name], default=None)
        for ratio in result["ratios"]:
            if ratio["ours"] == best:
                place = shapes.index(result["shape"])
                rows[f"{place} {result['task']}", ratio["peer"]] = ratio | {"task": result["task"], "place": place}
    for (_, peer), ratio in rows.items():
        offset = (list(MARKS).index(ratio["task"]) - 1) * 0.24 + (list(COLOURS).index(peer) - 1.5) * 0.04
        panel.errorbar(
            ratio["median"],
            ratio["place"] + offset,
            xerr=[[ratio["median"] - ratio["low"]], [ratio["high"] - ratio["median"]]],
            fmt=MARKS[ratio["task"]],
            color=COLOURS[peer],
            markersize=4.5,
            linewidth=1,
        )
    for peer in dict.fromkeys(peer for _, peer in rows):
        panel.plot([], [], "o", color=COLOURS[peer], label=peer)
    for task in TASKS:
        panel.plot([], [], MARKS[task], color="0.4", label=task)
    panel.axvline(1, color="0.3", linewidth=1)
    panel.set_xscale("log")
    panel.set_yticks(range(len(shapes)), shapes)
    panel.set_ylim(len(shapes) - 0.5, -0.5)
    panel.grid(axis="x", which="both", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_xlabel("ratio (right of 1: fusionc is faster)")
    panel.legend(fontsize=8, loc="best", framealpha=0.9)


def _scaling(panel: Any, scaling: dict[str, Any]) -> None:
    names = list(dict.fromkeys(name for row in scaling["rows"] for name in row["seconds_per_edge"]))
    styles = {
        "fusionc mul_ir": ("#222222", "-"),
        "fusionc ir_mul": ("#222222", "--"),
        "fusionc mul_ir*": ("#222222", ":"),
    }
    for name in names:
        rows = [
            (row["edges"], row["seconds_per_edge"][name]) for row in scaling["rows"] if name in row["seconds_per_edge"]
        ]
        edges, spreads = zip(*rows, strict=True)
        middle = [one["median"] * 1e6 for one in spreads]
        errors = [
            [(one["median"] - one["low"]) * 1e6 for one in spreads],
            [(one["high"] - one["median"]) * 1e6 for one in spreads],
        ]
        colour, line = styles.get(name, (COLOURS.get(name, "0.5"), "-"))
        panel.errorbar(edges, middle, yerr=errors, marker="o", markersize=4, color=colour, linestyle=line, label=name)
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.grid(which="both", color="0.9", linewidth=0.6)
    panel.set_xlabel("edges")
    panel.set_ylabel("microseconds an edge")
    panel.set_title(f"{scaling['shape']}, forward, eager")
    panel.legend(fontsize=8)

"""The multiplications of a compiled diagram against the best of three other orders, and what planning takes.

Two parts:

* orders: random diagrams from a fixed seed, with 2 to 8 operands, spins to 3, and at most `--paths` paths. Half are
  single lines `a b c -> out[u] * W[path, u]`, half nested trees with internal edges, with and without channels, with
  weights `W[path, u]` and `W[path]`. A ratio is fusionc's count over the least of the others' (below 1: fusionc needs
  fewer). The batch is 1000, and a pairwise contraction of dense tensors counts as in `fusionc cost`: the product of the
  sizes of all axes that occur, so that nobody gains by a way of counting. Additions, the sums over paths and all scale
  factors, which everybody folds into the vertex tensors, are not counted. fusionc's multiplications with constants ride
  on additions (`scalings` of a cost report); the ratio is printed with them too.

  e3nn: two operands at a time in written order, each path dense, as the code that e3nn generates for a TensorProduct:
    the outer product of two blocks, once for a pair, [batch, u, i, j]; with the vertex tensor, once for a path,
    [batch, u, i, j, k]; weights last, [batch, u, k]. Its kernels for l = 0 are not counted. A subtree or product that
    several paths share is computed once, as it is when tensor products are chained.
  opt_einsum: each path by itself, a network of its operands' blocks, dense vertex tensors and weights; the better of
    `optimal` and `dp` up to 7 factors (`optimal` weighs a sum twice as much as an outer product), `dp` beyond. Nothing
    is shared between paths.
  cotengra: the same networks; its exact search with outer products up to 9 factors, its hyper-optimizer with 16 trials
    beyond. Left out where it is not installed (`pip install cotengra`).

  A weight `W[path]` without channels is one number and multiplies the path's smallest vertex tensor, once for a batch.

* `--time FILE.svg`: seconds and peak memory from the text to the chosen program, against the number of operands, the
  number of vertices of a tree, and the order and lmax of a product of equal operands. Each point in a process of its
  own, so nothing is cached; seconds and the memory of the process in one, Python's own peak (tracemalloc) in another.

One core. Run `python benchmarks/planning.py`, some minutes; `--quick` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import exp, log, prod
from random import Random
from statistics import quantiles
from time import perf_counter
from typing import Any

import opt_einsum

import fusionc
from fusionc.algebra.groups import O3
from fusionc.algebra.irreps import Irrep

try:
    import cotengra
    from cotengra.pathfinders.path_basic import optimize_optimal
except ImportError:
    cotengra = None

BATCH = 1000
Axes = frozenset[str]
Path = list[tuple[int, ...]]

# -- random diagrams -------------------------------------------------------------------------------------------


def random_diagram(random: Random, operands: int, most_paths: int) -> fusionc.Diagram:
    """Drawn again until it has a path, and no more than `most_paths`."""
    while True:
        text = single_line(random, operands) if random.random() < 0.5 else nested(random, operands)
        if text is None:
            continue
        try:
            diagram = fusionc.parse(text)["d"]
            if 0 < diagram.count_paths() <= most_paths:
                return diagram
        except fusionc.CompileError:
            continue


@dataclass(frozen=True)
class Edge:
    name: str
    irreps: tuple[Irrep, ...]
    wide: bool

    @property
    def text(self) -> str:
        return f"{self.name}[u]" if self.wide else self.name


def random_operands(random: Random, count: int) -> list[Edge]:
    """Their spins are smaller where there are many; about every second diagram has channels at all."""
    largest, blocks = {2: (3, 4), 3: (3, 3), 4: (3, 2), 5: (2, 2)}.get(count, (random.choice((1, 2, 3)), 1))
    channels = random.random() < 0.6
    return [
        Edge(
            chr(ord("a") + number),
            tuple(irreps(random, random.randint(1, blocks), largest)),
            channels and (number == 0 or random.random() < 0.4),
        )
        for number in range(count)
    ]


def irreps(random: Random, count: int, largest: int) -> list[Irrep]:
    """Distinct spins, nearly always of natural parity."""
    spins = sorted(random.sample(range(largest + 1), min(count, largest + 1)))
    return [Irrep(2 * spin, (-1) ** spin * random.choice((1,) * 9 + (-1,))) for spin in spins]


def fused(edges: Sequence[Edge]) -> list[Irrep]:
    reached = set(edges[0].irreps)
    for edge in edges[1:]:
        reached = {c for a in reached for b in edge.irreps for c, _ in O3.product(a, b)}
    return sorted(reached, key=O3.edge_key)


def space(found: Sequence[Irrep], channels: int) -> str:
    return " + ".join(f"{channels}x{O3.format(irrep)}" for irrep in found)


def weight(random: Random, name: str, wide: bool) -> str:
    return f" * {name}[path, u]" if wide and random.random() < 0.7 else f" * {name}[path]"


def framed(random: Random, operands: Sequence[Edge], reached: Sequence[Irrep], lines: list[str]) -> str | None:
    """The text, with one or two of the reached irreps up to spin 3 as output."""
    small = [irrep for irrep in reached if irrep.twice_j <= 6]
    if not small:
        return None
    chosen = sorted(random.sample(small, min(len(small), random.randint(1, 2))), key=O3.edge_key)
    channels = random.choice((4, 16, 64))
    header = ", ".join(f"{edge.name}: {space(edge.irreps, channels if edge.wide else 1)}" for edge in operands)
    target = space(chosen, channels if any(edge.wide for edge in operands) else 1)
    return f"diagram d({header}) -> {target} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def single_line(random: Random, count: int) -> str | None:
    operands = random_operands(random, count)
    wide = any(edge.wide for edge in operands)
    left = " ".join(edge.text for edge in operands)
    line = f"{left} -> out{'[u]' * wide}{weight(random, 'W', wide)}"
    return framed(random, operands, fused(operands), [line])


def nested(random: Random, count: int) -> str | None:
    """Neighbours fuse in random order; an internal edge is often restricted, and sometimes weighed, hence summed."""
    operands = random_operands(random, count)
    pool, lines = list(operands), []
    while len(pool) > 1:
        place = random.randrange(len(pool) - 1)
        pair = pool[place : place + 2]
        reached, wide = fused(pair), any(edge.wide for edge in pair)
        left = " ".join(edge.text for edge in pair)
        if len(pool) == 2:
            line = f"{left} -> out{'[u]' * wide}{weight(random, 'W', wide)}"
            return framed(random, operands, reached, [*lines, line])
        kept = [irrep for irrep in reached if irrep.twice_j <= 6]
        if not kept:
            return None
        kept = sorted(random.sample(kept, min(len(kept), random.randint(1, 3))), key=O3.edge_key)
        edge = Edge(f"e{len(lines)}", tuple(kept), wide)
        names = " + ".join(O3.format(irrep) for irrep in kept)
        weighed = weight(random, f"V{len(lines)}", wide) if random.random() < 0.3 else ""
        lines.append(f"{left} -> {edge.text} in {names}{weighed}")
        pool[place : place + 2] = [edge]
    return None


# -- a path as a network ---------------------------------------------------------------------------------------


@dataclass
class Network:
    """One path: the axes of each factor, that of all samples among them, and what is counted once for a path."""

    factors: list[Axes] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=lambda: {"batch": BATCH})
    output: Axes = frozenset()
    scalars: int = 0
    vertices: list[int] = field(default_factory=list)


@dataclass
class Counter:
    """The paths of a diagram as networks, and e3nn's multiplications."""

    diagram: fusionc.Diagram
    networks: list[Network] = field(default_factory=list)
    done: dict[Any, int] = field(default_factory=dict)

    def run(self) -> Counter:
        table = self.diagram.checked.table
        for paths in table.lines.values():
            target = paths.line.target
            if target in table.outputs or table.graph.subtree(target) is None:
                for number in range(len(paths.trees)):
                    self._path(paths, number)
        return self

    @property
    def e3nn(self) -> int:
        """Every product that was met, once."""
        return sum(self.done.values())

    def _path(self, paths: Any, number: int) -> None:
        network = Network()
        component, wide, _ = self._tree(network, paths, number)
        network.output = frozenset({"batch", component} | ({"u"} if wide else set()))
        network.scalars *= min(network.vertices, default=1)
        self.networks.append(network)

    def _tree(self, network: Network, paths: Any, number: int) -> tuple[str, bool, Any]:
        """Add a line's path; its component's axis, whether it has channels, and what tells its value apart."""
        tree, line = paths.trees[number], paths.line
        sizes = paths.sizes(tree)
        if set(sizes) - {"u"}:
            raise ValueError("the diagrams of this benchmark have one channel index")
        network.sizes.update(sizes)
        left, wide, value = self._operand(network, line.operands[0], tree.blocks[0])
        for place, (irrep, _) in enumerate(tree.steps, start=1):
            right, other, key = self._operand(network, line.operands[place], tree.blocks[place])
            out, wide = self._axis(network, O3.dim(irrep)), wide or other
            network.factors.append(frozenset({left, right, out}))
            i, j, k = (network.sizes[axis] for axis in (left, right, out))
            rows = BATCH * (network.sizes["u"] if wide else 1)
            network.vertices.append(i * j * k)
            self.done["outer", value, key] = rows * i * j
            value = ("vertex", value, key, irrep)
            self.done[value] = rows * i * j * k
            left = out
        value = ("line", line.number, number, value)
        for factor in line.weights:
            self._weigh(network, bool(factor.channels), wide, left, (factor.name, value))
        return left, wide, value

    def _operand(self, network: Network, operand: Any, block: int) -> tuple[str, bool, Any]:
        table = self.diagram.checked.table
        below = table.graph.subtree(operand.edge)
        if below is not None:
            return self._tree(network, table.lines[below.number], block)
        axis = self._axis(network, O3.dim(table.blocks[operand.edge][block].irrep))
        wide = bool(operand.channels)
        network.factors.append(frozenset({"batch", axis} | ({"u"} if wide else set())))
        return axis, wide, (operand.edge, block)

    def _weigh(self, network: Network, has_channels: bool, wide: bool, component: str, key: Any) -> None:
        size = network.sizes[component]
        if has_channels:
            network.factors.append(frozenset({"u"}))
            self.done[key] = BATCH * network.sizes["u"] * size
        else:
            network.scalars += 1
            self.done[key] = min(network.vertices)

    @staticmethod
    def _axis(network: Network, size: int) -> str:
        name = f"m{len(network.sizes):03d}"
        network.sizes[name] = size
        return name


# -- orders of a network ---------------------------------------------------------------------------------------

Problem = tuple[tuple[tuple[str, ...], ...], tuple[str, ...], tuple[tuple[str, int], ...]]


def problem(network: Network) -> Problem:
    inputs = tuple(tuple(sorted(axes)) for axes in network.factors)
    return inputs, tuple(sorted(network.output)), tuple(sorted(network.sizes.items()))


def multiplications(given: Problem, path: Path) -> int:
    """Of a contraction in this order (opt_einsum's linear format): the product of all sizes, step by step."""
    inputs, output, sizes = list(map(frozenset, given[0])), frozenset(given[1]), dict(given[2])
    total = 0
    for chosen in path:
        joined: Axes = frozenset().union(*(inputs[place] for place in chosen))
        inputs = [axes for place, axes in enumerate(inputs) if place not in chosen]
        if len(chosen) > 1:
            total += prod(sizes[axis] for axis in joined)
        inputs.append(joined & output.union(*inputs))
    return total


@cache
def by_opt_einsum(given: Problem) -> int:
    inputs, output, sizes = [set(axes) for axes in given[0]], set(given[1]), dict(given[2])
    finders: list[Callable[..., Path]] = [opt_einsum.DynamicProgramming(minimize="flops")]
    if len(inputs) <= 7:
        finders.append(opt_einsum.paths.optimal)
    frozen = [frozenset(axes) for axes in inputs]
    return min(multiplications(given, finder(frozen, frozenset(output), sizes, None)) for finder in finders)


@cache
def by_cotengra(given: Problem) -> int:
    inputs, output, sizes = list(map(list, given[0])), list(given[1]), dict(given[2])
    if len(inputs) <= 9:
        path = optimize_optimal(inputs, output, sizes, minimize="flops", search_outer=True)
    else:
        search = cotengra.HyperOptimizer(
            methods=["greedy"], max_repeats=16, minimize="flops", parallel=False, progbar=False
        )
        path = search(inputs, output, sizes)
    return multiplications(given, path)


def compare(diagram: fusionc.Diagram) -> dict[str, Any]:
    counter = Counter(diagram).run()
    scalars = sum(network.scalars for network in counter.networks)
    problems = [problem(network) for network in counter.networks]
    others = {"e3nn": counter.e3nn, "opt_einsum": sum(map(by_opt_einsum, problems)) + scalars}
    if cotengra is not None:
        others["cotengra"] = sum(map(by_cotengra, problems)) + scalars
    ours = diagram.cost(batch=BATCH)
    best = min(others, key=others.__getitem__)
    return {
        "text": diagram.checked.text,
        "operands": len(diagram.checked.graph.tensor_legs),
        "paths": diagram.count_paths(),
        "fusionc": ours.multiplications,
        "strategy": ours.strategy,
        **others,
        "best": best,
        "ratio": ours.multiplications / others[best],
        "scaled_ratio": (ours.multiplications + ours.scalings) / others[best],
    }


def check(count: int, seed: int, most_paths: int, progress: Progress) -> dict[str, Any]:
    """The largest difference of any strategy from the dense einsum of the text, relative, over the random diagrams."""
    import numpy as np

    from fusionc.program.interpret import interpret
    from fusionc.program.select import STRATEGIES
    from fusionc.tools.oracle import evaluate, random_legs, random_weights

    random, errors = Random(seed), dict.fromkeys(STRATEGIES, 0.0)
    for number in range(count):
        progress.show(f"diagram {number + 1} of {count}")
        checked = random_diagram(random, 2 + number % 7, most_paths).checked
        rng = np.random.default_rng(number)
        legs, weights = random_legs(checked.table, 2, rng), random_weights(checked.table, rng)
        wanted = evaluate(checked.table, legs, weights)
        size = max(float(np.abs(part).max()) for part in wanted)
        for strategy in STRATEGIES:
            found = interpret(checked.program(strategy), legs, weights)
            error = max(float(np.abs(f - w).max()) for f, w in zip(found, wanted, strict=True)) / size
            errors[strategy] = max(errors[strategy], error)
    return {"count": count, "seed": seed, "errors": errors}


def orders(count: int, seed: int, most_paths: int, progress: Progress) -> dict[str, Any]:
    random, results = Random(seed), []
    for number in range(count):
        progress.show(f"diagram {number + 1} of {count}")
        results.append(compare(random_diagram(random, 2 + number % 7, most_paths)))
    ratios = [result["ratio"] for result in results]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return {
        "count": count,
        "seed": seed,
        "batch": BATCH,
        "cotengra": getattr(cotengra, "__version__", None),
        "with_constants": {
            "geometric_mean": exp(sum(log(result["scaled_ratio"]) for result in results) / count),
            "exceeding": sum(result["scaled_ratio"] > 1 for result in results),
        },
        "ratio": {
            "least": min(ratios),
            "quartiles": [low, middle, high],
            "most": max(ratios),
            "geometric_mean": exp(sum(map(log, ratios)) / count),
        },
        "exceeding": sum(ratio > 1 for ratio in ratios),
        "best": {
            name: sum(result["best"] == name for result in results) for name in ("e3nn", "opt_einsum", "cotengra")
        },
        "diagrams": results,
    }


# -- planning time ---------------------------------------------------------------------------------------------


def operands_text(count: int) -> str:
    names = [f"a{number}" for number in range(count)]
    header = ", ".join(f"{name}: {'8x1o' if name == 'a0' else '1o'}" for name in names)
    others = " ".join(names[1:])
    output = "8x0e" if count % 2 == 0 else "8x1o"
    return f"diagram d({header}) -> {output} {{\n    a0[u] {others} -> out[u] * W[path, u]\n}}\n"


def tree_text(vertices: int) -> str:
    """A comb: each vertex fuses the edge before it with another operand."""
    header = ", ".join(["a0: 8x1o", *(f"a{number}: 1o" for number in range(1, vertices + 1))])
    lines = ["    a0[u] a1 -> e1[u] in 0e"]
    for number in range(2, vertices):
        lines.append(f"    e{number - 1}[u] a{number} -> e{number}[u] in {'0e' if number % 2 else '1o'}")
    output = "0e" if vertices % 2 else "1o"
    lines.append(f"    e{vertices - 1}[u] a{vertices} -> out[u] * W[path, u]")
    return f"diagram d({header}) -> 8x{output} {{\n" + "\n".join(lines) + "\n}\n"


def product_text(order: int, lmax: int) -> str:
    blocks = " + ".join(f"8x{O3.format(irrep)}" for irrep in O3.spherical(lmax))
    left = " ".join(["a[u]"] * order)
    return f"diagram d(a: {blocks}) -> 8x0e + 8x1o {{\n    {left} -> out[u] * W[path, u]\n}}\n"


def series(quick: bool) -> list[dict[str, Any]]:
    """What is drawn: curves of (x, text)."""
    sizes = (10, 30, 100) if quick else (10, 20, 50, 100, 200, 500, 1000)
    found = [
        ("operands", "1o operands in one line", [(n, operands_text(n)) for n in range(2, 7 if quick else 11)]),
        ("vertices", "comb of 1o operands", [(n, tree_text(n)) for n in sizes]),
    ]
    for order in (2, 3) if quick else (2, 3, 4):
        tops = range(1, 3 if quick else 5)
        found.append(("lmax", f"order {order}", [(top, product_text(order, top)) for top in tops]))
    return [{"x": x, "label": label, "points": points} for x, label, points in found]


def plan(text: str, traced: bool) -> dict[str, float]:
    """From the text to the chosen program, in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if traced:
        tracemalloc.start()
    start = perf_counter()
    program = fusionc.parse(text)["d"].checked.program()
    seconds = perf_counter() - start
    if traced:
        return {"traced_mb": tracemalloc.get_traced_memory()[1] / 1e6}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "resident_mb": (after - before) / 1e3, "instructions": len(program.instructions)}


def measured(text: str, limit: float) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for option in ("plain", "traced"):
        command = [sys.executable, __file__, "--point", option]
        try:
            answer = subprocess.run(command, input=text, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return result | {"failed": f"more than {limit:.0f} s"}
        if answer.returncode:
            return result | {"failed": (answer.stderr.strip().splitlines() or ["?"])[-1]}
        result |= json.loads(answer.stdout)
    return result


def times(quick: bool, limit: float, progress: Progress) -> list[dict[str, Any]]:
    curves = series(quick)
    for curve in curves:
        points = []
        for x, text in curve["points"]:
            progress.show(f"{curve['label']}: {x}")
            points.append({"x": x} | measured(text, limit))
        curve["points"] = points
    return curves


def plot(curves: list[dict[str, Any]], file: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "planning"
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 6), sharex="col", layout="constrained")
    columns = {"operands": 0, "vertices": 1, "lmax": 2}
    for curve in curves:
        column = columns[curve["x"]]
        points = [point for point in curve["points"] if "traced_mb" in point]
        for row, (key, title) in enumerate((("seconds", "seconds"), ("traced_mb", "peak memory, MB (tracemalloc)"))):
            axis = axes[row][column]
            axis.plot([p["x"] for p in points], [p[key] for p in points], marker="o", label=curve["label"])
            axis.set_yscale("log")
            axis.set_ylabel(title)
            axis.grid(alpha=0.3)
            axis.legend()
        axes[1][column].set_xlabel(curve["x"])
        if curve["x"] == "vertices":
            axes[1][column].set_xscale("log")
    figure.savefig(file, metadata={"Date": None})


# -- printing --------------------------------------------------------------------------------------------------


class Progress:
    """One line that is written over, on a terminal only."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self.terminal:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def done(self) -> None:
        self.show("")


def orders_text(report: dict[str, Any]) -> str:
    ratio, best = report["ratio"], report["best"]
    low, middle, high = ratio["quartiles"]
    lines = [
        f"{report['count']} random diagrams, seed {report['seed']}, batch {report['batch']}:"
        " multiplications of fusionc / the best of the others",
        f"  least {ratio['least']:.3f}, quartiles {low:.3f} {middle:.3f} {high:.3f}, most {ratio['most']:.3f},"
        f" geometric mean {ratio['geometric_mean']:.3f}; {report['exceeding']} exceed 1",
        f"  with fusionc's multiplications by constants: geometric mean"
        f" {report['with_constants']['geometric_mean']:.3f}; {report['with_constants']['exceeding']} exceed 1",
        f"  the best other order: e3nn's {best['e3nn']}, opt_einsum's {best['opt_einsum']},"
        f" cotengra's {best['cotengra'] if report['cotengra'] else '- (not installed: left out)'}",
    ]
    for worst in sorted(report["diagrams"], key=lambda result: -result["ratio"])[: min(3, report["exceeding"])]:
        lines += ["", f"ratio {worst['ratio']:.3f}, {worst['paths']} paths:", worst["text"].rstrip()]
    return "\n".join(lines)


def times_text(curves: list[dict[str, Any]]) -> str:
    lines = [f"{'':<28}{'':>10}{'seconds':>10}{'traced':>12}{'resident':>12}"]
    for curve in curves:
        for point in curve["points"]:
            head = f"{curve['label']:<28}{curve['x'] + ' ' + str(point['x']):>14}"
            if "failed" in point:
                lines.append(f"{head}  {point['failed']}")
                continue
            lines.append(
                f"{head}{point['seconds']:>8.2f} s{point['traced_mb']:>9.1f} MB{point['resident_mb']:>9.1f} MB"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Compare the multiplications of compiled diagrams with three other orders; time the planner.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=200, help="random diagrams")
    parser.add_argument("--seed", type=int, default=0, help="of the random diagrams")
    parser.add_argument("--paths", type=int, default=300, help="the most paths of a diagram")
    parser.add_argument("--time", metavar="FILE.svg", help="time the planner instead, and plot")
    parser.add_argument("--check", action="store_true", help="evaluate them in every strategy instead, against einsum")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a point of --time is given up")
    parser.add_argument("--quick", action="store_true", help="20 diagrams of at most 50 paths; small sizes for --time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--point", choices=("plain", "traced"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(plan(sys.stdin.read(), arguments.point == "traced")))
        return 0
    count, most_paths = (20, 50) if arguments.quick else (arguments.count, arguments.paths)
    if count < 2:
        parser.error("at least two diagrams are needed")
    progress = Progress()
    if arguments.time:
        curves = times(arguments.quick, arguments.limit, progress)
        progress.done()
        plot(curves, arguments.time)
        print(json.dumps(curves, indent=2) if arguments.json else times_text(curves))
        return 0
    if arguments.check:
        found = check(count, arguments.seed, most_paths, progress)
        progress.done()
        print(json.dumps(found, indent=2))
        return 0 if max(found["errors"].values()) < 1e-12 else 1
    report = orders(count, arguments.seed, most_paths, progress)
    progress.done()
    print(json.dumps(report, indent=2) if arguments.json else orders_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())

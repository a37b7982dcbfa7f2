"""What a diagram costs, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import index

from fusionc.driver import CheckedDiagram, what_runs_where
from fusionc.program.cost import Cost, count, domain_sizes
from fusionc.program.memory import ITEMSIZES


@dataclass(frozen=True, repr=False)
class CostReport:
    """Counted from a program, for a whole batch: multiplications, additions, bytes moved, peak bytes of intermediates.
    Prints as the table of `fusionc cost`.

    These figures are of the program, which multiplies nothing with zero; `executed` is of what its module runs.

    `naive` is the same for the written order, `opt_einsum` for opt_einsum's order of every path by itself, both on
    dense tensors; `reasons` says in words why the plan is what it is. `strategy` names the plan. `scalings` are
    multiplications with constants (other than 1 and -1), which ride on additions.
    """

    multiplications: int
    additions: int
    bytes: int
    peak_bytes: int
    reasons: tuple[str, ...]
    strategy: str
    batch: int
    dtype: str
    scalings: int = 0
    naive: CostReport | None = None
    opt_einsum: CostReport | None = None
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)
    """In a diagram over sites: how many members each site set and each relation has."""
    runs: tuple[str, ...] = ()
    """What runs where, if the target has more than one place for it."""
    name: str = ""
    """The diagram that was counted."""
    executed: int | None = None
    """What eager torch multiplies in all, where that is the target: with constants, and with the zeros of matrices."""

    def __str__(self) -> str:
        return cost_table(self.name or self.strategy, self)

    def __repr__(self) -> str:
        return f"<CostReport {self.name or self.strategy}: {self.multiplications:,} multiplications, {_over(self)}>"

    @property
    def operations(self) -> int:
        return self.multiplications + self.additions


WORDS = {
    "written": "the written order, operands first and vertex tensors after them, dense",
    "whole": "each path contracted in opt_einsum's order on dense tensors; what paths share is computed once",
}


def cost_report(
    diagram: CheckedDiagram,
    batch: int = 1,
    dtype: str = "float32",
    sizes: Mapping[str, int] | None = None,
    target: str = "torch",
) -> CostReport:
    """The report of the chosen program; `sizes` are the numbers of sites and pairs; a target with more
    than one place says what runs where. Raises ValueError for a negative batch, an unknown dtype, or a size that the
    diagram has no use for, TypeError for what is no number, and `CompileError` for an unknown target."""
    from fusionc.tools.executed import executed  # torch
    from fusionc.tools.reasons import reasons  # the planner

    check_count("batch", batch)
    if dtype not in ITEMSIZES:
        raise ValueError(f"dtype should be one of {', '.join(ITEMSIZES)}, and is {dtype!r}")
    check_sizes(diagram, sizes)
    itemsize = ITEMSIZES[dtype]
    cost = count(diagram.program(), batch, itemsize, sizes)
    naive, whole = (_dense(diagram, order, batch, dtype, sizes) for order in ("written", "whole"))
    report = _report(cost, reasons(diagram), diagram.strategy, batch, dtype, naive, whole)
    over = dict(domain_sizes(diagram.graph, batch, sizes).domains)
    ran = executed(diagram, batch, sizes) if target == "torch" else None
    runs = what_runs_where(diagram, target)
    return replace(report, sizes=over, runs=runs, name=diagram.name, executed=ran)


def check_sizes(diagram: CheckedDiagram, sizes: Mapping[str, int] | None) -> None:
    """Raise ValueError unless `sizes` are numbers of sites and pairs that the diagram is over; TypeError for others."""
    if not isinstance(sizes, Mapping | None):
        raise TypeError(f"sizes should be a mapping, such as {{'atoms': 100}}, and is {sizes!r}")
    known = (*diagram.graph.sites, *(relation.name for relation in diagram.graph.relations))
    for name, size in (sizes or {}).items():
        if name not in known:
            over = f"it is over {' and '.join(known)}" if known else "it is over no sites"
            raise ValueError(f"sizes holds `{name}`, which `{diagram.name}` does not have: {over}")
        check_count(f"the size of {name}", size)


def check_count(what: str, count: int) -> None:
    """Raise ValueError, or TypeError, unless something can be counted."""
    try:
        number = index(count)
    except TypeError:
        raise TypeError(f"{what} should be an integer, and is {count!r}") from None
    if number < 0:
        raise ValueError(f"{what} should not be negative, and is {count}")


def _dense(diagram: CheckedDiagram, order: str, batch: int, dtype: str, sizes: Mapping[str, int] | None) -> CostReport:
    from fusionc.tools.dense_cost import dense_cost
    from fusionc.tools.dense_network import networks
    from fusionc.tools.dense_order import ORDERS

    counter = domain_sizes(diagram.graph, batch, sizes)
    cost = dense_cost(diagram.table, networks(diagram.table), ORDERS[order], counter, ITEMSIZES[dtype])
    return _report(cost, (WORDS[order],), order, batch, dtype)


def _report(
    cost: Cost,
    reasons: tuple[str, ...],
    strategy: str,
    batch: int,
    dtype: str,
    naive: CostReport | None = None,
    whole: CostReport | None = None,
) -> CostReport:
    figures = (cost.multiplications, cost.additions, cost.bytes, cost.peak_bytes)
    return CostReport(*figures, reasons, strategy, batch, dtype, cost.scalings, naive, whole)


def cost_table(name: str, report: CostReport) -> str:
    """The report as a table: the plan, the written order, opt_einsum's order."""
    from fusionc.tools.listing import table

    rows = [("plan", report), ("written order", report.naive), ("opt_einsum", report.opt_einsum)]
    lines = []
    for label, one in rows:
        if one is None:
            continue
        ratio = f"{one.multiplications / report.multiplications:.1f}x" if report.multiplications else "-"
        figures = (one.multiplications, one.additions, one.scalings, one.bytes, one.peak_bytes)
        lines.append((label, *(f"{figure:,}" for figure in figures), ratio))
    header = ("", "multiplications", "additions", "by constants", "bytes", "peak bytes", "ratio")
    head = f"{name}: {_over(report)}, {report.dtype}"
    words = [*(f"because: {reason}" for reason in report.reasons), *(f"runs: {line}" for line in _runs(report))]
    return "\n".join([head, table(header, lines), *words])


def _runs(report: CostReport) -> Iterator[str]:
    yield from report.runs
    if report.executed is not None:
        listed = report.multiplications + report.scalings
        times = f", {report.executed / listed:.1f} times those of the plan" if listed else ""
        yield f"{report.executed:,} multiplications in eager torch, by constants and by zeros of matrices too{times}"


def _over(report: CostReport) -> str:
    return ", ".join(f"{size:,} {domain}" for domain, size in report.sizes.items()) or f"batch {report.batch:,}"

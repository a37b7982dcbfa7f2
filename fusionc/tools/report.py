"""What a diagram costs, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass

from fusionc.driver import CheckedDiagram
from fusionc.program.cost import Cost, count
from fusionc.tools.listing import table

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass(frozen=True)
class CostReport:
    """Counted from a program, for a whole batch: multiplications, additions, bytes moved, peak bytes of intermediates.

    `naive` is the same for the written order, `opt_einsum` for opt_einsum's order of every path by itself, both on
    dense tensors; `reasons` says in words why the plan is what it is. `strategy` names the plan.
    """

    multiplications: int
    additions: int
    bytes: int
    peak_bytes: int
    reasons: tuple[str, ...]
    strategy: str
    batch: int
    dtype: str
    naive: CostReport | None = None
    opt_einsum: CostReport | None = None

    @property
    def operations(self) -> int:
        return self.multiplications + self.additions


ORDERS = {
    "written": "the written order, operands first and vertex tensors after them",
    "staged": "vertices in written order, each contracted in its own best order; what paths share is computed once",
    "whole": "each path contracted in opt_einsum's order; what paths share is computed once",
}


def cost_report(diagram: CheckedDiagram, batch: int = 1, dtype: str = "float32") -> CostReport:
    """The report of the chosen program. Raises ValueError for a negative batch or an unknown dtype."""
    if batch < 0:
        raise ValueError(f"batch should not be negative, and is {batch}")
    if dtype not in ITEMSIZES:
        raise ValueError(f"dtype should be one of {', '.join(ITEMSIZES)}, and is {dtype!r}")
    costs = {
        name: count(diagram.program(name), batch, ITEMSIZES[dtype]) for name in ("written", "whole", diagram.strategy)
    }
    best = diagram.strategy

    def one(strategy: str, **others: CostReport) -> CostReport:
        cost = costs[strategy]
        reasons = _reasons(strategy, cost, costs["written"])
        return CostReport(
            cost.multiplications, cost.additions, cost.bytes, cost.peak_bytes, reasons, strategy, batch, dtype, **others
        )

    return one(best, naive=one("written"), opt_einsum=one("whole"))


def _reasons(strategy: str, cost: Cost, naive: Cost) -> tuple[str, ...]:
    if strategy == "written" or not cost.multiplications:
        return (ORDERS[strategy],)
    saved = naive.multiplications / cost.multiplications
    return (f"{ORDERS[strategy]}: {saved:.1f} times fewer multiplications than the written order",)


def cost_table(name: str, report: CostReport) -> str:
    """The report as a table: the plan, the written order, opt_einsum's order."""
    rows = [("plan", report), ("written order", report.naive), ("opt_einsum", report.opt_einsum)]
    lines = []
    for label, one in rows:
        if one is None:
            continue
        ratio = f"{one.multiplications / report.multiplications:.1f}x" if report.multiplications else "-"
        figures = (one.multiplications, one.additions, one.bytes, one.peak_bytes)
        lines.append((label, *(f"{figure:,}" for figure in figures), ratio))
    header = ("", "multiplications", "additions", "bytes", "peak bytes", "ratio")
    head = f"{name}: batch {report.batch:,}, {report.dtype}"
    return "\n".join([head, table(header, lines), *(f"because: {reason}" for reason in report.reasons)])

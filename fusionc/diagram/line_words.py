"""How lines read in messages: their operands, what they contain, and the rule that keeps an irrep out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.fusion import Fusion, alive_factors
from fusionc.diagram.ir import Block, FusionGraph, Line
from fusionc.language.diagnostics import Edit, Repair, behind, instead
from fusionc.language.source import Span


def irreps_text(group: Group, irreps: Iterable[Irrep], most: int = 12) -> str:
    """`0e + 1o + 2e`, cut after a dozen."""
    names = [group.format(irrep) for irrep in irreps]
    return " + ".join(names[:most]) + (" + …" if len(names) > most else "") if names else "nothing"


def blocks_text(group: Group, blocks: Iterable[Block]) -> str:
    """`8x0e + 1o`, as it is written."""
    return " + ".join(f"{block.mul}x" * (block.mul != 1) + group.format(block.irrep) for block in blocks)


@dataclass(frozen=True)
class Words:
    """How a line's coupling reads: `1o x 1o`, and what it contains."""

    graph: FusionGraph
    fusion: Fusion

    def operands(self, line: Line) -> str:
        irreps = [self.fusion.reachable[operand.edge] for operand in line.operands]
        if all(len(found) == 1 for found in irreps):
            return " x ".join(self.graph.group.format(found[0]) for found in irreps)
        names = [f"`{operand.edge}`" for operand in line.operands]
        return " x ".join(names)

    def contents(self, line: Line) -> str:
        """The note that states what the left side contains, with the rule where it concerns two single irreps."""
        group = self.graph.group
        reached = sorted(self.fusion.couplings[line.number].irreps, key=group.edge_key)
        if line.fragment is not None:
            names = " and ".join(dict.fromkeys(f"`{operand.edge}`" for operand in line.operands))
            verb = "gives" if len(line.operands) == 1 else "give"
            return f"through the wires behind it, {names} {verb} {irreps_text(group, reached)}"
        if len(line.operands) == 1:
            return f"`{line.operands[0].edge}` carries {irreps_text(group, reached)}"
        equal = any(len(positions) > 1 for positions in line.identical_operands())
        symmetric = "the symmetric part of " if equal else ""
        return f"{symmetric}{self.operands(line)} = {irreps_text(group, reached)}"

    def spaces(self, line: Line) -> Iterator[str]:
        for name in dict.fromkeys(operand.edge for operand in line.operands):
            reachable = self.fusion.reachable[name]
            if len(reachable) > 1:
                yield f"`{name}` carries {irreps_text(self.graph.group, reachable)}"

    def why_not(self, line: Line, irrep: Irrep) -> tuple[str, ...]:
        """The rule that keeps an irrep out of a line."""
        group = self.graph.group
        contents = self.contents(line)
        irreps = [self.fusion.reachable[operand.edge] for operand in line.operands]
        if line.fragment is not None:
            return (contents, *self.spaces(line))
        if self.vanishes(line, irrep):
            name = line.operands[next(one for one in line.identical_operands() if len(one) > 1)[0]].edge
            return (
                contents,
                f"the operands are equal: {group.format(irrep)} is in the part that changes sign when two of them are "
                f"exchanged, so it vanishes for `{name}` with itself",
            )
        if len(line.operands) == 2 and all(len(found) == 1 for found in irreps):
            rule = group.explain(irreps[0][0], irreps[1][0], irrep)
            return (f"{contents}  ({rule})",)
        if len(line.operands) == 1:
            return (contents, "a line with one edge on the left is a linear map: it keeps the irrep (Schur's lemma)")
        if all(len(found) == 1 for found in irreps):
            return (contents, self._rule_of_many([found[0] for found in irreps], irrep))
        return (contents, *self.spaces(line))

    def _rule_of_many(self, irreps: list[Irrep], wanted: Irrep) -> str:
        """The rule that three or more irreps break; every irrep of their product has the same parity."""
        group, prefix = self.graph.group, irreps[0]
        for irrep in irreps[1:-1]:
            prefix = group.product(prefix, irrep)[0][0]
        if "parity" in group.violations(prefix, irreps[-1], wanted):
            return f"parity: those of the operands do not multiply to that of {group.format(wanted)}"
        return f"triangle: the spins of the operands do not add up to that of {group.format(wanted)}"

    def vanishes(self, line: Line, irrep: Irrep) -> bool:
        """The irrep is in the product of the operands, and not in the symmetric power of the equal ones."""
        if irrep in self.fusion.couplings[line.number].irreps or line.fragment is not None:
            return False
        factors = [set(self.fusion.reachable[operand.edge]) for operand in line.operands]
        return any(alive_factors(self.graph.group, factors, {irrep}))


def nearest(group: Group, wanted: Irrep, candidates: Iterable[Irrep]) -> Irrep | None:
    """The candidate of the nearest dimension; the smaller of two."""
    return min(
        candidates, key=lambda irrep: (abs(group.dim(irrep) - group.dim(wanted)), group.edge_key(irrep)), default=None
    )


def without_restriction(span: Span) -> Edit:
    """The `in …` at a span left out."""
    before = span.source.text[: span.start].rstrip()
    return Edit(span.source.span(len(before.removesuffix("in").rstrip()), span.end), "")


def carried(line: Line, index: str) -> tuple[Edit, ...]:
    """What has to be written beside an index that is new on the left: it stands on the right, where there is no other,
    or a weight carries it."""
    if index in line.channels or any(index in weight.channels for weight in line.weights):
        return ()
    if not line.channels:
        return (Edit(line.target_span, f"{line.target}[{', '.join((*line.indices, index))}]"),)
    return weighing(line, index)[1].edits


def weighing(line: Line, *indices: str, path: bool = False) -> tuple[str, Repair]:
    """A weight of a line that carries more: its first one, made larger, or one of a new name behind the line; as text,
    and as a repair."""
    if line.weights:
        first = line.weights[0]
        text = first.with_indices(*indices, path=path)
        return text, instead(first.span, text, f"`{first.name}` has more elements")
    text = f"{line.span.source.unused('W', 'V', 'W1')}[{', '.join(dict.fromkeys(('path', *indices)))}]"
    return text, behind(line.span, f" * {text}", f"the learned weights `{text}` are added")

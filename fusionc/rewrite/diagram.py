"""What is rewritten: the shape of a network, its lines labelled by symbols in place of spins.

A label is a number that stands for a spin. Labels 0, 1, … are those of the network's own edges and circles; a rewrite
that introduces a sum takes the next free one for its summation variable. Vertices are named by arbitrary integers.
"""

from __future__ import annotations

from dataclasses import dataclass

from fusionc.rewrite.network import SpinNetwork, Spot


@dataclass(frozen=True)
class Line:
    """An edge: `name` identifies it within its diagram, `label` its spin. It runs from tail to head, with a metric."""

    name: int
    label: int
    tail: Spot
    head: Spot


@dataclass(frozen=True)
class Diagram:
    """A closed trivalent diagram, its lines ascending by name.

    `next_name` and `next_label` are free, and so is everything above them. The diagram need not be connected; without
    lines it has the value 1.
    """

    lines: tuple[Line, ...]
    next_name: int
    next_label: int

    def __post_init__(self) -> None:
        names = [line.name for line in self.lines]
        if names != sorted(set(names)) or (names and names[-1] >= self.next_name):
            raise ValueError("the names of a diagram's lines must ascend and stay below next_name")
        if any(line.label >= self.next_label for line in self.lines):
            raise ValueError("the labels of a diagram must stay below next_label")
        spots = sorted(spot for line in self.lines for spot in (line.tail, line.head))
        if [spot[1] for spot in spots] != [0, 1, 2] * (len(spots) // 3) or len(set(spots)) != len(spots):
            raise ValueError("every vertex has exactly three slots, each with one line")

    @staticmethod
    def of(network: SpinNetwork) -> Diagram:
        """The shape of a network: edge number k becomes the line with name k and label k."""
        lines = tuple(Line(k, k, edge.tail, edge.head) for k, edge in enumerate(network.edges))
        return Diagram(lines, len(lines), len(lines) + len(network.circles))

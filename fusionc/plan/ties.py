"""What ties the site indices of a line, and which of them a value can have at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fusionc.diagram.ir import Line

Names = tuple[str, ...]


@dataclass(frozen=True)
class Ties:
    """What the site indices of a line are: the set that each ranges over, and the relations that tie two of them."""

    sets: Mapping[str, str]
    joins: tuple[tuple[str, Names], ...]

    def domain(self, indices: Iterable[str]) -> tuple[str, Names] | None:
        """The domain of a value with these site indices, and the indices in its order; None where there is none."""
        names = tuple(dict.fromkeys(indices))
        if not names:
            return "", ()
        if len(names) == 1:
            return self.sets[names[0]], names
        found = [(relation, ends) for relation, ends in self.joins if set(ends) == set(names)]
        return found[0] if found else None


def ties_of(line: Line) -> Ties:
    return Ties(dict(line.site_sets), line.joins)

"""The tables of a generated file: constants and indices, each list once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fusionc.algebra.surds import Surd

MatrixEntries = dict[tuple[int, int], Surd]


@dataclass
class Tables:
    """Constants and indices of a file's function, one behind the other."""

    constants: list[tuple[str, int, dict[int, Surd]]] = field(default_factory=list)
    """(what it is, its start, nonzero entries by place)."""
    indices: list[int] = field(default_factory=list)
    size: int = 0
    _known: dict[object, int] = field(default_factory=dict)

    def matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> int:
        """The start of a matrix, row-major."""
        key = (rows, columns, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            flat = {self.size + i * columns + j: value for (i, j), value in sorted(entries.items(), key=lambda e: e[0])}
            self.constants.append((label, self.size, flat))
            self.size += rows * columns
        return self._known[key]

    def flat(self, size: int, entries: dict[int, Surd], label: str) -> int:
        """The start of a list of constants, given by its nonzero entries."""
        key = ("flat", size, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            self.constants.append(
                (label, self.size, {self.size + at: value for at, value in sorted(entries.items(), key=lambda e: e[0])})
            )
            self.size += size
        return self._known[key]

    def index(self, values: Sequence[int]) -> int:
        """The start of a list of indices."""
        key = ("index", tuple(values))
        if key not in self._known:
            self._known[key] = len(self.indices)
            self.indices += values
        return self._known[key]

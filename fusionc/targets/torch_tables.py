"""The tables of a generated file: constants and indices, each list once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fusionc.algebra.surds import Surd

MatrixEntries = dict[tuple[int, int], Surd]


@dataclass
class Tables:
    """Constants and indices of a file's function, in lists one behind the other; a list is known by its number."""

    constants: list[tuple[str, dict[int, Surd]]] = field(default_factory=list)
    """(what it is, nonzero entries by place)."""
    sizes: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    index_sizes: list[int] = field(default_factory=list)
    _known: dict[object, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many constants there are."""
        return sum(self.sizes)

    def matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> int:
        """The number of a matrix, row-major."""
        return self.flat(rows * columns, {i * columns + j: value for (i, j), value in entries.items()}, label)

    def flat(self, size: int, entries: dict[int, Surd], label: str) -> int:
        """The number of a list of constants, given by its nonzero entries."""
        ordered = sorted(entries.items(), key=lambda entry: entry[0])
        key = (size, tuple(ordered))
        if key not in self._known:
            self._known[key] = len(self.sizes)
            self.constants.append((label, {self.size + at: value for at, value in ordered}))
            self.sizes.append(size)
        return self._known[key]

    def index(self, values: Sequence[int]) -> int:
        """The number of a list of indices."""
        key = ("index", tuple(values))
        if key not in self._known:
            self._known[key] = len(self.index_sizes)
            self.indices += values
            self.index_sizes.append(len(values))
        return self._known[key]

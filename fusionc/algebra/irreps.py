"""Names of irreducible representations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Irrep:
    """An irrep of O(3), SO(3) or SU(2): its doubled spin, and its parity.

    ``parity`` is +1 (even) or -1 (odd) for O(3), and 0 for a group without parity. An irrep does not know its
    group: its name, dimension and fusion rules are asked of the `Group`. The order of the dataclass is that
    of its fields and has no meaning; sort by `Group.edge_key` or `Group.sorted_key`.
    """

    twice_j: int
    parity: int = 0

    def __post_init__(self) -> None:
        if self.twice_j < 0:
            raise ValueError(f"a spin is never negative, but twice_j is {self.twice_j}")
        if self.parity not in (-1, 0, 1):
            raise ValueError(f"a parity is 1 (even), -1 (odd) or 0 (the group has none), not {self.parity}")

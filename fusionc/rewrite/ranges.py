"""Between which bounds a label is summed: the triangle conditions, by interval arithmetic."""

from __future__ import annotations

from fusionc.rewrite.factors import Factors, Triad, triads_of

_Bounds = dict[int, tuple[int, int | None]]


def ranges(spins: tuple[int, ...], factors: Factors) -> tuple[range, ...]:
    """For each summation variable of `factors` the doubled spins it can take, in steps of 2.

    Bounds are narrowed triad by triad until nothing changes; an empty interval anywhere empties them all.
    """
    bounds: _Bounds = dict.fromkeys(factors.sums, (0, None))
    bounds |= {label: (spin, spin) for label, spin in enumerate(spins)}
    triads = [triad for six in factors.sixes for triad in triads_of(six)]
    triads = [triad for triad in triads if max(triad) >= len(spins)]
    parity = _parities(spins, triads)
    changed = True
    while changed:
        changed = False
        for triad in triads:
            for k, label in enumerate(triad):
                before = bounds[label]
                after = _narrowed(before, bounds[triad[k - 1]], bounds[triad[k - 2]])
                if label >= len(spins) and after != before:
                    bounds[label], changed = after, True
                if after[1] is not None and after[1] < after[0]:
                    return tuple(range(0) for _ in factors.sums)
    return tuple(_steps(label, bounds[label], parity.get(label, 0)) for label in factors.sums)


def _narrowed(
    own: tuple[int, int | None], one: tuple[int, int | None], two: tuple[int, int | None]
) -> tuple[int, int | None]:
    """The interval of c in |a-b| <= c <= a+b, for a and b in intervals; None is an upper end not yet known."""
    (a, b), (c, d), (low, high) = one, two, own
    if d is not None:
        low = max(low, a - d)
    if b is not None:
        low = max(low, c - b)
    if b is not None and d is not None:
        high = b + d if high is None else min(high, b + d)
    return low, high


def _steps(label: int, bounds: tuple[int, int | None], parity: int) -> range:
    low, high = bounds
    if high is None:
        raise ValueError(f"nothing bounds the sum over label {label}")
    return range(low + (low + parity) % 2, high + 1, 2)


def _parities(spins: tuple[int, ...], triads: list[Triad]) -> dict[int, int]:
    """Whether each label is a half-integer, from one triad to the next."""
    parity = {label: spin % 2 for label, spin in enumerate(spins)}
    pending = True
    while pending:
        pending = False
        for triad in triads:
            unknown = [label for label in triad if label not in parity]
            if len(unknown) == 1:
                parity[unknown[0]] = sum(parity[label] for label in triad if label in parity) % 2
                pending = True
    return parity

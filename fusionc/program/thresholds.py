"""The numbers that decide between two forms of generated code: where an operation is large, where a matrix is cut, how
many elements are computed at a time, where a kernel is split.

They are no options of the compiler: whatever they are, the code computes the same. Passes ask for those in force,
`now`. Tests lower them, so that small diagrams and batches reach all code:

    with using(LOWERED):
        text = diagram.emit("triton")

What is emitted inside has the sizes of its pieces from them too. (A cache of generated files that is not keyed by their
text has to have `now()` in its key.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """All of them, each with what speaks for its value."""

    # --- the torch target: how much at a time

    cache: int = 2**22
    """Numbers that fit into a cache that processors share: with half as many, calls took longer than what it saved."""
    largest: int = 3 * 2**21
    """Numbers of a result that an allocator keeps at hand."""
    worth: int = 300_000
    """Numbers that are worth the call of an operation: so many in the best pieces of the benchmarks' shapes."""
    worth_of_rows: int = 170_000
    """The same where components stand before the batch: what was gathered is read again at once."""
    cache_of_pairs: int = 3 * 2**19
    """Numbers that pairs read and give at a time in a compiled loop. With half as many, calls take longer; with twice
    as many they took longer on one machine, a tenth less on another, and held half as much memory again."""
    most_rows: int = 256
    """So many products of rows are held at a time: what is held should fit into a cache."""

    # --- the torch target: which operations

    most_terms: int = 4000
    """A compiler takes about 5 ms for each term: programs with more keep their large operations."""
    most_terms_of_pairs: int = 1500
    """A compiler takes a tenth of a second for each term of a loop with its gradients: pairs with more terms keep their
    large operations, which take twice as long."""
    few_views: int = 9
    """Fewer views of an operand are put side by side; more are gathered at once."""
    least_unit: int = 8
    """What is gathered should be so many numbers wide."""
    whole: int = 1000
    """A matrix with fewer entries stays whole."""
    cut: float = 4
    """A matrix is cut where it has so many times the entries of its blocks: less is not worth more operations."""
    small: int = 400
    """Matrices with fewer products of two numbers are multiplied one number at a time by torch's batched product."""
    few: int = 3
    """Of such small matrices with so few columns, columns times rows are added up instead."""
    mixed_zeros: float = 2
    """Rows A[k,p] that are zero are multiplied too where channels are mixed behind a vertex: so many times the products
    at most."""
    dense: float = 4
    """A matrix of which more than one entry in so many is not zero is applied whole."""
    one_matrix: float = 24
    many_matrices: float = 8
    """So many multiplications of a matrix product run in the time in which a sum of rows reads a number: where one
    matrix meets the whole batch, and where every element has its own."""
    emptiness: float = 4
    """Sums of rows are taken instead of matrices for every element where they take so many times less."""
    most_of_a_table: int = 128
    """Weights that an index leg selects are prepared for the whole table where it has so few rows."""
    full: float = 0.6
    """So many of the sums of rows that a grid of products takes have to be there; the others are empty."""
    gathered: float = 2
    """A product of rows that are gathered for it takes so many times as long as one of rows where they stand."""
    call: int = 12
    """One more operation is worth so many rows of products that nobody asked for."""
    most_grids: int = 12
    """A product with weights is printed in so many regular pieces at most."""
    most_layers: int = 40
    """Elementwise products are added up in so many layers at most."""

    # --- kernels: where one is too large. Compile time grows with terms times loads and stores; a thread has 128
    # registers, and those that are not values are for indices, masks, and loads on their way.

    kernel_terms: int = 800
    kernel_memory: int = 120
    kernel_registers: int = 104
    """A kernel with more terms, loads and stores, or registers is split."""
    lone_registers: int = 106
    """Registers of what cannot be divided further: nothing with fewer was seen to spill."""
    walk_registers: int = 92
    loaded_registers: int = 86
    """Registers of values in a kernel that walks over pairs: what stays the same from pair to pair takes some as well.
    With few sums among them there may be fewer: what is loaded is often loaded before it has to be."""
    row_registers: int = 14
    most_loaded: int = 64
    """Where a program has several rows, each with pairs of its own: registers that a walk over pairs needs besides, and
    how many may be something else than the sums."""
    one_walk: int = 118
    beside_sums: int = 48
    """What a kernel may have that writes all that there is in one walk over the pairs: registers of values, and how
    many of these may be something else than the sums (which do not move; the others can be loaded late)."""
    alone: int = 2
    """How many times as many terms, loads and stores may be in what can only be split by doing much of it twice."""
    doubled: float = 1.15
    """By how much kernels for different outputs may exceed what one would do before another way is looked for."""

    # --- kernels: loops over tables of terms

    unrolled_terms: int = 2000
    """Terms up to which a loop is not looked at."""
    patience: float = 45_000
    """Milliseconds of compilation above which a loop is taken."""
    most_work: int = 120_000
    """Terms, loads and stores that are looked at to divide a program into kernels. Then what is too large is a loop."""
    many: int = 32
    together: int = 8
    """So many loads or stores of one kind are a loop inside; so many components are on their way at a time."""

    # --- kernels: what stands in memory between them

    most_kept: int = 4
    """How many values may be kept to save work."""
    room: float = 2.5
    """How many times as many components of values as of operands and results may be kept."""
    gain: float = 0.9
    """What has to be left of the effort for another value to be kept."""
    rough: float = 0.125
    """What keeping a value has to save of the effort, by a rough estimate, to be tried: the estimate is low where
    kernels have many terms and many loads and stores."""

    # --- kernels: matrix products

    most_parts: int = 16
    """How many matrix products a kernel picks from: each is a comparison or two in front of every `tl.dot`."""


DEFAULT = Thresholds()
LOWERED = Thresholds(
    cache=1,
    largest=1,
    worth=0,
    worth_of_rows=0,
    cache_of_pairs=1,
    most_rows=2,
    few_views=2,
    least_unit=1,
    whole=1,
    cut=1,
    small=1,
    few=1,
    emptiness=0.5,
    most_of_a_table=1,
    kernel_terms=6,
    kernel_memory=6,
    kernel_registers=12,
    lone_registers=12,
    walk_registers=12,
    loaded_registers=8,
    row_registers=2,
    most_loaded=4,
    one_walk=14,
    beside_sums=4,
    doubled=1.0,
    many=4,
    together=3,
    gain=1.0,
    rough=0.0,
    most_parts=1,
)
"""So low that most small cases reach the forms for large ones: pieces of two elements, matrices that are cut, kernels
of a few terms."""

_IN_FORCE: ContextVar[Thresholds] = ContextVar("thresholds", default=DEFAULT)


def now() -> Thresholds:
    """Those in force."""
    return _IN_FORCE.get()


@contextmanager
def using(thresholds: Thresholds) -> Iterator[None]:
    """Others in force, in this thread."""
    token = _IN_FORCE.set(thresholds)
    try:
        yield
    finally:
        _IN_FORCE.reset(token)

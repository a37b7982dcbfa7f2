"""Sparse tensors of exact numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

Index = tuple[int, ...]


@dataclass(frozen=True)
class ExactTensor:
    """A real tensor given by its nonzero entries: pairs (index, value), ascending by index, no value zero.

    Build one from any entries with `ExactTensor.of`. Raises ValueError when an index is out of place.
    """

    shape: tuple[int, ...]
    entries: tuple[tuple[Index, Surd], ...]

    def __post_init__(self) -> None:
        before: Index | None = None
        for index, value in self.entries:
            if len(index) != len(self.shape) or not all(map(_inside, index, self.shape)):
                raise ValueError(f"index {index} lies outside a tensor of shape {self.shape}")
            if not value or (before is not None and index <= before):
                raise ValueError(f"entries must be nonzero and ascending, but see {index}")
            before = index

    @classmethod
    def of(cls, shape: tuple[int, ...], entries: Mapping[Index, Surd]) -> ExactTensor:
        """The tensor with these entries, whatever their order; zeros are dropped."""
        return cls(shape, tuple(sorted((item for item in entries.items() if item[1]), key=_first)))

    @classmethod
    def identity(cls, size: int) -> ExactTensor:
        """The unit matrix of shape (size, size)."""
        return cls((size, size), tuple(((place, place), ONE) for place in range(size)))

    @classmethod
    def scalar(cls, value: Surd) -> ExactTensor:
        """The tensor of shape () with this value."""
        return cls.of((), {(): value})

    @property
    def nonzeros(self) -> int:
        return len(self.entries)

    @cached_property
    def _by_index(self) -> dict[Index, Surd]:
        return dict(self.entries)

    @cached_property
    def _hash(self) -> int:
        return hash((self.shape, self.entries))

    def __hash__(self) -> int:
        return self._hash

    def __getitem__(self, index: Index) -> Surd:
        """The entry at a full index (zero where none is stored)."""
        return self._by_index.get(index, ZERO)

    def item(self) -> Surd:
        """The only entry of a tensor of size one."""
        if prod(self.shape) != 1:
            raise ValueError(f"a tensor of shape {self.shape} is not a single number")
        return self.entries[0][1] if self.entries else ZERO

    def __add__(self, other: ExactTensor) -> ExactTensor:
        if self.shape != other.shape:
            raise ValueError(f"tensors of shapes {self.shape} and {other.shape} do not add")
        sums = dict(self.entries)
        for index, value in other.entries:
            sums[index] = sums.get(index, ZERO) + value
        return ExactTensor.of(self.shape, sums)

    def __sub__(self, other: ExactTensor) -> ExactTensor:
        return self + other.scaled(-ONE)

    def scaled(self, factor: Surd | int) -> ExactTensor:
        """Every entry times ``factor``."""
        return ExactTensor.of(self.shape, {index: value * factor for index, value in self.entries})

    def transposed(self, axes: tuple[int, ...]) -> ExactTensor:
        """Axis k of the result is axis ``axes[k]`` of this tensor, as in numpy."""
        if sorted(axes) != list(range(len(self.shape))):
            raise ValueError(f"{axes} is not an order of the axes of a tensor of shape {self.shape}")
        moved = {tuple(index[axis] for axis in axes): value for index, value in self.entries}
        return ExactTensor.of(tuple(self.shape[axis] for axis in axes), moved)

    def to_numpy(self) -> NDArray[np.float64]:
        """A new dense float64 array, each entry rounded once."""
        array = np.zeros(self.shape, dtype=np.float64)
        for index, value in self.entries:
            array[index] = float(value)
        return array


def contract(subscripts: str, *tensors: ExactTensor) -> ExactTensor:
    """Einstein summation, exact and sparse: ``contract("abx,xcj->abcj", v, w)``.

    The output must be written out. Two tensors are joined at a time, those that share an index first; an
    index that nothing further needs is summed at once. Raises ValueError for subscripts that do not fit the
    tensors.
    """
    inputs, output = _read(subscripts, tensors)
    terms = [_diagonal(letters, tensor) for letters, tensor in zip(inputs, tensors, strict=True)]
    letters, values = terms.pop(0)
    while terms:
        chosen = next((place for place, term in enumerate(terms) if set(term[0]) & set(letters)), 0)
        other_letters, other_values = terms.pop(chosen)
        needed = set(output).union(*(term[0] for term in terms))
        letters, values = _join(letters, values, other_letters, other_values, needed)
    letters, values = _join(letters, values, "", {(): ONE}, set(output))
    sizes = {
        letter: size
        for word, tensor in zip(inputs, tensors, strict=True)
        for letter, size in zip(word, tensor.shape, strict=True)
    }
    order = [letters.index(letter) for letter in output]
    entries = {tuple(index[place] for place in order): value for index, value in values.items()}
    return ExactTensor.of(tuple(sizes[letter] for letter in output), entries)


def _read(subscripts: str, tensors: tuple[ExactTensor, ...]) -> tuple[list[str], str]:
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow or not tensors or len(inputs) != len(tensors):
        raise ValueError(f"subscripts {subscripts!r} do not describe {len(tensors)} tensors and an output")
    sizes: dict[str, int] = {}
    for word, tensor in zip(inputs, tensors, strict=True):
        if len(word) != len(tensor.shape):
            raise ValueError(f"subscripts {word!r} do not fit a tensor of shape {tensor.shape}")
        for letter, size in zip(word, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"index {letter!r} of {subscripts!r} has sizes {sizes[letter]} and {size}")
    if len(set(output)) != len(output) or not set(output) <= set(sizes):
        raise ValueError(f"output {output!r} of {subscripts!r} repeats an index or has one that no input has")
    return inputs, output


def _diagonal(letters: str, tensor: ExactTensor) -> tuple[str, dict[Index, Surd]]:
    """A tensor whose repeated letters have been merged into one axis each."""
    if len(set(letters)) == len(letters):
        return letters, dict(tensor.entries)
    kept = "".join(dict.fromkeys(letters))
    places = [letters.index(letter) for letter in kept]
    first = [letters.index(letter) for letter in letters]
    values = {
        tuple(index[place] for place in places): value
        for index, value in tensor.entries
        if all(index[place] == index[other] for place, other in enumerate(first))
    }
    return kept, values


def _join(
    left: str,
    left_values: Mapping[Index, Surd],
    right: str,
    right_values: Mapping[Index, Surd],
    needed: set[str],
) -> tuple[str, dict[Index, Surd]]:
    """Multiply two sparse tensors along their shared letters and sum every letter that is not needed."""
    shared = [letter for letter in left if letter in right]
    left_key, right_key = _places(left, shared), _places(right, shared)
    left_rest = _places(left, [letter for letter in left if letter in needed])
    right_rest = _places(right, [letter for letter in right if letter in needed and letter not in left])
    buckets: dict[Index, list[tuple[Index, Surd]]] = {}
    for index, value in right_values.items():
        buckets.setdefault(_pick(index, right_key), []).append((_pick(index, right_rest), value))
    sums: dict[Index, Surd] = {}
    for index, value in left_values.items():
        head = _pick(index, left_rest)
        for tail, other in buckets.get(_pick(index, left_key), ()):
            key, product = head + tail, value * other
            before = sums.get(key)
            sums[key] = product if before is None else before + product
    letters = _pick_text(left, left_rest) + _pick_text(right, right_rest)
    return letters, {index: value for index, value in sums.items() if value}


def _places(letters: str, wanted: Iterable[str]) -> list[int]:
    return [letters.index(letter) for letter in wanted]


def _pick(index: Index, places: list[int]) -> Index:
    return tuple([index[place] for place in places])


def _pick_text(letters: str, places: list[int]) -> str:
    return "".join(letters[place] for place in places)


def _inside(place: int, size: int) -> bool:
    return 0 <= place < size


def _first(item: tuple[Index, Any]) -> Index:
    return item[0]

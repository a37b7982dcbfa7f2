"""Structure files: atoms and their neighbours, and everything that may be wrong with either."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_ATOMS = 200_000
MAX_PAIRS = 2_000_000
MAX_DISTANCES = 20_000_000
"""So many distances are looked at, at most, to estimate how many neighbours there will be."""
SAMPLES = 20
SAME_PLACE = 1e-6
"""In angstrom: atoms that are closer have no direction to each other."""


class MoleculeError(Exception):
    """A molecule that cannot be read, or to which a diagram cannot be applied; the message says why."""


@dataclass(frozen=True)
class Molecule:
    """Atomic numbers [N], positions [N, 3] in angstrom, and pairs (i, j) closer than the cutoff with their vectors
    r_j - r_i [E, 3], sorted by i. `notes` say what a reader of the results should know."""

    name: str
    numbers: NDArray[np.int64]
    positions: Array
    pairs: NDArray[np.int64]
    vectors: Array
    notes: tuple[str, ...] = ()


def read_molecule(path: str | Path, cutoff: float) -> Molecule:
    """Read the first frame of a structure file with ASE and find its neighbours (periodic ones too).

    `cutoff` is in angstrom. Raises `MoleculeError`.
    """
    try:
        from ase.neighborlist import neighbor_list
    except ImportError:
        raise MoleculeError("reading structures needs ASE: pip install 'fusionc[xyz]'") from None
    if not (isfinite(cutoff) and cutoff > 0):
        raise MoleculeError(f"the cutoff should be a positive, finite length in angstrom, and is {cutoff}")
    atoms, notes = _read_atoms(path)
    _check_atoms(atoms, path)
    _refuse_too_many(atoms, cutoff)
    first, second, vectors = neighbor_list("ijD", atoms, cutoff)
    _refuse_same_place(first, second, vectors)
    if not len(first):
        notes += (f"no atom has a neighbour within {cutoff:g} Å: sums over neighbours are zero",)
    return Molecule(
        name=f"{atoms.get_chemical_formula()} from {Path(path).name}",
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        positions=np.asarray(atoms.positions, dtype=np.float64),
        pairs=np.stack([first, second]).astype(np.int64),
        vectors=np.asarray(vectors, dtype=np.float64),
        notes=notes,
    )


def _read_atoms(path: str | Path) -> tuple[Any, tuple[str, ...]]:
    """The first frame, and a note where there are more."""
    from ase.io import iread

    if Path(path).exists() and not Path(path).is_file():
        raise MoleculeError(f"cannot read {path}: it is no file")
    try:
        frames = list(islice(iread(str(path), index=slice(0, 2)), 2))
    except Exception as error:  # ASE raises whatever its parsers meet
        raise MoleculeError(f"cannot read {path}: {_reason(error)}") from None
    if not frames:
        raise MoleculeError(f"cannot read {path}: there is no structure in it")
    return frames[0], ("the file holds several structures; the first was taken",) if len(frames) > 1 else ()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"{error} is no chemical element"
    if isinstance(error, IndexError | UnicodeDecodeError | StopIteration) or not str(error).strip():
        return "it is not a structure file that ASE knows"
    return " ".join(str(error).split())


def _check_atoms(atoms: Any, path: str | Path) -> None:
    """Raise unless there are atoms at places that are numbers, in a cell that has an extent where it is periodic."""
    if not len(atoms):
        raise MoleculeError(f"{path} holds no atoms")
    if len(atoms) > MAX_ATOMS:
        raise MoleculeError(f"{path} holds {len(atoms):,} atoms; diagrams run on {MAX_ATOMS:,} at most")
    for number, position in enumerate(atoms.positions):
        if not np.isfinite(position).all():
            where = ", ".join(f"{float(x):g}" for x in position)
            raise MoleculeError(f"atom {number} ({atoms.symbols[number]}) of {path} is at [{where}], which is no place")
    if not atoms.pbc.any():
        return
    vectors = np.asarray(atoms.cell.array)[np.asarray(atoms.pbc)]
    if not np.isfinite(atoms.cell.array).all():
        raise MoleculeError(f"{path} is periodic, and its cell holds something that is no finite number")
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.all() or np.linalg.matrix_rank(vectors / lengths[:, None], tol=SAME_PLACE) < len(vectors):
        raise MoleculeError(f"{path} is periodic, and its cell has no volume: set the cell, or make it not periodic")


def _refuse_too_many(atoms: Any, cutoff: float) -> None:
    """Raise where there would be too many pairs: the neighbours of some atoms are counted, images and all."""
    periodic = np.asarray(atoms.pbc)
    vectors = np.asarray(atoms.cell.complete().array) if periodic.any() else np.eye(3)
    inverse = np.linalg.inv(vectors)  # the columns are one over the distances between the faces of the cell
    reach = np.where(periodic, cutoff * np.linalg.norm(inverse, axis=0), 0.0)
    count = len(atoms) * prod(2.0 * float(np.ceil(one)) + 1 for one in reach)
    if count > MAX_DISTANCES:
        raise MoleculeError(_too_many(f"more than {MAX_DISTANCES:,} atoms and images are", cutoff))
    ranges = [np.arange(-n, n + 1) for n in np.ceil(reach).astype(int)]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3) @ vectors
    chosen = np.linspace(0, len(atoms) - 1, max(1, min(SAMPLES, len(atoms), int(MAX_DISTANCES / count)))).astype(int)
    found = sum(_neighbours(atoms.positions, place, vectors, periodic, shifts, cutoff) for place in chosen)
    if found * len(atoms) > MAX_PAIRS * len(chosen):
        raise MoleculeError(_too_many(f"about {found * len(atoms) // len(chosen):,} pairs are", cutoff))


def _neighbours(
    positions: Array, place: int, vectors: Array, periodic: NDArray[np.bool_], shifts: Array, cutoff: float
) -> int:
    """How many neighbours one atom has, images at all the shifts among them."""
    scaled = (positions - positions[place]) @ np.linalg.inv(vectors)
    nearest = (scaled - np.where(periodic, np.round(scaled), 0.0)) @ vectors
    pieces = np.array_split(shifts, max(1, len(shifts) * len(nearest) // 1_000_000))
    return sum(int((np.linalg.norm(nearest + one[:, None], axis=-1) < cutoff).sum()) for one in pieces) - 1


def _too_many(what: str, cutoff: float) -> str:
    return f"{what} within {cutoff:g} Å, more than a run takes ({MAX_PAIRS:,} pairs): choose a smaller --cutoff"


def _refuse_same_place(first: NDArray[np.int64], second: NDArray[np.int64], vectors: Array) -> None:
    for pair in np.flatnonzero(np.linalg.norm(vectors, axis=1) < SAME_PLACE)[:1]:
        raise MoleculeError(f"atoms {first[pair]} and {second[pair]} are at the same place")

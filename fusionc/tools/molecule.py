"""From a molecule to operands: neighbours, compiled spherical harmonics, tuples of neighbours, features of atoms.

A diagram without sites runs on tuples, an atom and its neighbours each; one over sites on the molecule as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product

import numpy as np
import torch
from numpy.typing import NDArray

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.ir import FusionGraph, IndexLeg, Leg, Space, TensorLeg
from fusionc.diagram.paths import PathTable
from fusionc.driver import check_source
from fusionc.language.parser import read
from fusionc.resources import resource
from fusionc.tools.modules import load_module
from fusionc.tools.sites import Inputs
from fusionc.tools.structure import Molecule, MoleculeError

Array = NDArray[np.float64]

MAX_TUPLES = 20_000


# --- spherical harmonics -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _harmonics() -> dict[int, torch.nn.Module]:
    """The modules of examples/spherical_harmonics.fus by degree: Y_l is the l-fold product of the vector."""
    checked = check_source(read(resource("examples") / "spherical_harmonics.fus"))
    diagrams = {diagram.name: diagram for diagram in checked.diagrams}
    return {degree: load_module(diagrams[f"Y{degree}"], {}) for degree in range(1, len(diagrams) + 1)}


def spherical_harmonics(degree: int, vectors: Array) -> Array:
    """Y_l of directions [N, 3] in e3nn's component normalisation: shape [N, 2*l+1], squared norm 2*l+1.

    Evaluated by compiled diagrams. Raises `MoleculeError` for a degree that the example file does not hold.
    """
    if degree == 0:
        return np.ones((len(vectors), 1))
    modules = _harmonics()
    if degree not in modules:
        raise MoleculeError(f"spherical harmonics are compiled up to l = {max(modules)}, and l = {degree} is needed")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    with torch.no_grad():
        values: Array = modules[degree](torch.as_tensor(vectors / np.where(length > 0, length, 1.0))).numpy()
        unit = modules[degree](torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)).norm()
    return values * float(np.sqrt(2 * degree + 1) / unit)


# --- operands ----------------------------------------------------------------------------------------------------


def is_geometric(group: Group, space: Space) -> bool:
    """A leg that takes the spherical harmonics of a neighbour: multiplicity one, each l once, parity (-1)^l."""
    natural = group.spherical(max((group.dim(block.irrep) - 1) // 2 for block in space.blocks))
    irreps = [block.irrep for block in space.blocks]
    return (
        all(block.mul == 1 for block in space.blocks)
        and len(set(irreps)) == len(irreps)
        and set(irreps) <= set(natural)
        and any(group.dim(irrep) > 1 for irrep in irreps)
    )


@dataclass(frozen=True)
class Layout:
    """Which atoms and neighbours each batch element is made of: `centres` [T], and for every geometric leg the pair
    (number of an edge) that it takes, [legs, T]. `truncated` when there were more than `MAX_TUPLES`."""

    centres: NDArray[np.int64]
    edges: NDArray[np.int64]
    truncated: bool

    @property
    def what(self) -> str:
        return {0: "atoms", 1: "pairs of neighbours", 2: "triples (an atom and two neighbours)"}.get(
            len(self.edges), f"atoms with {len(self.edges)} neighbours"
        )


def neighbour_tuples(molecule: Molecule, geometric_legs: int) -> Layout:
    """Every atom with every choice of a neighbour for each geometric leg."""
    atoms = len(molecule.numbers)
    if geometric_legs == 0:
        return Layout(np.arange(atoms), np.zeros((0, atoms), dtype=np.int64), False)
    of_atom = [np.flatnonzero(molecule.pairs[0] == atom) for atom in range(atoms)]
    choices = ((atom, *edges) for atom in range(atoms) for edges in product(of_atom[atom], repeat=geometric_legs))
    found = list(islice(choices, MAX_TUPLES + 1))
    if not found:
        raise MoleculeError(
            "no atom has a neighbour within the cutoff, and a diagram without sites runs over neighbours: choose a "
            "larger --cutoff"
        )
    table = np.array(found[:MAX_TUPLES], dtype=np.int64).T
    return Layout(table[0], table[1:], len(found) > MAX_TUPLES)


def operands(table: PathTable, molecule: Molecule, layout: Layout, seed: int = 0) -> list[NDArray[np.generic]]:
    """The operands of a diagram on a molecule, in declared order, float64.

    Geometric legs take the spherical harmonics of one neighbour each; other legs features of the atom at the centre,
    sums over its neighbours; index legs the chemical element's number; weights legs random invariants of the atom.
    """
    rng = np.random.default_rng(seed)
    group, geometric = table.graph.group, 0
    legs: list[NDArray[np.generic]] = []
    for leg in table.graph.legs:
        if isinstance(leg, IndexLeg):
            legs.append((molecule.numbers[layout.centres] % leg.size).astype(np.int64))
        elif not isinstance(leg, TensorLeg):
            numel = table.weights[leg.name].numel if leg.name in table.weights else 0
            legs.append(rng.standard_normal((len(molecule.numbers), numel))[layout.centres])
        elif is_geometric(group, leg.space):
            vectors = molecule.vectors[layout.edges[geometric]]
            legs.append(
                np.concatenate([spherical_harmonics(_degree(group, b.irrep), vectors) for b in leg.space.blocks], 1)
            )
            geometric += 1
        else:
            legs.append(atom_features(group, leg.space, molecule, rng)[layout.centres])
    return legs


def site_operands(table: PathTable, molecule: Molecule, seed: int = 0) -> Inputs:
    """What a diagram over sites takes on a molecule, without batch dimensions: sites are atoms, pairs are neighbours.

    Legs over pairs take the spherical harmonics of the vector to the neighbour (times functions of the distance where
    there are channels), legs over atoms sums over neighbours, legs without sites sums over atoms; index legs the
    chemical elements; weights legs random invariants. Raises `MoleculeError`.
    """
    graph, rng = table.graph, np.random.default_rng(seed)
    _require_molecule(graph, molecule)
    pairs = {relation.name: molecule.pairs for relation in graph.relations}
    counts = dict.fromkeys(graph.sites, len(molecule.numbers)) | {name: p.shape[1] for name, p in pairs.items()}
    legs = [_site_operand(table, molecule, leg, counts, rng) for leg in graph.legs]
    return Inputs(tuple(legs), pairs, counts)


def _require_molecule(graph: FusionGraph, molecule: Molecule) -> None:
    if len(graph.sites) > 1:
        raise MoleculeError(
            f"`{graph.name}` is over {' and '.join(graph.sites)}, and a molecule has atoms only: leave --xyz out"
        )


def _site_operand(
    table: PathTable, molecule: Molecule, leg: Leg, counts: dict[str, int], rng: np.random.Generator
) -> NDArray[np.generic]:
    group, domain = table.graph.group, leg.domain
    over_pairs = domain is not None and domain not in table.graph.sites
    if isinstance(leg, IndexLeg):
        species: NDArray[np.int64] = molecule.numbers[molecule.pairs[1]] if over_pairs else molecule.numbers
        return species % leg.size if domain else species.sum() % leg.size
    if not isinstance(leg, TensorLeg):
        numel = table.weights[leg.name].numel if leg.name in table.weights else 0
        return rng.standard_normal((counts[domain], numel) if domain else (numel,))
    if over_pairs:
        if is_geometric(group, leg.space):
            parts = [spherical_harmonics(_degree(group, b.irrep), molecule.vectors) for b in leg.space.blocks]
            return np.concatenate(parts, axis=1)
        return _concatenated(pair_features(group, leg.space, molecule, rng))
    features = atom_features(group, leg.space, molecule, rng)
    return features if domain else features.sum(axis=0)


def _degree(group: Group, irrep: Irrep) -> int:
    return (group.dim(irrep) - 1) // 2


def atom_features(group: Group, space: Space, molecule: Molecule, rng: np.random.Generator) -> Array:
    """Features [N, dim] of a space for every atom: sums over neighbours of radial functions times harmonics.

    Irreps whose parity is not (-1)^l change sign under inversion where a sum over single neighbours does not; they
    are the same sums times the pseudoscalar of three neighbour densities, so they too transform as they should.
    """
    pieces = []
    for values in pair_features(group, space, molecule, rng):
        sums = np.zeros((len(molecule.numbers), *values.shape[1:]))
        np.add.at(sums, molecule.pairs[0], values)
        pieces.append(sums)
    return _concatenated(pieces)


def pair_features(group: Group, space: Space, molecule: Molecule, rng: np.random.Generator) -> list[Array]:
    """The terms of `atom_features`, block by block: radial functions times harmonics, [E, multiplicity, 2*l+1]."""
    natural = set(group.spherical(max(_degree(group, block.irrep) for block in space.blocks)))
    pseudoscalar = _pseudoscalar(molecule)[molecule.pairs[0]]
    pieces = []
    for block in space.blocks:
        radial = _radial(molecule, block.mul, rng)
        values = radial[:, :, None] * spherical_harmonics(_degree(group, block.irrep), molecule.vectors)[:, None, :]
        pieces.append(values if block.irrep in natural else values * pseudoscalar[:, None, None])
    return pieces


def _concatenated(blocks: list[Array]) -> Array:
    return np.concatenate([block.reshape(len(block), -1) for block in blocks], axis=1)


def _radial(molecule: Molecule, channels: int, rng: np.random.Generator) -> Array:
    """Smooth functions of the distance and of both elements, one for each channel: [E, channels]."""
    length = np.linalg.norm(molecule.vectors, axis=1)
    elements = rng.standard_normal((119, channels)) * 0.5
    width = rng.uniform(0.3, 1.5, channels)
    first, second = molecule.numbers[molecule.pairs]
    result: Array = (1.0 + elements[first]) * (1.0 - elements[second]) * np.exp(-width * length[:, None])
    return result


def _pseudoscalar(molecule: Molecule) -> Array:
    """For every atom the triple product of three differently weighted sums of its neighbours' vectors: [N]."""
    sums = np.zeros((3, len(molecule.numbers), 3))
    length = np.linalg.norm(molecule.vectors, axis=1, keepdims=True)
    for power in range(3):
        weight = np.exp(-0.5 * (power + 1) * length) * (1.0 + power * molecule.numbers[molecule.pairs[1]][:, None])
        np.add.at(sums[power], molecule.pairs[0], weight * molecule.vectors)
    result: Array = np.einsum("ni,ni->n", np.cross(sums[0], sums[1]), sums[2])
    return result

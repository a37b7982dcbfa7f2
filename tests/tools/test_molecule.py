"""Operands from molecules: compiled spherical harmonics against e3nn, features that transform as they should."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionc.algebra.groups import O3
from fusionc.diagram.ir import Block, Space
from fusionc.language.source import Source
from fusionc.tools.molecule import atom_features, is_geometric, neighbour_tuples, spherical_harmonics
from fusionc.tools.run import _moved
from fusionc.tools.structure import MoleculeError, read_molecule
from fusionc.tools.transform import transform

ETHANOL = Path(__file__).parent.parent.parent / "examples" / "ethanol.xyz"
NOWHERE = Source("<test>", "").span(0, 0)


def space(*blocks: tuple[int, str]) -> Space:
    return Space(tuple(Block(O3.parse(name), mul, NOWHERE) for mul, name in blocks))


@pytest.mark.parametrize("degree", range(7))
def test_compiled_harmonics_equal_e3nn(degree):
    """The l-fold product of the vector is e3nn's Y_l, sign included, up to its normalisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from e3nn import o3
    vectors = np.random.default_rng(degree).standard_normal((50, 3))
    wanted = o3.spherical_harmonics(degree, torch.as_tensor(vectors), normalize=True, normalization="component")
    assert np.abs(spherical_harmonics(degree, vectors) - wanted.numpy()).max() < 1e-12


def test_features_transform_under_rotations_and_inversion():
    molecule = read_molecule(ETHANOL, 3.0)
    target = space((3, "0e"), (2, "1o"), (1, "2e"), (2, "0o"), (1, "1e"))
    elements = [O3.random_element(np.random.default_rng(5)), O3.elements["inversion"]]
    features = atom_features(O3, target, molecule, np.random.default_rng(0))
    for element in elements:
        moved = atom_features(O3, target, _moved(molecule, O3, element), np.random.default_rng(0))
        assert np.abs(moved - transform(O3, target, element, features)).max() < 1e-12


def test_which_legs_are_geometric():
    assert is_geometric(O3, space((1, "0e"), (1, "1o"), (1, "2e")))
    assert not is_geometric(O3, space((2, "1o")))
    assert not is_geometric(O3, space((1, "1e")))
    assert not is_geometric(O3, space((1, "0e")))


def test_tuples_are_all_choices_of_neighbours():
    molecule = read_molecule(ETHANOL, 1.2)
    counts = np.bincount(molecule.pairs[0], minlength=len(molecule.numbers))
    for legs in range(4):
        layout = neighbour_tuples(molecule, legs)
        assert len(layout.centres) == (counts**legs).sum()
        for edges in layout.edges:
            assert (molecule.pairs[0][edges] == layout.centres).all()


def test_unreadable_molecules(tmp_path):
    path = tmp_path / "broken.xyz"
    path.write_text("nine atoms\n")
    with pytest.raises(MoleculeError, match="cannot read"):
        read_molecule(path, 3.0)


LATTICE = 'Lattice="{}" pbc="{}"'
CUBE, FLAT, WIRE = "2 0 0 0 2 0 0 0 2", "2 0 0 0 2 0 2 2 0", "2 0 0 0 0 0 0 0 0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Empty file"),
        ("\n\n", "there is no structure in it"),
        ("0\n\n", "holds no atoms"),
        ("3\n\nC 0 0 0\nC 0 0 1\n", "Frame has 2 atoms, expected 3"),
        ("1\n\nC 0 0 0\nC 0 0 1\n", "Expected xyz header"),
        ("1\n\nXx 0 0 0\n", "'Xx' is no chemical element"),
        ("2\n\nC 0 0 1\nO 0 nan 0\n", r"atom 1 \(O\) of .* is at \[0, nan, 0\]"),
        ("1\n\nC inf 0 0\n", "which is no place"),
        ("2\n\nC 0 0 0\nC 0 0 0\n", "atoms 0 and 1 are at the same place"),
        (f"2\n{LATTICE.format(CUBE, 'T T T')}\nC 0 0 0\nC 0 0 2\n", "atoms 0 and 1 are at the same place"),
        (f"1\n{LATTICE.format('nan' + CUBE[1:], 'T T T')}\nC 0 0 0\n", "no finite number"),
        (f"1\n{LATTICE.format(FLAT, 'T T T')}\nC 0 0 0\n", "its cell has no volume"),
        (f"1\n{LATTICE.format(WIRE, 'T T F')}\nC 0 0 0\n", "its cell has no volume"),
    ],
)
def test_structures_that_are_refused(tmp_path, text, words):
    path = tmp_path / "a.xyz"
    path.write_text(text)
    with pytest.raises(MoleculeError, match=words):
        read_molecule(path, 3.0)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_cutoffs_that_are_refused(cutoff):
    with pytest.raises(MoleculeError, match="positive, finite length"):
        read_molecule(ETHANOL, cutoff)


@pytest.mark.parametrize("cutoff", [100.0, 1e9, 1e300])
def test_a_crystal_has_too_many_neighbours_within_a_huge_cutoff(tmp_path, cutoff):
    path = tmp_path / "crystal.xyz"
    path.write_text(f"1\n{LATTICE.format(CUBE, 'T T T')}\nC 0 0 0\n")
    assert read_molecule(path, 20.0).pairs.shape[1] == sum(
        0 < x * x + y * y + z * z < 100 for x in range(-10, 11) for y in range(-10, 11) for z in range(-10, 11)
    )
    if cutoff < 1e9:  # a million neighbours for each of two atoms
        path.write_text(f"2\n{LATTICE.format(CUBE, 'T T T')}\nC 0 0 0\nO 1 1 1\n")
    with pytest.raises(MoleculeError, match="smaller --cutoff"):
        read_molecule(path, cutoff)


def test_one_direction_may_be_periodic(tmp_path):
    path = tmp_path / "wire.xyz"
    path.write_text(f"2\n{LATTICE.format(WIRE, 'T F F')}\nC 0 0 0\nC 0 0.5 1000\n")
    assert read_molecule(path, 3.0).pairs.shape[1] == 4
    assert read_molecule(path, 1e3).pairs.shape[1] == 4 * 499


def test_of_several_structures_the_first_is_taken_with_a_word(tmp_path):
    path = tmp_path / "frames.xyz"
    path.write_text("1\n\nC 0 0 0\n1\n\nO 0 0 0\n")
    molecule = read_molecule(path, 3.0)
    assert molecule.numbers.tolist() == [6]
    assert "the file holds several structures; the first was taken" in molecule.notes
    with pytest.raises(MoleculeError, match="it is no file"):
        read_molecule(tmp_path, 3.0)

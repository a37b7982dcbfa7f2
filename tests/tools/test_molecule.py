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
from fusionc.tools.molecule import (
    MoleculeError,
    atom_features,
    is_geometric,
    neighbour_tuples,
    read_molecule,
    spherical_harmonics,
)
from fusionc.tools.run import _moved
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
    with pytest.raises(MoleculeError, match="positive length"):
        read_molecule(ETHANOL, 0.0)

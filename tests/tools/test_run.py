"""Diagrams that run on random operands and on molecules, with sites and without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fusionc
from fusionc.cli import main
from fusionc.tools.molecule import site_operands, spherical_harmonics
from fusionc.tools.run import run_molecule, run_random
from fusionc.tools.structure import MoleculeError, read_molecule

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ETHANOL = EXAMPLES / "ethanol.xyz"
NEIGHBOURS = fusionc.load(EXAMPLES / "neighbours.fus")
EXACT = 1e-12


@pytest.mark.parametrize("name", NEIGHBOURS.diagrams)
def test_sites_on_a_molecule(name):
    run = run_molecule(NEIGHBOURS[name].checked, ETHANOL, 3.0, 0)
    pairs = len(read_molecule(ETHANOL, 3.0).pairs[0])
    assert run.subject == f"C2H6O from ethanol.xyz, 9 atoms, {pairs} pairs within 3.0 Å"
    assert run.sizes == {"atoms": 9, "edges": pairs}
    shapes = dict(run.inputs)
    assert (shapes["x"], shapes["y"], shapes["edges"]) == ((9, 144), (pairs, 16), (2, pairs))
    assert run.outputs[0][1][0] == 9
    names = [element for element, _ in run.equivariance]
    assert names == ["a random rotation", "inversion", "a permutation of the atoms and edges"]
    assert all(error < EXACT for _, error in run.equivariance)
    assert run.multiplications == NEIGHBOURS[name].cost(sizes=run.sizes).multiplications


def test_legs_over_pairs_are_harmonics_of_the_neighbours():
    """And legs over atoms features that are those of the molecule, whatever the order of its legs."""
    molecule = read_molecule(ETHANOL, 3.0)
    inputs = site_operands(NEIGHBOURS["four_body"].checked.table, molecule)
    x, y, r, z = inputs.legs
    assert np.array_equal(inputs.relations["edges"], molecule.pairs)
    harmonics = [spherical_harmonics(degree, molecule.vectors) for degree in range(4)]
    assert np.array_equal(y, np.concatenate(harmonics, axis=1))
    first, second = molecule.pairs
    assert np.allclose(molecule.vectors, molecule.positions[second] - molecule.positions[first])
    assert np.array_equal(z, molecule.numbers)
    assert (len(x), len(r)) == (9, molecule.pairs.shape[1])


MANY = """sites nodes; pairs bonds(nodes, nodes); pairs links(nodes, nodes)
diagram d(x: 2x0e + 2x1o + 2x0o[nodes], e: 2x1o + 2x1e[bonds], y: 1o[links], g: 1o, s: weights[nodes], t: weights,
          z: index(3)[nodes], q: index(2)[bonds], n: index(4)) -> (a: 2x0e + 2x1e[nodes], b: 2x0e) {
    x[j,u] e[i,j,u] -> a[i,u] * W[i, j, q, path]
    x[j,u] y[i,j] -> a[i,u] * s[i, path, u]
    x[i,u] g -> b[u] * V[n, i, z, path]
    x[i,u] -> b[u] * t[path]
}"""


def test_operands_that_no_machine_holds_are_refused(monkeypatch):
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 100_000}
    monkeypatch.setattr("os.sysconf", lambda name: sizes[name])
    with pytest.raises(MoleculeError, match="9 atoms and 72 pairs do not fit into memory: choose a smaller --cutoff"):
        run_molecule(NEIGHBOURS["message"].checked, ETHANOL, 20.0, 0)


def test_legs_of_every_kind():
    diagram = fusionc.parse(MANY)["d"].checked
    for run in (run_molecule(diagram, ETHANOL, 2.0, 1), run_random(diagram, 8, 1)):
        assert all(error < EXACT for _, error in run.equivariance)
        assert [name for name, _, _ in run.outputs] == ["a", "b"]
        assert set(run.sizes) == {"nodes", "bonds", "links"}
    assert "each of the nodes is an atom" in str(run_molecule(diagram, ETHANOL, 2.0, 1))


def test_random_operands_over_sites():
    diagram = NEIGHBOURS["density_squared"].checked
    run = run_random(diagram, 7, 0)
    assert run.subject == "random operands, 7 atoms, 140 edges"
    run = run_random(diagram, 7, 0, sizes={"edges": 3})
    assert run.subject == "random operands, 7 atoms, 3 edges"
    assert all(error < EXACT for _, error in run.equivariance)
    with pytest.raises(ValueError, match="edgs"):
        run_random(diagram, 7, 0, sizes={"edgs": 3})


def test_diagrams_without_sites_run_as_ever():
    diagram = fusionc.load(EXAMPLES / "three_body.fus")["three_body"].checked
    run = run_molecule(diagram, ETHANOL, 1.6, 0)
    assert "triples (an atom and two neighbours)" in run.notes[0]
    assert run.sizes == {}
    assert [name for name, _ in run.equivariance] == ["a random rotation", "inversion"]
    assert run_random(diagram, 5, 0).subject == "random operands, batch 5"


def test_molecules_that_a_diagram_cannot_take():
    text = (
        "sites atoms; sites cells; pairs homes(atoms, cells)\ndiagram d(h: 1o[homes]) -> 1o[cells] { h[i,c] -> out[c] }"
    )
    with pytest.raises(MoleculeError, match="is over atoms and cells"):
        run_molecule(fusionc.parse(text)["d"].checked, ETHANOL, 3.0, 0)
    text = "basis complex; sites atoms\ndiagram d(x: 1o[atoms]) -> 1o { x[i] -> out }"
    with pytest.raises(MoleculeError, match="complex basis"):
        run_molecule(fusionc.parse(text)["d"].checked, ETHANOL, 3.0, 0)


@pytest.mark.parametrize("atoms", ["1\n\nC 0 0 0\n", "2\n\nC 0 0 0\nO 0 0 9\n"])
def test_atoms_without_neighbours_are_taken_as_modules_take_them(tmp_path, atoms):
    path = tmp_path / "lone.xyz"
    path.write_text(atoms)
    run = run_molecule(NEIGHBOURS["message"].checked, path, 3.0, 0)
    assert run.sizes["edges"] == 0
    assert dict(run.equivariance)["a random rotation"] == 0.0
    assert "no atom has a neighbour within 3 Å: sums over neighbours are zero" in run.notes
    tuples = fusionc.parse("diagram d(x: 1o, y: spherical(2)) -> 1o { x y -> out * W[path] }")["d"].checked
    with pytest.raises(MoleculeError, match="a diagram without sites runs over neighbours"):
        run_molecule(tuples, path, 3.0, 0)


# --- the command line ------------------------------------------------------------------------------------------------


def test_sizes_on_the_command_line(capsys):
    file = str(EXAMPLES / "neighbours.fus")
    assert main(["cost", file, "--size", "atoms=100", "--size", "edges=2000", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert list(reports) == ["message", "density_squared", "four_body"]
    assert all(report["sizes"] == {"atoms": 100, "edges": 2000} for report in reports.values())
    assert main(["cost", file, "--batch", "100", "--diagram", "message"]) == 0
    assert "message: 100 atoms, 2,000 edges, float32" in capsys.readouterr().out
    assert main(["run", file, "--diagram", "message", "--size", "atoms=5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["sizes"] == {"atoms": 5, "edges": 100}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cost", "--size", "edge=3"], "no diagram is over `edge`; did you mean `edges`?"),
        (["cost", "--size", "xyzzy=3"], "sizes can be given of atoms, edges"),
        (["run", "--size", "atoms=3", "--xyz", str(ETHANOL)], "the molecule says how many"),
    ],
)
def test_wrong_sizes_on_the_command_line(words, said, capsys):
    assert main([words[0], str(EXAMPLES / "neighbours.fus"), *words[1:]]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("size", ["atoms", "atoms=", "=3", "atoms=-3", "atoms=1.5", "1=3"])
def test_sizes_are_names_and_numbers(size, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["cost", str(EXAMPLES / "neighbours.fus"), "--size", size])
    assert caught.value.code == 2
    assert "such as atoms=100" in capsys.readouterr().err


def test_sizes_where_there_are_no_sites(capsys):
    assert main(["cost", str(EXAMPLES / "three_body.fus"), "--size", "atoms=3"]) == 2
    assert "no diagram here is over sites" in capsys.readouterr().err


def test_verify_on_the_command_line(capsys):
    assert main(["verify", str(EXAMPLES / "neighbours.fus"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["diagram"] for row in rows] == ["message", "density_squared", "four_body"]
    assert all(row["ok"] for row in rows)

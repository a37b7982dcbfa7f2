"""Nested sums in every order: slices and other orders change no value, and what is too long is refused beforehand."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from pathlib import Path

import networkx as nx
import pytest

from fusionc.cli import main
from fusionc.rewrite import NetworkBuilder, SpinNetwork, evaluate
from fusionc.rewrite.evaluate import WORK_LIMIT, TooMuchWork, _scheduled, work
from fusionc.rewrite.schedule import EXHAUSTIVE, TABLE_LIMIT, best_order, largest_table, order_cost, schedule
from fusionc.rewrite.search import PATIENCE
from fusionc.rewrite.skeleton import Skeleton


def network(graph: nx.Graph, twice_j: int, seed: int = 0) -> SpinNetwork:
    """All lines of one integer spin, written in a random order."""
    rng, builder = random.Random(seed), NetworkBuilder()
    ends = {vertex: list(builder.add_vertex(twice_j, twice_j, twice_j)) for vertex in graph.nodes}
    edges = [list(edge) for edge in graph.edges]
    rng.shuffle(edges)
    for edge in edges:
        rng.shuffle(edge)
        builder.connect(ends[edge[0]].pop(), ends[edge[1]].pop())
    return builder.build()


def grid(size: int) -> list[tuple[int, ...]]:
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(size, size))
    return [tuple(sorted(edge)) for edge in graph.edges]


def test_slices_change_no_value(monkeypatch):
    petersen = network(nx.petersen_graph(), 8)
    _scheduled.cache_clear()
    whole = evaluate(petersen)
    assert whole
    for limit in (30, 5, 1):
        monkeypatch.setattr("fusionc.rewrite.schedule.TABLE_LIMIT", limit)
        _scheduled.cache_clear()
        assert evaluate(petersen) == whole
    _scheduled.cache_clear()


def test_the_order_of_lines_changes_no_value():
    assert len({evaluate(network(nx.petersen_graph(), 4, seed)) for seed in range(3)}) == 1


@pytest.mark.parametrize("size", [4, 5])
def test_tables_fit_and_orders_are_no_worse_than_greedy(size):
    scopes, sizes = grid(size), dict.fromkeys(range(size * size), 9)
    found = schedule(scopes, sizes)
    assert found == schedule(scopes, sizes)
    assert found.largest <= TABLE_LIMIT
    assert sorted((*found.fixed, *found.order)) == list(range(size * size))
    greedy = best_order(scopes, sizes)
    assert len(greedy) > EXHAUSTIVE
    if not found.fixed:
        assert found.work <= order_cost(scopes, sizes, greedy)
        assert found.largest == largest_table(scopes, sizes, found.order)


def test_orders_are_searched_where_greedy_makes_tables_too_large():
    scopes = [tuple(sorted(edge)) for edge in nx.convert_node_labels_to_integers(nx.grid_2d_graph(5, 7)).edges]
    sizes = dict.fromkeys(range(35), 9)
    assert largest_table(scopes, sizes, best_order(scopes, sizes)) > TABLE_LIMIT
    found = schedule(scopes, sizes)
    assert found.largest <= TABLE_LIMIT
    assert not found.fixed


def test_a_sum_that_is_too_long_is_refused_before_it_is_begun():
    petersen = network(nx.petersen_graph(), 300)
    start = time.process_time()
    assert work(petersen) > WORK_LIMIT
    with pytest.raises(TooMuchWork, match="steps"):
        evaluate(petersen)
    assert time.process_time() - start < 5


def test_a_value_beyond_float64_is_printed_all_the_same(tmp_path, capsys):
    file = tmp_path / "d.fus"
    pairs = "; ".join(f"-> a{k} b{k} in 2000; a{k} b{k} ->" for k in range(50))
    file.write_text(f"group SU(2)\nnormalize norm\ndiagram d() {{ {pairs} }}\n")
    assert main(["eval", str(file)]) == 0
    name, exact, decimal = capsys.readouterr().out.split(" = ")
    assert (name, exact) == ("d", str(4001**100))
    assert decimal == f"{Decimal(4001**100):.16e}\n"
    assert main(["eval", str(file), "--json"]) == 0
    assert '"decimal": null' in capsys.readouterr().out


def test_no_order_is_looked_for_where_none_would_do(monkeypatch):
    def search(*_):
        raise AssertionError("a search")

    monkeypatch.setattr("fusionc.rewrite.schedule._noisy", search)
    scopes = grid(12)
    plan = schedule(scopes, {label: 1000 for scope in scopes for label in scope})
    assert plan.work > 10 * WORK_LIMIT


@pytest.mark.parametrize(("vertices", "twice_j"), [(60, 40), (120, 10), (160, 2), (300, 100)])
def test_what_is_hopeless_is_refused_after_a_short_search(vertices, twice_j, monkeypatch):
    looked_at = 0
    copy = Skeleton.copy

    def counted(skeleton: Skeleton) -> Skeleton:
        nonlocal looked_at
        looked_at += len(skeleton.star)
        return copy(skeleton)

    monkeypatch.setattr(Skeleton, "copy", counted)
    large = network(nx.random_regular_graph(3, vertices, seed=1), twice_j)
    assert work(large) >= 1000 * WORK_LIMIT
    with pytest.raises(TooMuchWork):
        evaluate(large)
    assert looked_at < 2 * (PATIENCE + 10 * vertices)


def test_a_large_network_that_falls_apart_is_no_long_search():
    """A prism of 150 rungs: one sum, and then nothing but triangles."""
    prism = network(nx.circular_ladder_graph(150), 2)
    assert 0 < work(prism) < 10**6
    assert evaluate(prism)


def test_check_says_what_eval_refuses(capsys):
    case = Path(__file__).parents[1] / "mistakes" / "F3013_petersen.fus"
    for command in ("check", "eval"):
        assert main([command, str(case)]) == 1
        assert "F3013" in capsys.readouterr().err

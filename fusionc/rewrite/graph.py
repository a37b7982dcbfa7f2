"""Graph algorithms, behind a thin wall: no other module of this folder needs to know networkx.

A graph is a mapping from names of lines to their two vertices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

Ends = Mapping[int, tuple[int, int]]


def sides(ends: Ends, names: Sequence[int]) -> dict[int, bool] | None:
    """The two parts that lines hold together: vertex -> whether it is in the part with the smallest uncut name.

    None unless every one of the lines runs from the one part to the other. A part without a line of its own, a single
    vertex, is the other part.
    """
    graph = nx.MultiGraph(pair for name, pair in sorted(ends.items()) if name not in names)
    graph.add_nodes_from(vertex for name in names for vertex in ends[name])
    one, two = (nx.node_connected_component(graph, vertex) for vertex in ends[names[0]])
    if any(
        (ends[name][0] in one) == (ends[name][1] in one) or (ends[name][0] in two) == (ends[name][1] in two)
        for name in names
    ):
        return None
    inside = [name for name, pair in sorted(ends.items()) if name not in names and (pair[0] in one or pair[0] in two)]
    first = bool(inside) and ends[inside[0]][0] in two
    return {vertex: (vertex in two) == first for vertex in sorted(one | two)}


def two_colouring(vertices: int, links: Sequence[tuple[int, int, bool]]) -> list[bool] | None:
    """A colour for each vertex such that a link's ends differ exactly where it says so; None if there is none.

    The first vertex of each connected part is False.
    """
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(vertices))
    graph.add_edges_from((one, two, {"differ": differ}) for one, two, differ in links)
    colour: dict[int, bool] = {}
    for start in range(vertices):
        if start not in colour:
            colour[start] = False
            for one, two, key in nx.edge_bfs(graph, start):
                colour.setdefault(two, colour[one] ^ graph.edges[one, two, key]["differ"])
    if any((colour[one] != colour[two]) != differ for one, two, differ in links):
        return None
    return [colour[vertex] for vertex in range(vertices)]

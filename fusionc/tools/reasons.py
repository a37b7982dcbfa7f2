"""Why a plan is what it is, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fusionc.driver import CheckedDiagram
from fusionc.plan.expand import EdgePlan, Expansion, closing
from fusionc.plan.products import Product
from fusionc.plan.states import Node, Pair, State, Summed
from fusionc.program.select import RECOUPLED, Order
from fusionc.rewrite.recouple import Shape

MANY = 12

WORTH_SAYING = 1.05
"""An order that saves less than this was chosen for what it shares with others."""


def reasons(diagram: CheckedDiagram) -> tuple[str, ...]:
    """One sentence for each decision that saves something, product by product."""
    plan = diagram.plan(diagram.strategy)
    found = [
        *_orders(diagram),
        *(text for edge in plan.edges for expansion in edge.expansions for text in _sums(expansion)),
        *_shared(plan.edges),
        *diagram.lowered(diagram.strategy).notes,
    ]
    distinct = list(dict.fromkeys(found))
    if not distinct:
        return ("nothing to choose: there is one way to evaluate this diagram",)
    return tuple(distinct[:MANY]) + ((f"… and {len(distinct) - MANY} more",) if len(distinct) > MANY else ())


def _orders(diagram: CheckedDiagram) -> Iterator[str]:
    """What was decided on the order of every product of three and more."""
    searched = diagram.plan(RECOUPLED)
    if searched.changes and diagram.strategy != RECOUPLED:
        yield "kept the written orders: each product by itself would be cheaper in another, all together would not"
        return
    for order in searched.orders:
        yield from _order(order)


def _order(order: Order) -> Iterator[str]:
    """`coupled a and b first: they carry no channels; saves 7.6x`."""
    product = order.product
    if order.shape is None:
        if order.too_many:
            yield (
                f"kept the written order of {_names(product, range(len(product.leaves)))}: recoupling its paths would "
                f"take {order.too_many:,} exact coefficients"
            )
        else:
            yield f"kept the written order of {_names(product, range(len(product.leaves)))}: no other was found cheaper"
        return
    saves = f"saves {order.saving:.1f}x" if order.saving < 100 else f"saves {order.saving:,.0f}x"
    gain = f"; {saves} over the written order" if order.saving >= WORTH_SAYING else ""
    for pair in _first(order.shape):
        bare = all(not product.leaves[leaf].channels for leaf in pair)
        why = ": they carry no channels" if bare else ""
        yield f"coupled {_names(product, pair)} first{why}{gain}, weights recoupled exactly"


def _first(shape: Shape) -> list[tuple[int, ...]]:
    """The pairs of leaves that meet before anything else."""
    if isinstance(shape, int):
        return []
    left, right = shape
    if isinstance(left, int) and isinstance(right, int):
        return [tuple(sorted((left, right)))]
    return _first(left) + _first(right)


def _names(product: Product, leaves: Iterable[int]) -> str:
    names = [product.leaves[leaf].edge for leaf in leaves]
    return " and ".join(names) if len(names) == 2 else ", ".join(names)


def _sums(expansion: Expansion) -> Iterator[str]:
    """Sums over sites that are done before everything has met."""
    product = expansion.product
    for index, leaves in closing(product).items():
        if len(leaves) < len(product.leaves):
            yield (
                f"summed over {index} as soon as {_names(product, sorted(leaves))} have met: nothing else depends on it"
            )


def _shared(edges: Iterable[EdgePlan]) -> Iterator[str]:
    """What several products use and is computed once."""
    users: dict[int, dict[str, None]] = {}
    names: dict[int, str] = {}
    for edge in edges:
        for expansion in edge.expansions:
            label = f"line {expansion.product.line.number + 1}"
            for node in _nodes(use.state for path in expansion.paths for use, _ in path):
                users.setdefault(node.number, {})[label] = None
                names[node.number] = " ".join(node.leaves)
    for number, lines in users.items():
        if len(lines) > 1:
            yield f"computed {names[number]} once, for {', '.join(lines)}"


def _nodes(states: Iterable[State]) -> Iterator[Node]:
    """The nodes of states and of what they are made of, pairs only."""
    todo, seen = list(states), set[int]()
    while todo:
        state = todo.pop()
        if state.number in seen:
            continue
        seen.add(state.number)
        if isinstance(state.what, Pair):
            todo += [state.what.left.state, state.what.right.state]
            yield state.node
        elif isinstance(state.what, Summed):
            todo.append(state.what.inner)

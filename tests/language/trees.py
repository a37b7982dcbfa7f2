"""Random syntax trees: every tree that a text can stand for, and some that are absurd but well formed."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from fusionc.language import syntax
from fusionc.language.grammar import words
from fusionc.language.source import Source, Span

NOWHERE = Span(Source("", ""), 0, 0)

words_ = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,6}|_[A-Za-z0-9]{1,4}", fullmatch=True)
names = words_.filter(lambda word: word not in words().keywords).map(lambda word: syntax.Name(NOWHERE, word))
PATH = syntax.Name(NOWHERE, "path")
OUT = syntax.Name(NOWHERE, "out")

small = st.integers(0, 999)
irreps = st.one_of(
    st.builds("{}{}".format, small, st.sampled_from("eo")),
    small.map(str),
    st.builds("{}/{}".format, small, st.integers(1, 9)),
)
repeats = st.none() | small
terms = st.one_of(
    st.builds(syntax.IrrepTerm, st.just(NOWHERE), st.none() | small, irreps),
    st.builds(syntax.SphericalTerm, st.just(NOWHERE), small, repeats),
    st.builds(syntax.NameTerm, st.just(NOWHERE), names, repeats),
)
spaces = st.builds(syntax.Space, st.just(NOWHERE), st.lists(terms, min_size=1, max_size=3).map(tuple))
lmaxes = st.builds(syntax.LMax, st.just(NOWHERE), st.sampled_from(("0", "3", "3/2")))
restrictions = spaces | lmaxes

indices = st.none() | st.lists(names | st.just(PATH), min_size=1, max_size=3).map(tuple)
edges = st.builds(syntax.EdgeRef, st.just(NOWHERE), names | st.just(OUT), indices)
targets = st.builds(syntax.Target, st.just(NOWHERE), edges, st.none() | restrictions)
fractions = st.fractions(-1000, 1000, max_denominator=1000) | st.sampled_from((Fraction(10**30), Fraction(-3, 10**25)))
factors = st.one_of(
    st.builds(syntax.Number, st.just(NOWHERE), fractions),
    st.builds(syntax.WeightRef, st.just(NOWHERE), names, indices),
)


def _can_be_written(vertex: syntax.Vertex) -> bool:
    """`in 1 * W` is the space W once; the irrep 1 and then a weight without a bracket cannot be written."""
    if not vertex.left and not vertex.right:
        return False
    if not vertex.right or not vertex.factors:
        return True
    restriction, factor = vertex.right[-1].restriction, vertex.factors[0]
    if not isinstance(restriction, syntax.Space) or not isinstance(factor, syntax.WeightRef) or factor.indices:
        return True
    last = restriction.terms[-1]
    return not (isinstance(last, syntax.IrrepTerm) and last.mul is None and last.irrep.isdigit())


vertices = st.builds(
    syntax.Vertex,
    st.just(NOWHERE),
    st.lists(edges, max_size=3).map(tuple),
    st.lists(targets, max_size=2).map(tuple),
    st.lists(factors, max_size=2).map(tuple),
).filter(_can_be_written)
labels = st.builds(syntax.EdgeLabel, st.just(NOWHERE), names, spaces)
edge_statements = st.builds(syntax.Edges, st.just(NOWHERE), st.lists(labels, min_size=1, max_size=3).map(tuple))
kinds = st.sampled_from(("normalize", "paths", "basis"))
settings_ = st.builds(syntax.Setting, st.just(NOWHERE), kinds, names | st.just(PATH))
statements = vertices | edge_statements | settings_

sites = st.none() | names
leg_types = st.one_of(
    spaces,
    st.just(syntax.WeightsType(NOWHERE)),
    st.builds(syntax.IndexType, st.just(NOWHERE), small),
)
legs = st.builds(syntax.Leg, st.just(NOWHERE), names, leg_types, sites)


def _outputs(
    name: st.SearchStrategy[syntax.Name] | st.SearchStrategy[None],
) -> st.SearchStrategy[syntax.Output]:
    inferred = st.just(syntax.Inferred(NOWHERE))
    return st.one_of(
        st.builds(syntax.Output, st.just(NOWHERE), name, spaces, sites),
        st.builds(syntax.Output, st.just(NOWHERE), name, inferred, sites, st.none() | restrictions),
    )


outputs = st.one_of(
    st.just(()),
    st.tuples(_outputs(st.none())),
    st.lists(_outputs(names | st.just(OUT)), min_size=1, max_size=3).map(tuple),
)
diagrams = st.builds(
    syntax.Diagram,
    st.just(NOWHERE),
    names,
    st.lists(legs, max_size=4).map(tuple),
    outputs,
    st.lists(statements, max_size=4).map(tuple),
)
items = st.one_of(
    st.builds(syntax.Group, st.just(NOWHERE), st.sampled_from(("O(3)", "SO(3)", "SU(2)"))),
    st.builds(syntax.Irreps, st.just(NOWHERE), names, spaces),
    st.builds(syntax.Sites, st.just(NOWHERE), names),
    st.builds(syntax.Pairs, st.just(NOWHERE), names, names, names),
    st.builds(syntax.Import, st.just(NOWHERE), st.from_regex(r"[a-z /.#;é-]{0,8}", fullmatch=True)),
    settings_,
    diagrams,
)
files = st.builds(syntax.File, st.just(NOWHERE), st.lists(items, max_size=4).map(tuple))

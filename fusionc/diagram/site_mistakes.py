"""The words for mistakes with sites: one function a diagnostic. `sites` finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fusionc.diagram.ir import IndexLeg, Join, Line, Output, Weight
from fusionc.language import syntax
from fusionc.language.diagnostics import Advice, Diagnostic, Edit, Label, Repair, diagnose, instead, write
from fusionc.language.source import Span

SITES_FIRST = "site indices stand first in a bracket, then `path`, then channel indices"
SUMMED = "a site index that the right edge lacks is summed"


@dataclass(frozen=True)
class Use:
    """Where a site index stands: on which edge, over which site set."""

    edge: str
    site_set: str
    span: Span


class Over(Protocol):
    """What an edge is over, and where that is said."""

    @property
    def domain(self) -> str | None: ...
    @property
    def span(self) -> Span: ...
    @property
    def is_leg(self) -> bool: ...


def _indices(count: int, kind: str = "site ") -> str:
    number = {0: "no", 1: "one", 2: "two"}.get(count, str(count))
    return f"{number} {kind}{'index' if count < 2 else 'indices'}"


def _listed(letters: Sequence[str]) -> str:
    quoted = [f"`{letter}`" for letter in letters]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}" if len(quoted) > 1 else "".join(quoted)


def _written(ref: syntax.EdgeRef | syntax.WeightRef, indices: Sequence[str]) -> str:
    return f"{ref.name.text}[{', '.join(indices)}]" if indices else ref.name.text


def _texts(ref: syntax.EdgeRef | syntax.WeightRef) -> list[str]:
    return [name.text for name in ref.indices or ()]


def _over(domain: str | None) -> str:
    return f"over `{domain}`" if domain else "without sites"


def _tie(join: Join) -> str:
    return f"{join[0]}({', '.join(join[1])})"


# --- declarations ------------------------------------------------------------------------------------------------


def space_as_sites(name: syntax.Name, known: Sequence[str]) -> Diagnostic:
    """F1008; `known` are the index sets and relations that are declared."""
    return diagnose(
        "F1008",
        f"`{name.text}` is a space, not an index set or a relation",
        name.span,
        notes=["the bracket of a leg or an output says over which sites it is"],
        help=f"known here: {_listed(known[:8])}" if known else "declare one: `sites atoms`",
    )


def name_is_taken(name: str, kind: str, span: Span, declared: Span) -> Diagnostic:
    """F1002: sites and relations are given by name when the diagram is called."""
    return diagnose(
        "F1002",
        f"`{name}` is declared twice",
        span,
        label="and has this name here",
        related=[Label(declared, f"{kind} first")],
        notes=["site sets and relations are given by name, beside the legs"],
        help="rename one of the two",
    )


# --- brackets ----------------------------------------------------------------------------------------------------


def missing_site_index(
    ref: syntax.EdgeRef | syntax.WeightRef,
    domain: str,
    wanted: int,
    there: int,
    meant: Sequence[str],
    declared: Span,
    alike: Sequence[Span] = (),
) -> Diagnostic:
    """F1037 on the left side, or on given weights; `alike` are places of the same words."""
    text = _written(ref, meant)
    edits = tuple(Edit(span, text) for span in (ref.span, *alike))
    return diagnose(
        "F1037",
        f"`{ref.name.text}` is over `{domain}`, and has {_indices(there)} here",
        ref.span,
        notes=[f"what is over {'sites' if wanted == 1 else 'pairs'} has {_indices(wanted)}, first in its bracket"],
        help=Advice(f"write `{text}`", (Repair(edits, f"the site indices of `{ref.name.text}` are chosen"),))
        if text != ref.span.text
        else None,
        related=[Label(declared, f"over `{domain}`")],
    )


def output_without_site_index(
    output: Output, ref: syntax.EdgeRef, wanted: int, there: int, meant: Sequence[str]
) -> Diagnostic:
    """F1037 on an output; `meant` are site indices of the left side that would fit."""
    texts = _texts(ref)
    text = _written(ref, [*texts[:there], *meant, *texts[there:]])
    effect = f"the site indices of `{output.name}` are chosen"
    help = Advice(f"write `-> {text}`", (instead(ref.span, text, effect),))
    if len(meant) < wanted - there:
        help = Advice(f"put an edge over `{output.domain}` on the left, or declare `{output.name}` without sites")
    return diagnose(
        "F1037",
        f"the output `{output.name}` is over `{output.domain}`, and has {_indices(there)} here",
        ref.span,
        notes=[f"what is over {'sites' if wanted == 1 else 'pairs'} has {_indices(wanted)}, first in its bracket"],
        help=help,
        related=[Label(output.span, f"over `{output.domain}`")],
    )


def one_index_too_many(ref: syntax.EdgeRef, name: syntax.Name, domain: str, arity: int) -> Diagnostic:
    """F1026: neither a site index nor a channel index that anything needs."""
    texts = _texts(ref)
    return diagnose(
        "F1026",
        f"`{ref.name.text}` is over `{domain}`, which has {_indices(arity)}, and `{name.text}` is one more",
        name.span,
        notes=[f"every multiplicity of `{ref.name.text}` is 1: it needs no channel index"],
        help=write(ref.span, _written(ref, texts[:arity]), f"`{name.text}` is left out"),
    )


def two_site_sets(name: syntax.Name, use: Use, first: Use) -> Diagnostic:
    """F1038."""
    return diagnose(
        "F1038",
        f"the index `{name.text}` ranges over `{use.site_set}` on `{use.edge}`, and over `{first.site_set}` on "
        f"`{first.edge}`",
        name.span,
        related=[Label(first.span, f"over `{first.site_set}`")],
        notes=["an index ranges over one set of sites"],
        help="rename one of the two",
    )


def site_and_channel(name: syntax.Name, use: Use, ref: syntax.EdgeRef, shape: Over) -> Diagnostic:
    """F1038: a letter that counts sites on one edge and channels on another."""
    edge, repairs = ref.name.text, list[Repair]()
    if shape.domain is None and shape.is_leg:
        note = f"`{edge}` is declared without sites"
        rest = [text for text in _texts(ref) if text != name.text]
        text = _written(ref, rest)
        repairs = [instead(ref.span, text, f"`{edge}` is the same for all sites")]
        help = f"declare it over `{use.site_set}`, or write `{text}`: the same for all sites"
    elif shape.domain is None:
        note = f"`{edge}` is written without sites"
        help = f"keep the index where `{edge}` is written: `-> {ref.span.text}`, or rename it here"
    else:
        note, help = f"`{edge}` is over `{shape.domain}`: {SITES_FIRST}", "rename one of the two"
    return diagnose(
        "F1038",
        f"`{name.text}` is a site index of `{use.edge}`, and a channel index of `{edge}`",
        name.span,
        related=[Label(use.span, f"over `{use.site_set}`")],
        notes=[note],
        help=help,
        repairs=repairs,
    )


# --- the right edge ----------------------------------------------------------------------------------------------


def site_index_not_first(ref: syntax.EdgeRef, name: syntax.Name, sites: Mapping[str, Use]) -> Diagnostic:
    """F1042."""
    texts = _texts(ref)
    ordered = [*(text for text in texts if text in sites), *(text for text in texts if text not in sites)]
    return diagnose(
        "F1042",
        f"the site index `{name.text}` does not stand first",
        name.span,
        notes=[SITES_FIRST],
        help=Advice(f"write `-> {_written(ref, ordered)}`", (instead(ref.span, _written(ref, ordered)),)),
    )


def site_index_on_the_right_alone(name: syntax.Name, output: Output, known: Sequence[str]) -> Diagnostic:
    """F1023."""
    return diagnose(
        "F1023",
        f"the site index `{name.text}` stands on the right alone",
        name.span,
        notes=[f"`{output.name}` is over `{output.domain}`; its sites are those of the left side"],
        help=f"the site indices on the left: {_listed(known)}"
        if known
        else f"put an edge over `{output.domain}` on the left",
    )


def surplus_site_index(output: Output, ref: syntax.EdgeRef, name: syntax.Name, domain: str | None) -> Diagnostic:
    """F1039: more site indices than the declaration says; `domain` is what the bracket as written is over."""
    rest = [text for text in _texts(ref) if text != name.text]
    return diagnose(
        "F1039",
        f"the output `{output.name}` is declared {_over(output.domain)}, and `{name.text}` is a site index",
        name.span,
        notes=[SUMMED],
        help=f"sum over it: `-> {_written(ref, rest)}`"
        + (f", or declare the output over `{domain}`" if domain is not None else ""),
        repairs=[instead(ref.span, _written(ref, rest), f"`{name.text}` is summed over")],
    )


def other_sites(output: Output, name: syntax.Name, use: Use, wanted: str) -> Diagnostic:
    """F1039: an index over another site set."""
    return diagnose(
        "F1039",
        f"`{name.text}` ranges over `{use.site_set}`, and the output `{output.name}` is over `{output.domain}`",
        name.span,
        related=[Label(use.span, f"over `{use.site_set}`")],
        notes=[f"an index over `{wanted}` is wanted here"],
        help=f"write an index over `{wanted}`, or declare the output over `{use.site_set}`",
    )


def other_relation(output: Output, span: Span, relation: str) -> Diagnostic:
    """F1039: the pairs of another relation."""
    return diagnose(
        "F1039",
        f"this line lives on the pairs of `{relation}`, and the output `{output.name}` on those of `{output.domain}`",
        span,
        help=f"declare the output over `{relation}`, or put an edge over `{output.domain}` on the left",
    )


def two_domains(line: Line, first: str | None, there: Span) -> Diagnostic:
    """F1039: lines that end in one internal edge disagree."""
    return diagnose(
        "F1039",
        f"`{line.target}` is {_over(line.domain)} here, and {_over(first)} where it is first written",
        line.target_span,
        related=[Label(there, _over(first))],
        notes=["lines that end in one edge add up: they are over the same sites"],
        help="give this line an edge of its own",
    )


# --- weights -----------------------------------------------------------------------------------------------------


def site_index_on_a_weight(
    ref: syntax.WeightRef, name: syntax.Name, sites: Mapping[str, Use], declaration: str
) -> Diagnostic:
    """F1041; `declaration` is the leg that would give the index something to select from."""
    rest = [text for text in _texts(ref) if text not in sites]
    return diagnose(
        "F1041",
        f"`{name.text}` is a site index, and `{ref.name.text}` has nothing over sites for it",
        name.span,
        notes=["weights differ from site to site only where they are given over sites, or an index leg selects a row"],
        help=f"write `* {_written(ref, rest)}`, or declare the leg `{declaration}`",
        repairs=[instead(ref.span, _written(ref, rest), "the weights are the same for all sites")],
    )


def site_index_on_weights_alone(weight: str, name: syntax.Name, known: Sequence[str]) -> Diagnostic:
    """F1022: given weights name a site that no edge has."""
    return diagnose(
        "F1022",
        f"the site index `{name.text}` of `{weight}` stands on no edge of this line",
        name.span,
        notes=["given weights are read at the sites of the line's edges"],
        help=f"the site indices of this line: {_listed(known)}" if known else "put it on an edge",
    )


def row_read_elsewhere(
    row: IndexLeg, span: Span, letters: Sequence[str], options: Sequence[tuple[str, ...]]
) -> Diagnostic:
    """F1040: a row leg is read where it has no value."""
    places = [", ".join(option) for option in options]
    return diagnose(
        "F1040",
        f"`{row.name}` is over `{row.domain}`, and cannot be read at {_listed(letters)}",
        span,
        related=[Label(row.span, f"over `{row.domain}`")],
        notes=[f"its places on this line: {_listed(places)}" if places else "this line has no index over it"],
        help=f"write `{places[0]}, {row.name}`" if places else None,
        repairs=[instead(span, place, f"`{row.name}` is read at {place}") for place in places],
    )


def ambiguous_row(
    row: IndexLeg, ref: syntax.WeightRef, name: syntax.Name, options: Sequence[tuple[str, ...]]
) -> Diagnostic:
    """F1040: several sites whose row might be meant."""
    brackets, repairs = [], []
    for option in options[:2]:
        texts = _texts(ref)
        place = texts.index(name.text)
        text = _written(ref, [*texts[:place], *option, *texts[place:]])
        brackets.append(f"`* {text}`")
        repairs.append(instead(ref.span, text, f"`{row.name}` is read at {', '.join(option)}"))
    return diagnose(
        "F1040",
        f"nothing says at which site `{row.name}` is read: {_listed([', '.join(option) for option in options])} "
        f"are over `{row.domain}`",
        name.span,
        notes=["a row is read at the right edge's site, or at the only site of the line"],
        help=f"write the site before the row: {' or '.join(brackets)}",
        repairs=repairs,
    )


def row_without_place(row: IndexLeg, name: syntax.Name, over_pairs: bool) -> Diagnostic:
    """F1040: no index over the row leg's sites, or no indices that its relation ties."""
    lack = "it ties no indices of this line" if over_pairs else "this line has no index over it"
    return diagnose(
        "F1040",
        f"`{row.name}` is over `{row.domain}`, and {lack}",
        name.span,
        related=[Label(row.span, f"over `{row.domain}`")],
        help=f"put an edge over `{row.domain}` on the left, or declare `{row.name}` without sites",
    )


# --- what is not compiled ----------------------------------------------------------------------------------------


def tied_twice(span: Span, join: Join, rival: Join, there: Span) -> Diagnostic:
    """F4003: two ties of one pair of indices."""
    same = join[0] == rival[0]
    help = f"write the indices in the order of `{rival[0]}`: {_listed(rival[1])}"
    if not same:
        help = "write one of the two sums on a line of its own"
    return diagnose(
        "F4003",
        f"`{_tie(join)}` and `{_tie(rival)}` tie the same two indices",
        span,
        related=[Label(there, f"tied by `{_tie(rival)}`")],
        notes=["on one line, two indices are tied by one relation, in one order"],
        help=help,
    )


def cycle_of_relations(span: Span, joins: Sequence[Join]) -> Diagnostic:
    """F4003: relations that close a circle of indices."""
    return diagnose(
        "F4003",
        "the relations of this line form a cycle",
        span,
        notes=[f"{', '.join(_tie(join) for join in joins)}: sums over triangles of sites are not compiled yet"],
        help="leave one relation out, or make what is over it an edge without that index",
    )


def too_many_target_sites(span: Span, letters: Sequence[str]) -> Diagnostic:
    """F4003: an edge over three sites."""
    return diagnose(
        "F4003",
        f"an edge over {len(letters)} site indices",
        span,
        notes=["an edge lives on the sites of a set, or on the pairs of a relation"],
        help=f"sum over {_listed(letters[2:])}: leave it out of this bracket",
    )


def untied_target(span: Span, letters: Sequence[str]) -> Diagnostic:
    """F4003: an edge over all pairs of sites."""
    return diagnose(
        "F4003",
        f"no relation ties {_listed(letters)} on the left of this line",
        span,
        notes=["an edge over two site indices lives on the pairs of a relation that ties them"],
        help="put an edge over such a relation on the left, or sum over one of the two: leave it out here",
    )


def reversed_target(ref: syntax.EdgeRef, join: Join) -> Diagnostic:
    """F4003: an edge over pairs, its indices exchanged."""
    rest = _texts(ref)[2:]
    return diagnose(
        "F4003",
        f"the indices stand in the other order than in `{_tie(join)}`",
        ref.span,
        notes=["an edge over pairs has its site indices in the relation's order"],
        help=write(ref.span, _written(ref, [*join[1], *rest]), "the ends of the pairs are exchanged"),
    )


def untied_weights(weight: Weight, own: Sequence[str]) -> Diagnostic:
    """F4003: weights whose rows are read at sites that no relation ties."""
    reason = f"no relation ties {_listed(own)}" if len(own) == 2 else f"{_listed(own)} are more than a pair"
    return diagnose(
        "F4003",
        f"`{weight.name}` is read at {_listed(own)}, and {reason}",
        weight.span,
        notes=["a weight is read at one site, or at the two of a pair"],
        help="write a weight for each of its rows",
    )


def loop_over_sites(span: Span) -> Diagnostic:
    """F4003: splits and loops of what is over sites."""
    return diagnose(
        "F4003",
        "a split or a loop over sites",
        span,
        notes=["splits, pairs and loops are compiled between edges without sites"],
        help="couple the edges over sites on lines of their own, one edge on the right of each",
    )

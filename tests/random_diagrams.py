"""Random diagrams of all forms, each from the number of its seed: text, operands and what is differentiated.

A diagram is drawn line by line. Legs come into being where a line wants an operand of some multiplicity and domain;
internal edges are drawn first and used by the lines of the outputs. Not every text compiles: a symmetric square has no
1e, say. Then the next text of the seed is taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

SITE_SETS = ("atoms", "cells")
RELATIONS = {"edges": ("atoms", "atoms"), "homes": ("atoms", "cells")}
DECLARED = "sites atoms; sites cells; pairs edges(atoms, atoms); pairs homes(atoms, cells)\n"
Sites = tuple[str, ...]

# What stands on the left of a line, by what its right edge is over: the site indices of each operand.
LEFT: dict[Sites, list[list[Sites]]] = {
    (): [[()], [(), ()], [(), ()], [(), (), ()]],
    ("i",): [
        [("i",)],
        [("i",), ("i",)],
        [("i",), ()],
        [("i", "j")],
        [("j",), ("i", "j")],
        [("j",), ("i", "j")],
        [("j",), ("i", "j"), ("i", "k")],
        [("i", "j"), ("j", "k")],
        [("k",), ("i", "j"), ("j", "k")],
        [("i",), ("j",)],
        [("i", "c"), ("c",)],
        [("j",)],
    ],
    ("i", "j"): [
        [("i", "j")],
        [("i",), ("i", "j")],
        [("i",), ("j",), ("i", "j")],
        [("j", "k"), ("i", "j")],
        [("i", "j"), ("i", "k")],
        [("i", "j"), ()],
    ],
}
POOLED: list[list[Sites]] = [
    [("i",)],
    [("i",), ()],
    [("i",), ("i",)],
    [("i", "j")],
    [("j",), ("i", "j")],
    [("i",), ("j",)],
]


def domain_of(sites: Sites) -> str | None:
    """What is over these site indices here: c stands for a cell, every other index for an atom."""
    if not sites:
        return None
    if len(sites) == 1:
        return "cells" if sites == ("c",) else "atoms"
    return "homes" if sites[1] == "c" else "edges"


@dataclass
class Edge:
    """An operand to draw from: its irreps, the sizes of its channels (none where it has no bracket), its domain."""

    name: str
    irreps: list[str]
    sizes: tuple[int, ...]
    domain: str | None
    once: bool = False


@dataclass
class _Drawing:
    rng: random.Random
    group: str = "O(3)"
    over_sites: bool = False
    lmax: int = 2
    legs: dict[str, Edge] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)
    internal: list[Edge] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    weights: int = 0

    # --- irreps ------------------------------------------------------------------------------------------------

    def irreps(self, count: int) -> list[str]:
        spins = [str(l) for l in range(self.lmax + 1)]  # noqa: E741
        if self.group == "SU(2)":
            spins = ["0", "1/2", "1", "3/2"][: 2 * self.lmax + 1]
        names = [spin + parity for spin in spins for parity in (("e", "o") if self.group == "O(3)" else ("",))]
        return self.rng.sample(names, min(count, len(names)))

    def product(self, left: list[list[str]]) -> list[str]:
        reached = {(0, 1)}
        for irreps in left:
            reached = {
                (c, p * q)
                for a, p in reached
                for b, q in map(_parsed, irreps)
                for c in range(abs(a - b), a + b + 1, 2)
                if c <= 2 * self.lmax + 2
            }
        return [self._named(*irrep) for irrep in sorted(reached)]

    def _named(self, twice: int, parity: int) -> str:
        spin = str(twice // 2) if twice % 2 == 0 else f"{twice}/2"
        return spin + ({1: "e", -1: "o"}[parity] if self.group == "O(3)" else "")

    # --- operands ----------------------------------------------------------------------------------------------

    def leg(self, mul: int, domain: str | None) -> Edge:
        """A leg of this multiplicity (0: no bracket), one that there is already or a new one."""
        sizes = (mul,) if mul else ()
        there = [leg for leg in self.legs.values() if leg.sizes == sizes and leg.domain == domain]
        if there and self.rng.random() < 0.6:
            return self.rng.choice(there)
        name = f"{'xyvphq'[self.rng.randrange(6)]}{len(self.legs)}"
        edge = Edge(name, self.irreps(self.rng.randint(1, 2)), sizes, domain)
        blocks = list(edge.irreps)
        if self.rng.random() < 0.15:
            blocks.append(self.rng.choice(blocks))  # an irrep in two blocks
        self.legs[name] = edge
        self.header[name] = " + ".join(f"{mul or 1}x{irrep}" for irrep in blocks) + (f"[{domain}]" if domain else "")
        return edge

    def operand(self, sites: Sites, mul: int) -> Edge:
        domain = domain_of(sites)
        there = [edge for edge in self.internal if edge.domain == domain]
        if there and self.rng.random() < 0.7:
            edge = self.rng.choice(there)
            if edge.once:
                self.internal.remove(edge)
            return edge
        return self.leg(mul, domain)

    # --- one line ----------------------------------------------------------------------------------------------

    def left(self, target: Sites, forced: Edge | None) -> tuple[list[Edge], list[Sites]]:
        options = [*LEFT[target], *(POOLED if self.over_sites and not target else [])]
        if forced is not None:
            options = [one for one in options if any(domain_of(sites) == forced.domain for sites in one)]
        brackets = list(self.rng.choice(options or [[target]]))
        width = self.rng.choice([0, 2, 2, 3])
        edges: list[Edge] = []
        for sites in brackets:
            if forced is not None and domain_of(sites) == forced.domain:
                edges.append(forced)
                if forced.once and forced in self.internal:
                    self.internal.remove(forced)
                forced = None
            else:
                mul = width if self.rng.random() < 0.7 else self.rng.choice([0, 0, 2, 3])
                edges.append(self.operand(sites, mul))
        place = self.rng.randrange(len(edges))
        if not edges[place].once and self.rng.random() < 0.25 and len(edges) < 3:
            edges.insert(place, edges[place])  # equal operands
            brackets.insert(place, brackets[place])
        return edges, brackets

    def channels(self, edges: list[Edge], brackets: list[Sites]) -> tuple[list[tuple[str, ...]], dict[str, int]]:
        """Letters for the channels of each operand: equal sizes share one as a rule, and then always or never."""
        sizes: dict[str, int] = {}
        found: list[tuple[str, ...]] = []
        seen: dict[tuple[str, Sites], tuple[str, ...]] = {}
        for edge, sites in zip(edges, brackets, strict=True):
            own: tuple[str, ...] = ()
            if (edge.name, sites) in seen and self.rng.random() < 0.8:
                own = seen[edge.name, sites]
            else:
                for size in edge.sizes:
                    there = [letter for letter, other in sizes.items() if other == size and letter not in own]
                    letter = there[0] if there and self.rng.random() < 0.75 else "uvwst"[min(len(sizes), 4)]
                    sizes.setdefault(letter, size)
                    own += (letter,)
            seen[edge.name, sites] = own
            found.append(own)
        return found, sizes

    def bracket(self, sizes: dict[str, int], mul: int | None) -> tuple[tuple[str, ...], int] | None:
        """Channels of a right edge that multiply to `mul` (None: anything small): what stays, or a new index."""
        for _ in range(8):
            kept = tuple(letter for letter in sizes if self.rng.random() < 0.65)
            if self.rng.random() < 0.2:
                kept = kept[::-1]
            size = prod(sizes[letter] for letter in kept)
            if mul is None:
                if self.rng.random() < 0.3:
                    return (*kept, "m"), size * 2
                return kept, size
            if size == mul and (kept or mul == 1):
                return kept, size
            if mul % size == 0 and self.rng.random() < 0.6:
                return (*kept, "m"), mul
        return None

    def factors(
        self, brackets: list[Sites], target: Sites, must: list[str], may: list[str], path: bool, new: str | None
    ) -> str:
        """Weights that carry the indices that are summed or new, `path` where asked for, and fixed factors."""
        rng, text = self.rng, ""
        needed = [*must, *([new] if new else [])]
        count = rng.choice([1, 1, 1, 2]) if needed or path else rng.choice([0, 0, 1])
        for number in range(count):
            own = list(needed) if number == 0 else [index for index in needed if rng.random() < 0.5]
            own += [letter for letter in may if letter not in own and rng.random() < 0.45]
            if rng.random() < 0.2:
                own.reverse()
            has_path = path if number == 0 else path and rng.random() < 0.5
            inside = [*(["path"] if has_path else []), *own]
            text += self.weight(brackets, target, inside)
            if rng.random() < 0.12:
                text += " * " + text.rsplit(" * ", 1)[-1]  # the same weight twice
        if rng.random() < 0.2:
            text += rng.choice([" * 0.5", " * -2/3", " * 0.5", " * -2/3", " * 0"])
        return text

    def weight(self, brackets: list[Sites], target: Sites, inside: list[str]) -> str:
        rng = self.rng
        self.weights += 1
        name, kind = f"W{self.weights}", rng.random()
        pairs = [sites for sites in brackets if len(sites) == 2 and domain_of(sites) == "edges"]
        singles = [sites for sites in brackets if len(sites) == 1 and sites != ("c",)]
        if brackets == [("j",)] and target == ("i",):  # only weights can tie them
            self.header[f"r{self.weights}"] = "weights[edges]"
            return f" * r{self.weights}[{', '.join(['i', 'j', *inside])}]"
        if kind < 0.2:
            name, sites = f"r{self.weights}", rng.choice([(), *pairs, *singles, target])
            self.header[name] = "weights" + (f"[{domain_of(sites)}]" if sites else "")
            head: list[str] = list(sites)
        elif kind < 0.45:
            head = []
            for _ in range(rng.choice([1, 1, 2])):
                sites = rng.choice([(), *pairs, *singles])
                row = {None: "zn", "atoms": "za", "edges": "zq"}[domain_of(sites)] + rng.choice("12")
                if row not in head:
                    size = 2 if row.endswith("1") else 3
                    self.header[row] = f"index({size})" + (f"[{domain_of(sites)}]" if sites else "")
                    head += [*sites, row]
        else:
            head = []
        bracket = ", ".join([*head, *inside])
        return f" * {name}[{bracket}]" if bracket else f" * {name}"

    def written(self, target: Sites, forced: Edge | None, mul: int | None) -> _Written | None:
        """The left side of a line and the channels of its right edge; None where they do not fit."""
        edges, brackets = self.left(target, forced)
        letters, sizes = self.channels(edges, brackets)
        right = self.bracket(sizes, mul)
        reached = self.product([edge.irreps for edge in edges])
        if right is None or right[1] > 12 or not reached:
            return None
        left = " ".join(
            edge.name + (f"[{', '.join([*sites, *own])}]" if sites or own else "")
            for edge, sites, own in zip(edges, brackets, letters, strict=True)
        )
        return _Written(left, brackets, sizes, right[0], right[1], reached)

    def weighed(self, line: _Written, target: Sites, path: bool) -> str:
        summed = [letter for letter in line.sizes if letter not in line.right]
        may = [letter for letter in line.right if letter != "m"]
        return self.factors(line.brackets, target, summed, may, path, "m" if "m" in line.right else None)

    def internal_line(self, name: str, target: Sites) -> None:
        """A line, or two of one shape, into an internal edge."""
        forced = self.rng.choice(self.internal) if self.internal and self.rng.random() < 0.5 else None
        line = self.written(target, forced, None)
        if line is None:
            return
        new = "m" in line.right
        chosen = self.rng.sample(line.reached, min(len(line.reached), self.rng.randint(1, 2)))
        text = self.weighed(line, target, new or self.rng.random() < 0.7)
        mul = f"{line.size}x" if new else ""
        restriction = " in " + " + ".join(f"{mul}{irrep}" for irrep in chosen)
        bracket = _bracket((*target, *line.right))
        self.lines.append(f"{line.left} -> {name}{bracket}{restriction}{text}")
        if self.rng.random() < 0.2 and "path" in text:
            self.lines.append(f"{line.left} -> {name}{bracket}{text} * -1/2")  # the same weights on two lines
        rank = tuple(line.sizes.get(letter, 2) for letter in line.right)
        self.internal.append(Edge(name, chosen, rank, domain_of(target), once="path" not in text))

    def output(self, name: str) -> str:
        """All lines of an output; its declaration."""
        rng = self.rng
        target: Sites = rng.choice([(), ("i",), ("i",), ("i", "j")]) if self.over_sites else ()
        over = f"[{domain_of(target)}]" if target else ""
        kept, mul = rng.random() < 0.2, rng.choice([1, 2, 2, 3, 4, 6, 6])
        irreps: list[str] = []
        for _ in range(1 if kept else rng.choice([1, 1, 2, 3])):
            unused = [edge for edge in self.internal if edge.name not in self.used]
            forced = unused[0] if unused and rng.random() < 0.9 else None
            if forced is not None and target == () and forced.domain and not self.over_sites:
                forced = None
            line = next(filter(None, (self.written(target, forced, None if kept else mul) for _ in range(6))), None)
            if line is None:
                continue
            self.used |= {word.split("[")[0] for word in line.left.split()}
            if not irreps:
                irreps = rng.sample(line.reached, min(len(line.reached), rng.randint(1, 2)))
            text = self.weighed(line, target, rng.random() < (0.6 if kept else 0.88))
            bracket = _bracket((*target, *(("path",) if kept else ()), *line.right))
            self.lines.append(f"{line.left} -> {name}{bracket}{text}")
            if not kept and rng.random() < 0.1:
                self.lines.append(self.lines[-1] + " * 3/2")  # the same weights on two lines
        if kept and "m" not in bracket:
            return f"{name}: *{over} in " + rng.choice([" + ".join(irreps), "lmax 1"])
        if rng.random() < 0.1:
            irreps = [*irreps, irreps[0]]  # an irrep in two blocks
        return f"{name}: " + " + ".join(f"{mul}x{irrep}" for irrep in irreps) + over

    def text(self, settings: str) -> str:
        for number in range(self.rng.choice([0, 0, 1, 1, 2])):
            self.internal_line(
                f"e{number}", self.rng.choice([(), ("i",), ("i",), ("i", "j")]) if self.over_sites else ()
            )
        outputs = [self.output(f"o{number}") for number in range(self.rng.choice([1, 1, 1, 2]))]
        legs = list(self.header.items())
        self.rng.shuffle(legs)
        header = ", ".join(f"{name}: {kind}" for name, kind in legs)
        body = "\n".join(f"    {line}" for line in self.lines)
        declared = DECLARED if self.over_sites else ""
        return f"{declared}{settings}diagram d({header}) -> ({', '.join(outputs)}) {{\n{body}\n}}\n"


@dataclass(frozen=True)
class _Written:
    """A line as drawn so far: its left side, channel sizes, the channels of its right edge and their number, and the
    irreps that its operands couple to."""

    left: str
    brackets: list[Sites]
    sizes: dict[str, int]
    right: tuple[str, ...]
    size: int
    reached: list[str]


def _bracket(indices: tuple[str, ...]) -> str:
    return f"[{', '.join(indices)}]" if indices else ""


def tangle(rng: random.Random, group: str) -> str:
    """Splits, pairs and couplings of one to three operands, with labels of up to two irreps on wires: a text without
    its settings, or nothing where the wires found no end."""
    drawing = _Drawing(rng, group, lmax=2 if group != "SU(2)" else 1)
    legs, live, lines, labels = [], [], [], {}

    def fresh(irreps: list[str], wide: bool) -> tuple[str, list[str], bool]:
        name = f"w{len(labels)}"
        labels[name] = " + ".join(irreps)
        return name, irreps, wide

    def word(wire: tuple[str, list[str], bool]) -> str:
        return f"{wire[0]}[u]" if wire[2] else wire[0]

    for name in "xyz"[: rng.randint(1, 3)]:
        wide = not legs and rng.random() < 0.6
        irreps = drawing.irreps(rng.choice([1, 1, 2]))
        legs.append(f"{name}: " + " + ".join(f"{3 if wide else 1}x{irrep}" for irrep in irreps))
        live.append((name, irreps, wide))
    for step in range(rng.randint(1, 4)):
        rng.shuffle(live)
        kind = "split" if step == 0 else rng.choice(["split", "couple", "pair"])
        if kind == "pair":
            irreps = drawing.irreps(1)
            one, two = fresh(irreps, False), fresh(irreps, False)
            lines.append(f"-> {one[0]} {two[0]}")
            live += [one, two]
        elif kind == "split":
            wire = live.pop()
            first = drawing.irreps(rng.choice([1, 1, 2]))
            options = drawing.product([wire[1], first])
            one, two = fresh(first, False), fresh(rng.sample(options, min(2, len(options), rng.randint(1, 2))), wire[2])
            lines.append(f"{word(wire)} -> {one[0]} {word(two)}")
            live += [one, two]
        elif len(live) > 2:
            one, two = live.pop(), live.pop()
            made = fresh(rng.sample(drawing.product([one[1], two[1]]), 1), one[2] or two[2])
            lines.append(f"{word(one)} {word(two)} -> {word(made)}")
            live.append(made)
    while len(live) > 2:
        one, two = live.pop(0), live.pop(0)
        if one[1] == two[1] and len(live) > 1 and rng.random() < 0.3 and not (one[2] or two[2]):
            lines.append(f"{one[0]} {two[0]} ->")
            continue
        made = fresh(rng.sample(drawing.product([one[1], two[1]]), 1), one[2] or two[2])
        lines.append(f"{word(one)} {word(two)} -> {word(made)}")
        live.append(made)
    wide = any(wire[2] for wire in live)
    target = rng.sample(drawing.product([wire[1] for wire in live]), 1)[0]
    edges = ", ".join(f"{wire}: {label}" for wire, label in labels.items())
    weight = " * W[path, u]" if wide else " * W[path]"
    body = "\n    ".join(
        [f"edge {edges}", *lines, f"{' '.join(map(word, live))} -> out{'[u]' if wide else ''}{weight}"]
    )
    return f"diagram d({', '.join(legs)}) -> {'3x' if wide else ''}{target} {{\n    {body}\n}}\n"


def texts(seed: int) -> Iterator[str]:
    """Texts of one seed without end; the first that compiles is the one to take."""
    rng = random.Random(seed)
    while True:
        group = rng.choice(["O(3)"] * 6 + ["SO(3)"] * 2 + ["SU(2)"] * 2)
        basis = "basis complex\n" if group != "SU(2)" and rng.random() < 0.15 else ""
        normalize, paths = rng.choice(["component", "norm", "none"]), rng.choice(["element", "path", "none"])
        settings = f"normalize {normalize}\npaths {paths}\n{basis}"
        kind = rng.random()
        if kind < 0.15:
            yield f"group {group}\n{settings}" + tangle(rng, group)
        else:
            over_sites = kind < 0.6
            drawing = _Drawing(rng, group, over_sites, lmax=rng.choice([1, 1, 2]))
            yield f"group {group}\n" + drawing.text(settings)


def _parsed(text: str) -> tuple[int, int]:
    parity = -1 if text.endswith("o") else 1
    spin = text.rstrip("eo")
    top, _, half = spin.partition("/")
    return int(top) if half else 2 * int(top), parity

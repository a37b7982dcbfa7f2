"""Random diagrams over sites as text, for property tests."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

DECLARED = "sites atoms; sites cells; pairs edges(atoms, atoms); pairs homes(atoms, cells)\n"
SIZES = {"atoms": 4, "cells": 3, "edges": 6, "homes": 5}

# Left edges and the bracket of what they make.
FIRST = [
    ("x[j,u] y[i,j]", "[i,u]"),
    ("x[j,u] p[i,j,u]", "[i,u]"),
    ("x[j,u]", "[i,u]"),
    ("x[i,u] v[i]", "[i,u]"),
    ("x[i,u] g", "[i,u]"),
    ("x[j,u] y[i,j] x[k,u] y[i,k]", "[i,u]"),
    ("x[j,u] y[i,j] y[i,k]", "[i,u]"),
    ("x[j,u] y[i,j] y[i,k] y[i,l]", "[i,u]"),
    ("x[k,u] y[i,j] y[j,k]", "[i,u]"),
    ("x[i,u] h[i,c] c[c]", "[i,u]"),
    ("x[i,u] v[j]", "[i,u]"),
    ("x[j,u] y[i,j] y[i,j]", "[i,u]"),
    ("p[i,j,u]", "[i,j,u]"),
    ("x[i,u] x[j,u] y[i,j]", "[i,j,u]"),
    ("x[j,u] y[i,j] y[i,k]", "[i,j,u]"),
    ("x[j,u] y[j,k] y[i,j]", "[i,j,u]"),
    ("x[i,u] g", "[u]"),
    ("x[i,u] v[j]", "[u]"),
]
# What an internal edge goes into, by whether it is over atoms, over pairs or without sites.
SECOND = {
    "[i,u]": {
        "A[i,u] A[i,u]": "[i,u]",
        "A[i,u] A[i,u] x[i,u]": "[i,u]",
        "A[j,u] y[i,j]": "[i,u]",
        "A[j,u] y[i,j] A[k,u] y[i,k]": "[i,u]",
        "A[i,u] A[j,u]": "[i,j,u]",
        "A[i,u] g": "[u]",
        "A[i,u] v[i]": "[i,w]",
        "A[i,u]": "[u]",
    },
    "[i,j,u]": {
        "A[i,j,u] y[i,j]": "[i,j,u]",
        "A[i,j,u] x[j,u]": "[i,u]",
        "A[i,j,u] A[i,k,u]": "[i,u]",
        "A[i,j,u] g": "[j,u]",
        "A[i,j,u]": "[u]",
        "A[i,j,u] v[i]": "[i,w]",
    },
    "[u]": {"A[u] A[u]": "[u]", "A[u] x[i,u]": "[i,u]", "A[u] y[i,j]": "[i,j,u]", "A[u]": "[w]"},
}
DOMAINS = {1: "", 2: "[atoms]", 3: "[edges]"}
LEGS = {"v": "[atoms]", "y": "[edges]", "p": "[edges]", "g": "", "h": "[homes]", "c": "[cells]", "x": "[atoms]"}
ROWS = {"z": "index(3)[atoms]", "m": "index(2)[atoms]", "q": "index(2)[edges]", "n": "index(4)"}


@dataclass(frozen=True)
class SiteDiagram:
    """A text with one diagram, called `d`; it may be one that the compiler refuses."""

    text: str


@st.composite
def site_diagrams(draw: st.DrawFn) -> SiteDiagram:
    """One line or two, with spaces, weights and settings of all kinds."""
    left, bracket = draw(st.sampled_from(FIRST))
    header: dict[str, str] = {}
    lines = []
    if draw(st.booleans()):
        lines.append(
            f"{left} -> A{bracket}{draw(st.sampled_from(['', ' in lmax 1']))}{_weigh(draw, left, bracket, header, 'V')}"
        )
        left, bracket = draw(st.sampled_from(list(SECOND[bracket].items())))
    if bracket[-2] == "w":
        weigh = " * W[path, u, w]"
    else:
        weigh = _weigh(draw, left, bracket, header, "W")
    lines.append(f"{left} -> out{bracket}{weigh}")
    if draw(st.booleans()):
        lines.append("x[i,u] -> more[i,u] * M[path,u]")
    names = {edge.split("[")[0] for line in lines for edge in line.split("->")[0].split()} - {"A"}
    channel = draw(st.integers(1, 3))
    for name in sorted(names):
        header[name] = _space(draw, channel if name in "xp" else 1) + LEGS[name]
    outputs = f"out: {_space(draw, channel)}{DOMAINS[bracket.count(',') + 1]}"
    if "more" in lines[-1]:
        outputs += f", more: {channel}x0e[atoms]"
    legs = sorted(draw(st.permutations(list(header.items()))), key=lambda leg: leg[0] in "z q n m")
    head = ", ".join(f"{name}: {space}" for name, space in legs)
    settings = f"normalize {draw(st.sampled_from(['component', 'norm', 'none']))}\n"
    body = "\n".join(f"    {line}" for line in lines)
    return SiteDiagram(f"{DECLARED}{settings}diagram d({head}) -> ({outputs}) {{\n{body}\n}}\n")


def _space(draw: st.DrawFn, mul: int) -> str:
    irreps = ["0e", *draw(st.lists(st.sampled_from(["1o", "1e", "2e", "0o"]), max_size=1, unique=True))]
    return " + ".join(f"{mul}x{irrep}" for irrep in draw(st.permutations(irreps)))


def _weigh(draw: st.DrawFn, left: str, bracket: str, header: dict[str, str], name: str) -> str:
    """Weights that the line can carry: learned, given per pair, per site or for all, in rows of every kind."""
    right = bracket[1:-1].split(",")
    channel = draw(st.sampled_from(["path, u", "path", "u"]))
    kinds = ["", f" * {name}[{channel}]", f" * {name}[n, {channel}]"]
    if name.lower() not in header:
        kinds.append(f" * {name.lower()}g[{channel}]")
    if "i" in right or "[i," in left or "[i]" in left:
        kinds += [f" * {name}[i, z, {channel}]", f" * {name.lower()}s[i, {channel}]", f" * {name}[n, i, z, {channel}]"]
    if "[i,j" in left or "[i,j" in bracket or left == "x[j,u]":
        kinds += [
            f" * {name.lower()}e[i, j, {channel}]",
            f" * {name}[i, j, q, {channel}]",
            f" * {name}[j, z, {channel}]",
            f" * {name}[i, z, j, m, {channel}]",
            f" * {name}[i, j, q, i, z, {channel}]",
            f" * {name.lower()}e[i, j, {channel}] * {name}[j, z, {channel}]",
        ]
    if left == "x[j,u]" and bracket == "[i,u]":
        kinds = [f" * {name.lower()}e[i, j, {channel}]"]
    weigh = draw(st.sampled_from(kinds))
    for leg, space in ROWS.items():
        if f" {leg}," in weigh.replace("[", "[ "):
            header[leg] = space
    for suffix, domain in (("e", "[edges]"), ("s", "[atoms]"), ("g", "")):
        if f"{name.lower()}{suffix}[" in weigh:
            header[f"{name.lower()}{suffix}"] = f"weights{domain}"
    return weigh

"""Random diagrams as text, for property tests."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import reject
from hypothesis import strategies as st

import fusionc
from fusionc.algebra.groups import GROUPS


@dataclass(frozen=True)
class RandomDiagram:
    """A text with one diagram, called `d`."""

    text: str


def compiled(text: str) -> fusionc.Diagram:
    """The diagram `d` of a drawn text; the draw is given up where the compiler refuses it."""
    try:
        return fusionc.parse(text)["d"]
    except fusionc.CompileError:
        reject()


def space(blocks: list[tuple[int, str]]) -> str:
    return " + ".join(f"{mul}x{name}" for mul, name in blocks)


@st.composite
def trees(draw: st.DrawFn, legs: int, group: str = "O(3)", lmax: int = 2) -> RandomDiagram:
    """A random tree over legs: some with channels and some without, nested in any order, weighed at the end or on the
    way, kept or summed; irreps chosen so that every output is reachable."""
    g = GROUPS[group]
    names = [chr(ord("a") + k) for k in range(legs)]
    suffix = st.sampled_from(["e", "o"]) if group == "O(3)" else st.just("")
    spins = [str(k) for k in range(lmax + 1)] + (["1/2", "3/2"] if group == "SU(2)" else [])
    one = st.builds(lambda spin, parity: f"{spin}{parity}", st.sampled_from(spins), suffix)
    channel = draw(st.integers(1, 3))
    wide = {name: draw(st.booleans()) or name == "a" for name in names}
    irreps = {name: draw(st.lists(one, min_size=1, max_size=2, unique=True)) for name in names}
    header = ", ".join(f"{name}: {space([(channel if wide[name] else 1, i) for i in irreps[name]])}" for name in names)
    pool = [(name, {g.parse(i) for i in irreps[name]}, wide[name]) for name in names]
    lines, number = [], 0
    while len(pool) > 1:
        take = 2 if len(pool) == 2 else draw(st.integers(2, min(3, len(pool))))
        first = draw(st.integers(0, len(pool) - take))
        parts, pool = pool[first : first + take], pool[:first] + pool[first + take :]
        reached = parts[0][1]
        for _, other, _ in parts[1:]:
            reached = {c for a in reached for b in other for c, _ in g.product(a, b)}
        left = " ".join(f"{name}[u]" if has else name for name, _, has in parts)
        is_wide = any(has for _, _, has in parts)
        bracket = "[u]" if is_wide else ""
        if not pool:
            text, kept = _last_line(draw, g, left, is_wide, reached, channel, lines)
            return RandomDiagram(
                f"group {group}\n{_settings(draw, group)}diagram d({header}) -> {text} {{\n" + kept + "}\n"
            )
        number += 1
        names_of = sorted((g.format(i) for i in reached), key=lambda n: (len(n), n))
        allowed = (
            names_of
            if draw(st.booleans())
            else draw(st.lists(st.sampled_from(names_of), min_size=1, max_size=3, unique=True))
        )
        weigh = draw(st.sampled_from(["", f" * V{number}[path{', u' if is_wide else ''}]", f" * V{number}[path]"]))
        factor = draw(st.sampled_from(["", " * 0.5", " * -2/3"]))
        restriction = "" if len(allowed) == len(names_of) else f" in {' + '.join(allowed)}"
        lines.append(f"    {left} -> e{number}{bracket}{restriction}{weigh}{factor}\n")
        pool.insert(draw(st.integers(0, len(pool))), (f"e{number}", {g.parse(i) for i in allowed}, is_wide))
    raise AssertionError("a tree has at least two legs")


def _settings(draw: st.DrawFn, group: str) -> str:
    normalize = draw(st.sampled_from(["component", "norm", "none"]))
    paths = draw(st.sampled_from(["element", "path", "none"]))
    basis = draw(st.sampled_from(GROUPS[group].bases))
    return f"normalize {normalize}\npaths {paths}\nbasis {basis}\n"


def _last_line(draw, g, left, is_wide, reached, channel, lines) -> tuple[str, str]:  # type: ignore[no-untyped-def]
    names = sorted(g.format(i) for i in reached)
    if draw(st.booleans()):  # an inferred output that keeps its paths
        weigh = draw(st.sampled_from(["", f" * W[path{', u' if is_wide else ''}]"]))
        small = sorted(names, key=len)[:2]
        target = f"out[path{', u' if is_wide else ''}]"
        return f"* in {' + '.join(small)}", "".join(lines) + f"    {left} -> {target}{weigh}\n"
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
    if not is_wide:
        mul = draw(st.integers(1, 2))
        return space([(mul, n) for n in chosen]), "".join(lines) + f"    {left} -> out[w] * W[path, w]\n"
    mode = draw(st.sampled_from(["[u] * W[path, u]", "[w] * W[path, u, w]", "[u] * W[path]"]))
    mul = channel if mode.startswith("[u]") else draw(st.integers(1, 3))
    return space([(mul, n) for n in chosen]), "".join(lines) + f"    {left} -> out{mode}\n"

"""A diagram without arrows, slots and spins: what a search for a reduction needs, and moves on it.

A skeleton follows the rewrites line name by line name, so a list of moves found here can be carried out on the
diagram itself. Cuts are read off the cycle space: give each line the set of basis cycles that run through it (a word
of bits); a set of lines is a cut exactly when its words add up to zero modulo two (the cut space is the orthogonal
complement of the cycle space).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fusionc.rewrite.diagram import Diagram

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Move:
    """A rewrite by its name in `reduce.RULES`, and the names of the lines it is applied to."""

    rule: str
    names: tuple[int, ...]


class Skeleton:
    """A cubic multigraph: `ends` line -> its two vertices, `star` vertex -> its three lines."""

    __slots__ = ("ends", "next_name", "star")

    def __init__(self, ends: Mapping[int, Pair], next_name: int) -> None:
        self.ends = dict(ends)
        self.next_name = next_name
        self.star: dict[int, list[int]] = {}
        for name, pair in self.ends.items():
            for vertex in pair:
                self.star.setdefault(vertex, []).append(name)

    @staticmethod
    def of(diagram: Diagram) -> Skeleton:
        return Skeleton({line.name: (line.tail[0], line.head[0]) for line in diagram.lines}, diagram.next_name)

    def copy(self) -> Skeleton:
        twin = Skeleton.__new__(Skeleton)
        twin.ends, twin.next_name = dict(self.ends), self.next_name
        twin.star = {vertex: list(names) for vertex, names in self.star.items()}
        return twin

    def key(self) -> tuple[tuple[int, ...], ...]:
        """Equal for skeletons that differ in the names of their vertices only."""
        return tuple(sorted(tuple(sorted(names)) for names in self.star.values()))

    def other(self, name: int, vertex: int) -> int:
        one, two = self.ends[name]
        return two if one == vertex else one

    # -- moves -----------------------------------------------------------------------------------------------

    def apply(self, move: Move) -> None:
        """Carry out a move; the line names afterwards are those of the rewrite of the same name."""
        getattr(self, "_" + move.rule)(*move.names)

    def _tadpole(self, name: int) -> None:
        vertex = self.ends[name][0]
        self._cut_one(next(line for line in self.star[vertex] if line != name))

    def _cut_one(self, name: int) -> None:
        pair = self.ends.pop(name)
        for vertex in pair:
            self.star[vertex].remove(name)
        for vertex in pair:
            self._join(vertex)

    def _bubble(self, one: int, two: int) -> None:
        first, second = self.ends.pop(one)
        del self.ends[two]
        third = next(line for line in self.star[first] if line not in (one, two))
        fourth = next(line for line in self.star[second] if line not in (one, two))
        if third == fourth:
            del self.star[first], self.star[second], self.ends[third]
            return
        far = self.other(third, first)
        self.star[second] = [third, fourth]
        del self.star[first]
        self.ends[third] = (second, far)
        self._join(second)

    def _join(self, vertex: int) -> None:
        """Remove a vertex that has two lines left; they become one, which keeps the smaller name."""
        one, two = self.star.pop(vertex)
        if one == two:
            del self.ends[one]
            return
        keep, drop = min(one, two), max(one, two)
        near, far = self.other(keep, vertex), self.other(drop, vertex)
        del self.ends[drop]
        self.ends[keep] = (near, far)
        lines = self.star[far]
        lines[lines.index(drop)] = keep

    def _cut_two(self, one: int, two: int) -> None:
        inside = self.side((one, two))
        for name in (one, two):
            self.ends[name] = self.ends[name] if self.ends[name][0] in inside else self.ends[name][::-1]
        (a, c), (b, d) = self.ends[one], self.ends[two]
        self.ends[one], self.ends[two] = (a, b), (c, d)
        self._rename(b, two, one)
        self._rename(c, one, two)

    def _cut_three(self, *names: int) -> None:
        inside = self.side(names)
        new = max(self.star) + 1
        self.star[new], self.star[new + 1] = list(names), []
        for name in names:
            one, two = self.ends[name]
            near, far = (one, two) if one in inside else (two, one)
            self.ends[name] = (near, new)
            self.ends[self.next_name] = (new + 1, far)
            self.star[new + 1].append(self.next_name)
            self._rename(far, name, self.next_name)
            self.next_name += 1

    def _triangle(self, *ring: int) -> None:
        corners = self._corners(ring)
        outers = [next(line for line in self.star[vertex] if line not in ring) for vertex in corners]
        for name in ring:
            del self.ends[name]
        for vertex, name in zip(corners[1:], outers[1:], strict=True):
            self.ends[name] = (corners[0], self.other(name, vertex))
            del self.star[vertex]
        self.star[corners[0]] = outers

    def _square(self, *ring: int) -> None:
        v1, v2, v3, v4 = self._corners(ring)
        a, b, c, d = (next(line for line in self.star[vertex] if line not in ring) for vertex in (v1, v2, v3, v4))
        for name in ring:
            del self.ends[name]
        self.ends[b] = (v1, self.other(b, v2))
        self.ends[d] = (v3, self.other(d, v4))
        del self.star[v2], self.star[v4]
        new, self.next_name = self.next_name, self.next_name + 1
        self.ends[new] = (v1, v3)
        self.star[v1], self.star[v3] = [a, b, new], [c, d, new]

    def _flip(self, name: int, one: int, two: int) -> None:
        first, second = self.ends[name]
        if one not in self.star[first]:
            first, second = second, first
        stay = next(line for line in self.star[first] if line not in (name, one))
        leave = next(line for line in self.star[second] if line not in (name, two))
        self.ends[two] = (first, self.other(two, second))
        self.ends[stay] = (second, self.other(stay, first))
        self.star[first], self.star[second] = [one, two, name], [stay, leave, name]

    def _corners(self, ring: tuple[int, ...]) -> list[int]:
        found = []
        for k, name in enumerate(ring):
            one, two = self.ends[name]
            found.append(one if one in self.ends[ring[k - 1]] else two)
        return found

    def _rename(self, vertex: int, old: int, new: int) -> None:
        lines = self.star[vertex]
        lines[lines.index(old)] = new

    def side(self, names: tuple[int, ...]) -> dict[int, None]:
        """The vertices of part A of a cut: the part with the smallest name of a line that is not cut."""
        one, two = (self._reach(vertex, names) for vertex in self.ends[names[0]])
        least = [
            min((line for v in part for line in self.star[v] if line not in names), default=-1) for part in (one, two)
        ]
        return one if least[1] < 0 or 0 <= least[0] < least[1] else two

    def _reach(self, start: int, without: tuple[int, ...]) -> dict[int, None]:
        seen: dict[int, None] = {start: None}
        stack = [start]
        while stack:
            vertex = stack.pop()
            for name in self.star[vertex]:
                far = self.other(name, vertex)
                if name not in without and far not in seen:
                    seen[far] = None
                    stack.append(far)
        return seen

    # -- moves that cost no sum ------------------------------------------------------------------------------

    def free_move(self) -> Move | None:
        """A move without a summation, if there is one: tadpole, bubble, cut of one or two, triangle, cut of three."""
        return self._loop_or_bubble() or self._triangle_or_cut()

    def _loop_or_bubble(self) -> Move | None:
        seen: dict[Pair, int] = {}
        for name, (one, two) in self.ends.items():
            if one == two:
                return Move("tadpole", (name,))
            pair = (one, two) if one < two else (two, one)
            if pair in seen:
                return Move("bubble", (seen[pair], name))
            seen[pair] = name
        return None

    def _triangle_or_cut(self) -> Move | None:
        if not self.ends:
            return None
        words = self._words()
        return self._small_cut(words) or self._three_ring() or self._three_cut(words)

    def _small_cut(self, words: dict[int, int]) -> Move | None:
        seen: dict[int, int] = {}
        for name, word in words.items():
            if not word:
                return Move("cut_one", (name,))
            if word in seen:
                return Move("cut_two", (min(name, seen[word]), max(name, seen[word])))
            seen[word] = name
        return None

    def _three_ring(self) -> Move | None:
        for name, (one, two) in self.ends.items():
            near = {self.other(line, one): line for line in self.star[one] if line != name}
            for line in self.star[two]:
                third = near.get(self.other(line, two)) if line != name else None
                if third is not None:
                    return Move("triangle", (name, line, third))
        return None

    def _three_cut(self, words: dict[int, int]) -> Move | None:
        """Three lines whose words add up to zero, and that are not those of a vertex. No two words are equal here, so
        with two lines at a vertex the third is the vertex's."""
        holder = {word: name for name, word in words.items()}
        names, rest = list(words), list(words.values())
        known = set(rest)
        for k, one in enumerate(names):
            left = words[one]
            at_vertices = {words[name] for vertex in self.ends[one] for name in self.star[vertex]}
            if known.intersection(map(left.__xor__, rest[k + 1 :])) <= at_vertices:
                continue
            for two in names[k + 1 :]:
                three = holder.get(left ^ words[two])
                if three is not None and words[three] not in at_vertices:
                    one, two, three = sorted((one, two, three))
                    return Move("cut_three", (one, two, three))
        return None

    def _words(self) -> dict[int, int]:
        """Line -> the basis cycles through it, as bits; the basis of a depth-first spanning forest."""
        words: dict[int, int] = {}
        total = dict.fromkeys(self.star, 0)
        up: dict[int, int] = {}
        order: list[tuple[int, int, int]] = []  # vertex, its tree line, its parent
        bit = 1
        for root in self.star:
            if root in up:
                continue
            up[root] = -1
            stack = [root]
            while stack:
                vertex = stack.pop()
                for name in self.star[vertex]:
                    far = self.other(name, vertex)
                    if far not in up:
                        up[far] = name
                        order.append((far, name, vertex))
                        stack.append(far)
        tree = {name for _, name, _ in order}
        for name, (one, two) in self.ends.items():
            if name not in tree:
                words[name] = bit
                total[one] ^= bit
                total[two] ^= bit
                bit <<= 1
        for vertex, name, parent in reversed(order):
            words[name] = total[vertex]
            total[parent] ^= total[vertex]
        return words

    # -- rings -----------------------------------------------------------------------------------------------

    def rings(self, length: int) -> Iterator[tuple[int, ...]]:
        """The lines of every ring of a given length, in cyclic order, each ring once."""
        for start in self.star:
            for name in self.star[start]:
                yield from self._close(start, self.other(name, start), (name,), (start,), length)

    def short_rings(self) -> tuple[int, int]:
        """How many rings of four and of five lines there are, where none is shorter: by neighbours in common."""
        near = {vertex: {self.other(name, vertex) for name in names} for vertex, names in self.star.items()}
        squares = pentagons = 0
        for vertex, around in near.items():
            one, two, three = around
            for left, right in ((one, two), (one, three), (two, three)):
                squares += len(near[left] & near[right]) - 1
            for far in around:
                if far > vertex:
                    for left in around - {far}:
                        pentagons += sum(len(near[left] & near[right]) for right in near[far] - {vertex})
        return squares // 4, pentagons // 5

    def _close(
        self, start: int, at: int, path: tuple[int, ...], seen: tuple[int, ...], length: int
    ) -> Iterator[tuple[int, ...]]:
        if at < start or at in seen[1:]:
            return
        if len(path) == length:
            if at == start and path[0] < path[-1]:
                yield path
            return
        if at == start:
            return
        for name in self.star[at]:
            if name != path[-1]:
                yield from self._close(start, self.other(name, at), (*path, name), (*seen, at), length)

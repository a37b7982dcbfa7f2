"""The shapes: which irreps, which couplings, and the fusion diagram that says so.

The canonical order of numbers, which every side translates from and to, is the diagram's own in layout `mul_ir`: legs
and outputs block after block, each channel-major; weights path after path in path order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

KINDS = ("channelwise", "message", "connected", "symmetric", "tree")


class Irrep(NamedTuple):
    """An irrep of O(3); p is 1 for even, -1 for odd. The order of the tuples is e3nn's sorted order."""

    l: int  # noqa: E741
    p: int

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p > 0 else 'o'}"

    def times(self, other: Irrep) -> Iterator[Irrep]:
        """The irreps in the product of two."""
        for l in range(abs(self.l - other.l), self.l + other.l + 1):  # noqa: E741
            yield Irrep(l, self.p * other.p)


class Block(NamedTuple):
    """So many channels of an irrep."""

    mul: int
    irrep: Irrep

    @property
    def size(self) -> int:
        return self.mul * self.irrep.dim


Space = tuple[Block, ...]


class Path(NamedTuple):
    """A coupling of block i of x with block j of y to an irrep."""

    i: int
    j: int
    irrep: Irrep


def space(text: str) -> Space:
    """`64x0e+1o` and the like."""
    blocks = []
    for term in text.split("+"):
        mul, _, name = term.strip().rpartition("x")
        blocks.append(Block(int(mul or 1), Irrep(int(name[:-1]), 1 if name[-1] == "e" else -1)))
    return tuple(blocks)


def written(blocks: Space) -> str:
    return " + ".join(f"{block.mul}x{block.irrep}" for block in blocks)


def size(blocks: Space) -> int:
    """Numbers in one element of the space."""
    return sum(block.size for block in blocks)


@dataclass(frozen=True)
class Shape:
    """One product. `out` is the declared output; `middle` what a tree's internal edge may carry.

    Kinds: `channelwise` x[u] y -> out[path,u] with weights for every edge; `message` the same between a gather of x at
    the senders and a sum at the receivers; `connected` x[u] y -> out[w] with a matrix for every path and edge;
    `symmetric` orders 1 to 3 of one operand with weights for every element; `tree` x, a, b with shared weights.
    """

    name: str
    kind: str
    x: Space
    y: Space
    out: Space
    middle: tuple[Irrep, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The couplings of x and y, in path order; for a channelwise product those of one line each."""
        wanted = {block.irrep for block in self.out}
        order = {irrep: place for place, irrep in enumerate(block.irrep for block in self.out)}
        return tuple(
            Path(i, j, irrep)
            for i, a in enumerate(self.x)
            for j, b in enumerate(self.y)
            for irrep in sorted((one for one in a.irrep.times(b.irrep) if one in wanted), key=lambda one: order[one])
        )

    @property
    def text(self) -> str:
        """The diagram."""
        x, y, out = written(self.x), written(self.y), written(self.out)
        if self.kind == "message":
            return (
                f"sites atoms\npairs edges(atoms, atoms)\nirreps H = {x}\nirreps Y = {y}\nirreps M = {out}\n\n"
                "diagram product(x: H[atoms], y: Y[edges], r: weights[edges]) -> M[atoms] {\n"
                "    x[j,u] y[i,j] -> out[i,path,u] * r[i,j,path,u]\n}\n"
            )
        if self.kind == "channelwise":
            legs, line = f"x: {x}, y: {y}, r: weights", "x[u] y -> out[path,u] * r[path,u]"
        elif self.kind == "connected":
            legs, line = f"x: {x}, y: {y}, r: weights", "x[u] y -> out[w] * r[path,u,w]"
        elif self.kind == "symmetric":
            legs = f"a: {x}, z: index({ELEMENTS})"
            line = (
                "a[u] -> out[u] * W1[z,path,u]\n    a[u] a[u] -> out[u] * W2[z,path,u]\n"
                "    a[u] a[u] a[u] -> out[u] * W3[z,path,u]"
            )
        else:
            legs = f"x: {x}, a: {y}, b: {y}"
            line = f"x[u] a -> e[u] in {' + '.join(map(str, self.middle))}\n    e[u] b -> out[u] * W[path,u]"
        return f"diagram product({legs}) -> {out} {{\n    {line}\n}}\n"

    @property
    def unsummed(self) -> Shape:
        """A message without its gather and its sum."""
        return replace(self, kind="channelwise")

    def with_channels(self, channels: int) -> Shape:
        """Another number of channels, where all blocks have the same; unequal ones stay as published."""
        own = {block.mul for block in self.x}
        if len(own) != 1 or self.kind == "connected":
            return self
        (before,) = own
        x = tuple(block._replace(mul=channels) for block in self.x)
        out = tuple(block._replace(mul=block.mul // before * channels) for block in self.out)
        return replace(self, x=x, out=out)


ELEMENTS = 10  # chemical elements that have weights of their own


def kept(x: Space, y: Space, irreps: str) -> Space:
    """The output of a channelwise product that keeps its paths: all channels of one irrep in one block."""
    wanted = sorted(block.irrep for block in space(irreps))
    counts = dict.fromkeys(wanted, 0)
    for a in x:
        for b in y:
            for irrep in a.irrep.times(b.irrep):
                if irrep in counts:
                    counts[irrep] += a.mul
    return tuple(Block(mul, irrep) for irrep, mul in counts.items() if mul)


def _channelwise(name: str, x: str, y: str, irreps: str) -> tuple[Shape, Shape]:
    plain = Shape(name, "channelwise", space(x), space(y), kept(space(x), space(y), irreps))
    return plain, replace(plain, name=f"{name}-message", kind="message")


def _symmetric(name: str, channels: int, out: str) -> Shape:
    """The product basis of MACE. The 64 channels are those of which times on two cores are known."""
    x = tuple(block._replace(mul=channels) for block in space("0e+1o+2e+3o"))
    return Shape(name, "symmetric", x, (), tuple(block._replace(mul=channels) for block in space(out)))


_Y = "0e+1o+2e+3o"
_NEQUIP = "64x0e+64x0o+64x1e+64x1o+64x2e+64x2o+64x3e+64x3o"
_TREE = space("128x0e+128x1o+128x2e")

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        *_channelwise("mace-large", "128x0e+128x1o+128x2e", _Y, "0e+1o+2e+3o"),
        *_channelwise("mace-medium", "128x0e+128x1o", _Y, "0e+1o+2e"),
        *_channelwise("nequip-l3", _NEQUIP, _Y, "0e+0o+1e+1o+2e+2o+3e+3o"),
        *_channelwise("nequix", "128x0e+64x1o+32x2e+32x3o", _Y, "0e+1o+2e+3o"),
        *_channelwise("sevennet-l3i5", "128x0e+64x1e+32x2e+32x3e", "0e+1e+2e+3e", "0e+1e+2e+3e"),
        Shape(
            "diffdock",
            "connected",
            space("10x1o+10x1e+48x0e+48x0o"),
            space("0e+1o+2e"),
            space("10x1o+10x1e+48x0e+48x0o"),
        ),
        _symmetric("mace-product-l1", 64, "0e+1o"),
        _symmetric("mace-product-l2", 64, "0e+1o+2e"),
        Shape("tree", "tree", _TREE, space(_Y), _TREE, tuple(block.irrep for block in _TREE)),
    )
}


def published_paths() -> dict[str, int]:
    """The path counts that the peers state, for the shapes where they do."""
    return {"mace-large": 17, "mace-medium": 8, "nequip-l3": 68, "sevennet-l3i5": 34}

"""Elements of SU(2), SO(3) and O(3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin
from typing import TYPE_CHECKING

from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")


@dataclass(frozen=True)
class Element:
    """A rotation, written as the unit quaternion (w, x, y, z), and an inversion if ``parity`` is -1.

    The axis (x, y, z) stands in e3nn's order, in which y is the polar axis of the complex basis. A rotation
    by the angle t about the unit axis n is (cos(t/2), sin(t/2) n); a quaternion and its negative are one
    rotation, but two elements of SU(2).
    """

    w: float
    x: float
    y: float
    z: float
    parity: int = 1

    def __post_init__(self) -> None:
        if abs(hypot(self.w, self.x, self.y, self.z) - 1) > 1e-9:
            raise ValueError(f"not a unit quaternion: {(self.w, self.x, self.y, self.z)}")
        if self.parity not in (1, -1):
            raise ValueError(f"the parity of an element is 1 or -1, not {self.parity}")

    @classmethod
    def rotation(cls, axis: tuple[float, float, float], angle: float) -> Element:
        """The right-handed rotation by ``angle`` radians about ``axis`` in (x, y, z) order, of any length."""
        length = hypot(*axis)
        if not length:
            raise ValueError("a rotation needs an axis that is not zero")
        scale = sin(angle / 2) / length
        return cls(cos(angle / 2), axis[0] * scale, axis[1] * scale, axis[2] * scale)

    def axis_angle(self) -> tuple[tuple[float, float, float], float]:
        """The unit axis and the angle in [0, 2π]; the y axis where the rotation leaves the choice open."""
        length = hypot(self.x, self.y, self.z)
        if not length:
            return (0.0, 1.0, 0.0), 0.0 if self.w > 0 else 2 * pi
        return (self.x / length, self.y / length, self.z / length), 2 * atan2(length, self.w)

    def __mul__(self, other: Element) -> Element:
        """The product: first ``other``, then this element."""
        a, b = self, other
        w = a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z
        x = a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y
        y = a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x
        z = a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w
        length = hypot(w, x, y, z)
        return Element(w / length, x / length, y / length, z / length, a.parity * b.parity)

    def inverse(self) -> Element:
        return Element(self.w, -self.x, -self.y, -self.z, self.parity)

    def matrix(self) -> NDArray[np.float64]:
        """The orthogonal 3x3 matrix that acts on (x, y, z), the inversion included."""
        w, x, y, z = self.w, self.x, self.y, self.z
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        return self.parity * rotation


IDENTITY = Element(1.0, 0.0, 0.0, 0.0)
INVERSION = Element(1.0, 0.0, 0.0, 0.0, parity=-1)
FULL_TURN = Element(-1.0, 0.0, 0.0, 0.0)
"""The rotation by 2π: minus one on half-integer spins."""


def random_element(rng: np.random.Generator, *, inversions: bool) -> Element:
    """An element drawn from the Haar measure of SU(2) (rotations), or of O(3) when inversions are allowed."""
    quaternion = rng.normal(size=4)
    w, x, y, z = (float(part) for part in quaternion / np.linalg.norm(quaternion))
    return Element(w, x, y, z, int(rng.choice([1, -1])) if inversions else 1)

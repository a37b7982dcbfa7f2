"""Complex exact tensors: a real and an imaginary part. Only changes of basis need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionc.algebra.surds import ONE
from fusionc.algebra.tensors import ExactTensor, contract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ComplexTensor:
    """The tensor ``real + i imag``; both parts have the same shape."""

    real: ExactTensor
    imag: ExactTensor

    def __post_init__(self) -> None:
        if self.real.shape != self.imag.shape:
            raise ValueError(f"parts of shapes {self.real.shape} and {self.imag.shape} make no complex tensor")

    @classmethod
    def of_real(cls, real: ExactTensor) -> ComplexTensor:
        return cls(real, ExactTensor(real.shape, ()))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.real.shape

    def conjugate(self) -> ComplexTensor:
        return ComplexTensor(self.real, self.imag.scaled(-ONE))

    def times_i(self) -> ComplexTensor:
        return ComplexTensor(self.imag.scaled(-ONE), self.real)

    def to_numpy(self) -> NDArray[np.complex128]:
        """A new dense complex128 array."""
        return self.real.to_numpy() + 1j * self.imag.to_numpy()


def contract_pair(subscripts: str, one: ComplexTensor, two: ComplexTensor) -> ComplexTensor:
    """Einstein summation of two complex tensors; subscripts as in `contract`. Nothing is conjugated."""
    real = contract(subscripts, one.real, two.real) - contract(subscripts, one.imag, two.imag)
    imag = contract(subscripts, one.real, two.imag) + contract(subscripts, one.imag, two.real)
    return ComplexTensor(real, imag)

"""Sparse exact tensors against numpy."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionc.algebra.complex_tensors import ComplexTensor, contract_pair
from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.tensors import ExactTensor, contract


def some_tensor(random: Random, *shape: int) -> ExactTensor:
    return ExactTensor.of(
        shape,
        {
            tuple(random.randrange(size) for size in shape): Surd.root(random.randrange(12), random.choice([1, -1]))
            for _ in range(random.randrange(2 * max(shape, default=1)))
        },
    )


@given(
    st.randoms(use_true_random=False),
    st.sampled_from(["ab,bc,cd->ad", "ab,cd->abcd", "aab,b->a", "ab,bc,ac->", "abc,abd->cd", "ab,a,b->b", "a,bc->a"]),
)
@settings(max_examples=80, deadline=None)
def test_contract_against_numpy(random: Random, subscripts: str) -> None:
    sizes = {"a": 3, "b": 2, "c": 4, "d": 3}
    words = subscripts.split("->")[0].split(",")
    tensors = [some_tensor(random, *(sizes[letter] for letter in word)) for word in words]
    wanted = np.einsum(subscripts, *(tensor.to_numpy() for tensor in tensors))
    found = contract(subscripts, *tensors)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.to_numpy(), wanted, atol=1e-12)


def test_tensor_form() -> None:
    tensor = ExactTensor.of((2, 3), {(1, 2): ONE, (0, 1): Surd.root(2), (1, 0): Surd.of(0)})
    assert tensor.entries == (((0, 1), Surd.root(2)), ((1, 2), ONE))
    assert tensor.nonzeros == 2
    assert tensor[0, 1] == Surd.root(2)
    assert not tensor[0, 0]
    assert tensor == tensor.transposed((1, 0)).transposed((1, 0))
    assert hash(tensor) == hash(ExactTensor.of((2, 3), dict(tensor.entries)))
    assert tensor.transposed((1, 0)).shape == (3, 2)
    assert (tensor - tensor).nonzeros == 0
    assert ExactTensor.identity(3).to_numpy().tolist() == np.eye(3).tolist()
    assert ExactTensor.scalar(ONE).item() == ONE
    assert contract("ab->", ExactTensor.identity(3)).item() == 3
    assert contract("aa->", ExactTensor.identity(3)).item() == 3


def test_tensor_mistakes() -> None:
    with pytest.raises(ValueError, match="outside"):
        ExactTensor.of((2,), {(2,): ONE})
    with pytest.raises(ValueError, match="outside"):
        ExactTensor.of((2,), {(0, 0): ONE})
    with pytest.raises(ValueError, match="ascending"):
        ExactTensor((2,), (((1,), ONE), ((0,), ONE)))
    identity = ExactTensor.identity(2)
    for subscripts in ("ab", "ab->ac", "abc->a", "ab->aa", "ab,bc->ac"):
        with pytest.raises(ValueError, match=r"subscripts|output"):
            contract(subscripts, identity)
    with pytest.raises(ValueError, match="sizes"):
        contract("ab,bc->ac", identity, ExactTensor.identity(3))
    with pytest.raises(ValueError, match="single number"):
        identity.item()
    with pytest.raises(ValueError, match="order of the axes"):
        identity.transposed((0, 0))


def test_complex_pairs() -> None:
    one = ComplexTensor(ExactTensor.identity(2), ExactTensor.of((2, 2), {(0, 1): ONE}))
    two = one.conjugate().times_i()
    found = contract_pair("ab,bc->ac", one, two).to_numpy()
    np.testing.assert_allclose(found, one.to_numpy() @ (1j * one.to_numpy().conj()))

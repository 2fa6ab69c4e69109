import pytest
import torch

from extract.pooling import pool

STATES = torch.tensor([[[1.0, -5.0], [3.0, -1.0], [99.0, 99.0]], [[2.0, 2.0], [4.0, -2.0], [6.0, 0.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [[1.0, -5.0], [2.0, 2.0]]),
        ("mean", [[2.0, -3.0], [4.0, 0.0]]),
        ("max", [[3.0, -1.0], [6.0, 2.0]]),
    ],
)
def test_padding_takes_no_part_in_pooling(pooling, expected):
    assert torch.equal(pool(STATES, MASK, pooling), torch.tensor(expected))


def test_pooling_is_in_float32_whatever_the_states_are():
    assert pool(STATES.bfloat16(), MASK, "mean").dtype == torch.float32


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'median' is not a pooling"):
        pool(STATES, MASK, "median")

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
        ("last", [[3.0, -1.0], [6.0, 0.0]]),
        ("mean+max", [[2.0, -3.0, 3.0, -1.0], [4.0, 0.0, 6.0, 2.0]]),
    ],
)
def test_padding_takes_no_part_in_pooling(pooling, expected):
    assert torch.equal(pool(STATES, MASK, pooling), torch.tensor(expected))


def test_padding_may_be_on_either_side():
    left, mask = STATES.flip(1), MASK.flip(1)
    for pooling in ("mean", "max", "mean+max", "gem"):
        torch.testing.assert_close(pool(left, mask, pooling), pool(STATES, MASK, pooling))
    assert torch.equal(pool(left, mask, "cls"), pool(STATES, MASK, "last"))
    assert torch.equal(pool(left, mask, "last"), pool(STATES, MASK, "cls"))


def test_the_generalized_mean_keeps_the_sign_and_leans_to_the_largest():
    pooled = pool(STATES, MASK, "gem")
    torch.testing.assert_close(pooled[0] ** 3, torch.tensor([14.0, -63.0]))  # (1 + 27) / 2, -(125 + 1) / 2
    torch.testing.assert_close(pooled[1] ** 3, torch.tensor([96.0, 0.0]))  # (8 + 64 + 216) / 3, (8 - 8 + 0) / 3


def test_tokens_are_kept_with_their_mask():
    tokens = pool(STATES, MASK, "tokens")
    assert torch.equal(tokens.states, STATES)
    assert torch.equal(tokens.mask, MASK)


def test_pooling_is_in_float32_whatever_the_states_are():
    assert pool(STATES.bfloat16(), MASK, "mean").dtype == torch.float32


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'median' is not a pooling"):
        pool(STATES, MASK, "median")

import numpy as np
import pytest
import torch

from heads import AttentionClassifier, AttentionHead, AttentionRegressor, Tokens
from heads.attention import heads_that_divide, mean_of_real


@pytest.mark.parametrize(("width", "heads"), [(384, 8), (30, 6), (7, 7), (13, 1), (1, 1)])
def test_any_width_is_divided_by_as_many_heads_as_go_into_it(width, heads):
    assert heads_that_divide(width, 8) == heads
    assert AttentionClassifier(width, 3)(torch.zeros(2, 5, width)).shape == (2, 3)


def test_the_mean_and_the_attention_are_over_tokens_and_not_over_samples():
    module = AttentionClassifier(16, 3)
    batch = torch.randn(4, 5, 16)
    alone = torch.cat([module(sample[None]) for sample in batch])
    torch.testing.assert_close(module(batch), alone)


def test_padding_changes_nothing():
    module = AttentionClassifier(16, 3)
    tokens = torch.randn(2, 3, 16)
    padded = torch.cat([tokens, 100 * torch.randn(2, 4, 16)], dim=1)
    mask = torch.arange(7)[None].repeat(2, 1) < 3
    torch.testing.assert_close(module(padded, mask), module(tokens))
    torch.testing.assert_close(mean_of_real(padded, mask), tokens.mean(1))


def test_ragged_lists_and_padded_tokens_give_the_same_head(bags):
    samples, y = bags
    offsets = np.concatenate([[0], np.cumsum([len(sample) for sample in samples])])
    padded = np.zeros((len(samples), 9, 12), np.float32)
    for row, sample in zip(padded, samples, strict=True):
        row[: len(sample)] = sample

    class Ragged:
        """Stands for a store's ragged output."""

        def __init__(self):
            self.values, self.offsets = np.concatenate(samples), offsets

        def __len__(self):
            return len(samples)

    kinds = [samples, padded, Tokens(np.concatenate(samples), offsets), Ragged()]
    found = [AttentionHead(lr=3e-3, max_epochs=6).fit(X, y).predict_proba(X) for X in kinds]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_it_finds_the_token_that_matters(bags):
    samples, y = bags
    head = AttentionHead(lr=3e-3, max_epochs=40).fit(samples[:200], y[:200])
    assert head.score(samples[200:], y[200:]) > 0.85


def test_values_are_predicted_from_tokens(bags):
    samples, _ = bags
    y = np.array([sample[:, 0].mean() for sample in samples])
    assert AttentionRegressor(lr=1e-2).fit(samples, y).score(samples, y) > 0.8


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([np.zeros((2, 3)), np.zeros((0, 3))], "sample 1 has no tokens"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "different widths: 3, 4"),
        ([np.full((2, 3), np.nan), np.zeros((2, 3))], "not all finite"),
    ],
)
def test_tokens_that_cannot_be_used_are_told_in_one_line(X, message):
    with pytest.raises(ValueError, match=message):
        AttentionHead().fit(X, [0, 1])

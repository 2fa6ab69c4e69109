import pytest
import torch

from heads import AttentionPoolClassifier, AttentionPoolHead


def test_padding_changes_nothing_and_every_sample_stands_for_itself():
    module = AttentionPoolClassifier(16, 3, queries=2)
    tokens = torch.randn(4, 3, 16)
    padded = torch.cat([tokens, 100 * torch.randn(4, 2, 16)], dim=1)
    mask = (torch.arange(5) < 3).repeat(4, 1)
    torch.testing.assert_close(module(padded, mask), module(tokens))
    torch.testing.assert_close(module(tokens), torch.cat([module(sample[None]) for sample in tokens]))


def test_the_order_of_the_tokens_does_not_matter():
    module = AttentionPoolClassifier(16, 3)
    tokens = torch.randn(4, 6, 16)
    torch.testing.assert_close(module(tokens), module(tokens[:, torch.randperm(6)]))


@pytest.mark.parametrize("queries", [1, 3])
def test_learned_queries_find_the_token_that_matters(bags, queries):
    samples, y = bags
    head = AttentionPoolHead(lr=1e-2, max_epochs=40, queries=queries).fit(samples[:200], y[:200])
    assert head.module_.queries.shape == (queries, 12)
    assert head.score(samples[200:], y[200:]) > 0.85

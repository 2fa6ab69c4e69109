import numpy as np
import torch

from heads import ABMILHead, GatedAttentionClassifier


def test_weights_are_the_paper_s_gated_attention_and_sum_to_one():
    module = GatedAttentionClassifier(16, 3, attention_dim=5)
    tokens = torch.randn(2, 6, 16)
    gated = module.content(tokens).tanh() * module.gate(tokens).sigmoid()
    expected = (gated @ module.weight.weight[0]).softmax(1)
    torch.testing.assert_close(module.weights(tokens), expected)
    torch.testing.assert_close(module(tokens), module.classifier((expected[:, :, None] * tokens).sum(1)))


def test_padding_counts_nothing():
    module = GatedAttentionClassifier(16, 3)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    counts = module.weights(torch.randn(2, 3, 16), mask)
    assert (counts[~mask] == 0).all()
    torch.testing.assert_close(counts.sum(1), torch.ones(2))


def test_the_token_that_matters_gets_the_weight(bags):
    samples, y = bags
    head = ABMILHead(lr=1e-2, max_epochs=40, standardize=False).fit(samples[:200], y[:200])
    assert head.score(samples[200:], y[200:]) > 0.85
    largest = [
        int(head.module_.weights(torch.as_tensor(sample)[None]).argmax()) == int(sample[:, :3].max(axis=1).argmax())
        for sample in samples[200:]
    ]
    assert np.mean(largest) > 0.8

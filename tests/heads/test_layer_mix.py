import numpy as np
import pytest
import torch

from heads import LayerMixClassifier, LayerMixHead, LayerMixRegressor, load_head, save_head


@pytest.fixture(scope="module")
def layers(blobs):
    """Three layers, of which the second is about the classes."""
    X, y = blobs
    noise = np.random.default_rng(0).normal(size=(2, *X.shape)).astype(np.float32)
    return np.concatenate([noise[0], X, noise[1]], axis=1), y


def test_the_mean_is_by_softmax_weights_and_a_scale():
    module = LayerMixClassifier(3, 4, 2)
    with torch.no_grad():
        module.weights.copy_(torch.tensor([0.0, 1.0, -1.0]))
        module.scale.fill_(2.5)
    X = torch.randn(5, 12)
    shares = torch.tensor([0.0, 1.0, -1.0]).exp() / torch.tensor([0.0, 1.0, -1.0]).exp().sum()
    mixed = 2.5 * sum(share * X[:, 4 * k : 4 * k + 4] for k, share in enumerate(shares))
    torch.testing.assert_close(module(X), module.classifier(mixed))


def test_the_layer_that_says_something_gets_the_weight(layers):
    X, y = layers
    head = LayerMixHead(blocks=[20, 20, 20], lr=0.03, patience=60).fit(X[:450], y[:450])
    assert head.layer_weights_.argmax() == 1
    assert head.layer_weights_.sum() == pytest.approx(1)
    assert head.score(X[450:], y[450:]) > 0.55


def test_a_saved_head_mixes_as_before(layers, tmp_path):
    X, y = layers
    head = LayerMixHead(blocks=[20, 20, 20], hidden=(8,), max_epochs=3).fit(X, y)
    save_head(head, tmp_path)
    loaded = load_head(tmp_path).head
    np.testing.assert_array_equal(loaded.predict_proba(X), head.predict_proba(X))
    np.testing.assert_array_equal(loaded.layer_weights_, head.layer_weights_)


def test_numbers_can_be_learnt(layers):
    X, _ = layers
    head = LayerMixRegressor(blocks=[20, 20, 20], batch_size=64).fit(X, X[:, 25] + X[:, 30])
    assert head.score(X, X[:, 25] + X[:, 30]) > 0.5


def test_layers_of_different_widths_are_refused(layers):
    with pytest.raises(ValueError, match="different widths \\(20, 40\\)"):
        LayerMixHead(blocks=[20, 40]).fit(*layers)

import numpy as np
import pytest
import torch

from heads import MLPClassifier, MLPHead


def rings(count=400, seed=0):
    """Two classes that no line separates."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.where(np.arange(count) % 2, 3, 1) + 0.2 * rng.normal(size=count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), np.arange(count) % 2


def test_it_learns_what_no_line_separates():
    X, y = rings()
    head = MLPHead(hidden=32, lr=1e-2, batch_size=64).fit(X, y)
    assert head.score(*rings(seed=1)) > 0.97


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_seed_others(blobs):
    X, y = blobs
    one, same, other = (MLPHead(dropout=0.2, max_epochs=5, random_state=seed).fit(X, y) for seed in (3, 3, 4))
    assert np.array_equal(one.predict_proba(X), same.predict_proba(X))
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_fitting_leaves_torch_s_own_random_numbers_alone(blobs):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    MLPHead(max_epochs=2).fit(*blobs)
    assert torch.equal(torch.rand(3), expected)


def test_early_stopping_keeps_the_weights_of_the_lowest_held_out_loss(blobs):
    head = MLPHead(hidden=256, lr=1e-2, max_epochs=60, patience=4).fit(*blobs)
    history = head.history_
    assert len(history.train_loss) == history.best_epoch + 1 + 4 < 60
    assert history.best_epoch == int(np.argmin(history.validation_loss))


def test_the_features_scale_and_offset_do_not_matter(blobs):
    X, y = blobs
    plain, moved = MLPHead(max_epochs=5).fit(X, y), MLPHead(max_epochs=5).fit(X * 1000 + 50, y)
    np.testing.assert_allclose(plain.predict_proba(X), moved.predict_proba(X * 1000 + 50), atol=1e-2)


def test_class_weights_lift_the_rare_class():
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=1000) < 0.1).astype(int)
    X = (rng.normal(size=(1000, 4)) + y[:, None]).astype(np.float32)
    plain, balanced = MLPHead(max_epochs=20).fit(X, y), MLPHead(max_epochs=20, class_weight="balanced").fit(X, y)
    assert balanced.predict(X).sum() > 2 * plain.predict(X).sum()


@pytest.mark.parametrize("hidden", [(), 8, [8, 4]])
def test_hidden_layers_are_what_was_asked_for(blobs, hidden):
    head = MLPHead(hidden=hidden, max_epochs=1).fit(*blobs)
    widths = [layer.out_features for layer in head.module_.layers if isinstance(layer, torch.nn.Linear)]
    assert widths == [*([hidden] if isinstance(hidden, int) else hidden), 3]


def test_a_constant_column_and_a_class_with_one_sample_do_no_harm(blobs):
    X, y = blobs
    X, y = X.copy(), y.copy()
    X[:, 0], y[0] = 7, "rare"
    assert np.isfinite(MLPHead(max_epochs=2).fit(X, y).predict_proba(X)).all()


def test_the_module_is_the_classifier_of_the_field():
    module = MLPClassifier(8, [4], 3, dropout=0.5)
    assert [type(layer).__name__ for layer in module.layers] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert module(torch.zeros(2, 8)).shape == (2, 3)


@pytest.mark.parametrize("seed_signature", [(8, 4, 3, 0.1), (8, 4, 3)])
def test_the_module_takes_the_arguments_of_the_field_in_their_order(seed_signature):
    module = MLPClassifier(*seed_signature)
    assert module(torch.zeros(2, 8)).shape == (2, 3)
    assert module.layers[2].p == 0.1


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_every_activation_and_normalisation_learns(blobs, activation, norm):
    head = MLPHead(hidden=(32, 32), residual=True, activation=activation, norm=norm, lr=1e-2, batch_size=64, max_epochs=15)
    assert head.fit(*blobs).score(*blobs) > 0.75


def test_residual_layers_add_to_what_comes_in():
    module = MLPClassifier(8, [4, 4, 6], 3, residual=True)
    first, residual = module.layers[0], module.layers[3]
    assert type(residual).__name__ == "Residual"
    hidden = torch.randn(2, 4)
    torch.testing.assert_close(residual.eval()(hidden), hidden + residual.layers(hidden))
    assert first.out_features == 4
    assert [type(layer).__name__ for layer in module.layers].count("Residual") == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [({"activation": "swish"}, "must be a str among .*'relu'"), ({"norm": "group"}, "must be None or a str among")],
)
def test_what_does_not_exist_is_told_with_what_does(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        MLPHead(**params).fit(*blobs)


@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_batch_normalisation_does_without_a_sample_that_is_left_over(blobs, optimizer, accumulate):
    X, y = blobs[0][:85], blobs[1][:85]
    head = MLPHead(norm="batch", batch_size=12, max_epochs=3, optimizer=optimizer, accumulate=accumulate, validation_fraction=0)
    assert head.fit(X, y).score(X, y) > 0.5


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"optimizer": "lbfgs", "block_rows": 1}])
def test_batch_normalisation_takes_no_batches_of_one(blobs, settings):
    with pytest.raises(ValueError, match="batch normalisation takes batches of two samples or more; raise `batch_size`"):
        MLPHead(norm="batch", **settings).fit(*blobs)


def test_the_last_sample_counts_with_batch_normalisation_in_a_fixed_order(blobs):
    X, y = blobs[0][:9], np.array(["a", "b"] * 4 + ["a"])
    heads = [MLPHead(norm="batch", optimizer="lbfgs", batch_size=4, max_epochs=3).fit(X, [*y[:8], last]) for last in "ab"]
    assert not np.allclose(heads[0].predict_proba(X), heads[1].predict_proba(X))


def test_the_loss_is_the_mean_over_the_samples_that_were_taken(blobs):
    settings = {"norm": "batch", "lr": 1e-9, "max_epochs": 1, "validation_fraction": 0, "schedule": "constant"}
    whole = MLPHead(batch_size=85, **settings).fit(blobs[0][:85], blobs[1][:85])
    but_one = MLPHead(batch_size=84, **settings).fit(blobs[0][:85], blobs[1][:85])
    assert but_one.history_.train_loss[0] == pytest.approx(whole.history_.train_loss[0], rel=0.02)

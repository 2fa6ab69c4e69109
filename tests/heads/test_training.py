import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch import nn

from heads import Callback, LinearClassifier, MLPHead, MLPRegressor, TorchHead
from heads.schedules import OPTIMIZERS, SCHEDULES


def probabilities(X, y, **params):
    return MLPHead(**{"hidden": 16, "max_epochs": 6, **params}).fit(X, y).predict_proba(X)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_learns_on_every_schedule(blobs, optimizer, schedule):
    lr = {"adamw": 1e-2, "sgd": 0.1, "lbfgs": 1.0}[optimizer]
    head = MLPHead(
        hidden=16, optimizer=optimizer, schedule=schedule, lr=lr, warmup=0.1, every=3, batch_size=64, max_epochs=8
    ).fit(*blobs)
    assert head.score(*blobs) > 0.7
    assert len(head.history_.lr) == len(head.history_.train_loss)


def test_l_bfgs_comes_to_the_minimum_of_a_convex_loss(blobs):
    X, y = blobs[0].astype(np.float64), blobs[1]
    head = TorchHead(
        optimizer="lbfgs",
        lr=1.0,
        schedule="constant",
        weight_decay=1e-2,
        max_epochs=30,
        validation_fraction=0,
        standardize=False,
    ).fit(X, y)
    ones = np.column_stack([X, np.ones(len(X))])
    reference = LogisticRegression(C=1 / (1e-2 * len(X)), fit_intercept=False, tol=1e-10, max_iter=10_000).fit(ones, y)
    found = np.column_stack([parameter.detach().numpy() for parameter in head.module_.parameters()])
    np.testing.assert_allclose(found, reference.coef_, atol=1e-4)


def test_gradients_of_several_batches_are_those_of_one_large_batch(blobs):
    X = blobs[0].astype(np.float64)
    large = probabilities(X, blobs[1], batch_size=128)
    np.testing.assert_allclose(probabilities(X, blobs[1], batch_size=32, accumulate=4), large, atol=1e-10)


def test_clipping_bounds_a_step_of_plain_gradient_descent(blobs):
    class Steps(Callback):
        def on_train_begin(self, state):
            self.largest, self.before = 0.0, None

        def on_gradients(self, state):
            now = nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()
            if self.before is not None:
                self.largest = max(self.largest, float((now - self.before).norm()))
            self.before = now

    settings = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "schedule": "constant", "max_epochs": 5}
    free, clipped = (MLPHead(callbacks=[Steps()], clip_norm=norm, **settings).fit(*blobs) for norm in (None, 0.01))
    assert clipped.callbacks_[0].largest <= 0.01 + 1e-6
    assert free.callbacks_[0].largest > 0.05


@pytest.mark.parametrize("extra", [{"mixup": 0.3}, {"label_smoothing": 0.2}, {"focal": 2.0}, {"ema": 0.9}])
def test_each_way_to_regularise_learns_and_changes_the_result(blobs, extra):
    X, y = blobs
    head = MLPHead(hidden=32, lr=1e-2, batch_size=64, **extra).fit(X, y)
    assert head.score(X, y) > 0.75
    assert np.abs(probabilities(X, y, **extra) - probabilities(X, y)).max() > 1e-3


def test_a_moving_average_lags_behind_the_weights(blobs):
    plain = MLPHead(max_epochs=3, validation_fraction=0, batch_size=600, schedule="constant").fit(*blobs)
    slow = MLPHead(max_epochs=3, validation_fraction=0, batch_size=600, schedule="constant", ema=0.99).fit(*blobs)
    begun = MLPHead(max_epochs=1, validation_fraction=0, batch_size=600, schedule="constant").fit(*blobs)

    def distance(one, other):
        pairs = zip(one.module_.parameters(), other.module_.parameters(), strict=True)
        return sum(float((a - b).detach().norm()) for a, b in pairs)

    assert distance(slow, begun) < 0.1 * distance(plain, begun)


def test_the_best_weights_are_those_of_the_metric_asked_for(blobs):
    X, y = blobs

    class Watch(Callback):
        def on_train_begin(self, state):
            self.values = []

        def on_epoch_end(self, state):
            self.values.append(state.history.score[-1])

    rows = np.arange(len(y)) < 400
    head = MLPHead(hidden=64, lr=1e-2, metric="f1_macro", patience=3, batch_size=64, callbacks=[Watch()])
    head.fit(X[rows], y[rows], validation=(X[~rows], y[~rows]))
    assert head.callbacks_[0].values == head.history_.score
    assert head.history_.score[head.history_.best_epoch] == max(head.history_.score)
    best = f1_score(y[~rows], head.predict(X[~rows]), average="macro")
    assert best == pytest.approx(max(head.history_.score))


def test_of_equal_scores_the_lowest_loss_is_kept_and_patience_counts_from_the_first(blobs):
    head = MLPHead(hidden=16, metric=lambda head, X, y: 1.0, max_epochs=20, patience=3).fit(*blobs)
    losses = head.history_.validation_loss
    assert len(losses) == 4
    assert head.history_.best_epoch == int(np.argmin(losses)) > 0


def test_a_group_is_never_trained_on_and_held_out(blobs):
    X, y = blobs
    groups = np.arange(len(y)) % 40
    copies = X[groups]  # all samples of a group are the same: held-out rows that were trained on would be told from others
    labels = np.random.default_rng(0).permutation(40)[groups] % 2
    free = MLPHead(hidden=256, lr=1e-2, max_epochs=60, patience=60).fit(copies, labels)
    kept = MLPHead(hidden=256, lr=1e-2, max_epochs=60, patience=60).fit(copies, labels, groups=groups)
    assert min(free.history_.validation_loss) < 0.2
    assert min(kept.history_.validation_loss) > 0.5


@pytest.mark.parametrize(
    "extra", [{}, {"ema": 0.9}, {"schedule": "one_cycle", "dropout": 0.3}, {"mixup": 0.2, "optimizer": "sgd"}]
)
def test_a_training_that_was_killed_goes_on_to_the_same_bits(blobs, tmp_path, extra):
    X, y = blobs

    class Kill(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 3:
                raise KeyboardInterrupt

    settings = {"hidden": 16, "batch_size": 64, "max_epochs": 9, "patience": 9, **extra}
    whole = MLPHead(**settings).fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        MLPHead(**settings, checkpoint=str(tmp_path), callbacks=[Kill()]).fit(X, y)
    resumed = MLPHead(**settings, checkpoint=str(tmp_path)).fit(X, y)
    assert np.array_equal(resumed.predict_proba(X), whole.predict_proba(X))
    assert resumed.history_ == whole.history_

    class Count(Callback):
        def on_train_begin(self, state):
            self.epochs = 0

        def on_epoch_end(self, state):
            self.epochs += 1

    finished = MLPHead(**settings, checkpoint=str(tmp_path), callbacks=[Count()]).fit(X, y)
    assert finished.callbacks_[0].epochs == 0
    assert np.array_equal(finished.predict_proba(X), whole.predict_proba(X))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_of_other_data_or_settings_or_a_damaged_one_is_not_gone_on_from(blobs, tmp_path):
    X, y = blobs
    MLPHead(hidden=8, max_epochs=3, checkpoint=str(tmp_path)).fit(X, y)
    for other in ({"hidden": 8, "lr": 0.1}, {"hidden": 9}, {"hidden": 8, "random_state": 5}, {"hidden": 8, "dropout": 0.5}):
        expected = MLPHead(**other, max_epochs=3).fit(X, y)
        found = MLPHead(**other, max_epochs=3, checkpoint=str(tmp_path)).fit(X, y)
        assert np.array_equal(found.predict_proba(X), expected.predict_proba(X))
    (tmp_path / "training.pt").write_bytes(b"\x80\x04damage")
    MLPHead(hidden=8, max_epochs=3, checkpoint=str(tmp_path)).fit(X, y)


def test_views_are_drawn_one_a_step_and_averaged_in_predictions(blobs):
    X, y = blobs
    rng = np.random.default_rng(0)
    views = (X[:, None] + 0.05 * rng.normal(size=(len(X), 4, X.shape[1]))).astype(np.float32)
    head = MLPHead(hidden=16, lr=1e-2, batch_size=64, max_epochs=20).fit(views, y)
    assert head.score(views, y) > 0.75
    logits = np.mean([head._outputs(views[:, number]) for number in range(4)], axis=0)
    np.testing.assert_allclose(head._outputs(views), logits, atol=1e-5)
    same = np.repeat(X[:, None], 3, axis=1)
    np.testing.assert_allclose(head.predict_proba(same), head.predict_proba(X), atol=1e-5)


def test_a_loss_that_is_no_number_ends_the_training_with_the_way_out(blobs):
    with pytest.raises(FloatingPointError, match="lower `lr` or set `clip_norm`"):
        MLPRegressor(optimizer="sgd", lr=1e12, schedule="constant").fit(blobs[0], blobs[0][:, 0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizer": "adam"}, "did you mean `adamw`"),
        ({"schedule": "cosin"}, "did you mean `cosine`"),
        ({"batch_size": 0}, "`batch_size` is 0; it must be at least 1"),
        ({"ema": 1.0}, "`ema` is 1.0; it must be at least 0 and below 1"),
        ({"mixup": 0.2, "optimizer": "lbfgs"}, "choose another optimizer"),
    ],
)
def test_a_setting_that_cannot_be_is_told_in_one_line(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        MLPHead(**params).fit(*blobs)


def test_a_callback_can_stop_the_training(blobs):
    class Stop(Callback):
        def on_epoch_end(self, state):
            state.stop = state.epoch == 1

    assert MLPHead(callbacks=[Stop()]).fit(*blobs).n_iter_ == 2


def test_values_are_predicted_by_every_kind_of_error(blobs):
    X, _ = blobs
    y = np.column_stack([X[:, 0] * 50 + 7, X[:, 1]])
    for loss in ("squared", "absolute", "huber"):
        head = MLPRegressor(lr=1e-2, loss=loss, batch_size=64).fit(X, y)
        assert head.score(X, y) > 0.9
    assert MLPRegressor(lr=1e-2, metric="r2").fit(X, y[:, 0]).predict(X).shape == (len(X),)


def test_the_seed_s_linear_classifier_is_one_linear_layer():
    module = LinearClassifier(8, 3)
    assert module(torch.zeros(2, 8)).shape == (2, 3)
    assert [type(layer) for layer in module.children()] == [nn.Linear]

"""Heads that learn on a GPU say what heads say that learn on a CPU, and are the same heads afterwards."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold

from heads import (
    ABMILHead,
    AttentionHead,
    AttentionPoolHead,
    GreedyHead,
    LayerMixHead,
    LinearHead,
    MLPHead,
    MLPRegressor,
    SweepCV,
    load_head,
    save_head,
)
from heads.solvers import linear

PENALTIES = np.logspace(-3, 3, 5)


def lesson(classes=5, samples=1500, width=40, seed=0):
    X, y = make_classification(
        samples,
        width,
        n_informative=12,
        n_redundant=10,
        n_classes=classes,
        n_clusters_per_class=1,
        class_sep=1.5,
        random_state=seed,
    )
    return X.astype(np.float32), y


def sweep(device, X, y, grid=None, **settings):
    cv = StratifiedKFold(4, shuffle=True, random_state=0) if y.ndim == 1 else 4
    head = LinearHead(device=device, **settings)
    return SweepCV(head, {"C": PENALTIES} | (grid or {}), cv=cv, error_score="raise").fit(X, y)


@pytest.mark.parametrize(
    ("y_of", "grid", "settings"),
    [
        (lambda y: y, {}, {}),
        (lambda y: (y > 1).astype(int), {}, {}),
        (lambda y: (y[:, None] > np.arange(4)).astype(int), {}, {}),
        (lambda y: y, {"class_weight": [None, "balanced"]}, {}),
        (lambda y: y, {}, {"standardize": True}),
        (lambda y: y, {"whiten": [0.1, 1.0]}, {"standardize": True}),
        (lambda y: (y[:, None] > np.arange(4)).astype(int), {}, {"standardize": True, "class_weight": "balanced"}),
    ],
    ids=["classes", "two", "labels", "weighted", "standardised", "whitened", "weighted labels"],
)
@pytest.mark.parametrize("shape", [(1500, 40), (240, 40), (300, 900)], ids=["many", "few", "wide"])
def test_linear_sweeps_choose_alike(y_of, grid, settings, shape):
    X, y = lesson(samples=shape[0], width=shape[1])
    y = y_of(y)
    by_cpu, by_gpu = (sweep(device, X, y, grid, **settings) for device in ("cpu", "cuda"))
    ours, theirs = (found.cv_results_["mean_test_score"] for found in (by_gpu, by_cpu))
    assert np.abs(ours - theirs).max() <= 2.01 / len(y)
    assert theirs[by_gpu.best_index_] >= theirs.max() - 1.01 / len(y)
    here, there = by_gpu.best_estimator_, LinearHead(**{**by_gpu.best_estimator_.get_params(), "device": "cpu"}).fit(X, y)
    assert np.linalg.norm(here.coef_ - there.coef_) < 5e-3 * np.linalg.norm(there.coef_)
    assert here.coef_.dtype == there.coef_.dtype


def test_a_sweep_that_a_gpu_cannot_hold_is_solved_on_the_cpu(little_memory, monkeypatch):
    X, y = lesson(samples=60_000, width=400)
    tried = []
    solve = linear._solve_all
    monkeypatch.setattr(
        linear, "_solve_all", lambda heads, task, device: tried.append(device.type) or solve(heads, task, device)
    )
    little_memory(64 * 2**20)
    found = SweepCV(LinearHead(device="cuda"), {"C": [0.01, 1.0]}, cv=2, refit=False).fit(X, y)
    assert tried == ["cuda", "cpu"]
    assert found.best_score_ > 0.5


@pytest.mark.parametrize(
    "head",
    [
        MLPHead(hidden=[32], dropout=0.2, batch_size=64),
        MLPHead(hidden=16, residual=True, norm="batch", batch_size=64),
        MLPHead(optimizer="lbfgs", max_epochs=20),
    ],
    ids=["dropout", "residual", "lbfgs"],
)
def test_vector_heads_learn_and_come_back_on_a_cpu(head, tmp_path):
    X, y = lesson()
    fitted = head.set_params(device="cuda").fit(X[:1000], y[:1000])
    assert next(fitted.module_.parameters()).device.type == "cuda"
    assert fitted.score(X[1000:], y[1000:]) > 0.7
    save_head(fitted, tmp_path / "head")
    back = load_head(tmp_path / "head").head
    assert next(back.module_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(back.predict_proba(X[1000:]), fitted.predict_proba(X[1000:]), atol=2e-3)


@pytest.mark.parametrize("kind", [AttentionHead, AttentionPoolHead, ABMILHead])
def test_token_heads_learn_and_come_back_on_a_cpu(kind, bags, tmp_path):
    X, y = bags
    fitted = kind(device="cuda", max_epochs=30, lr=3e-3, batch_size=64).fit(X[:200], y[:200])
    assert fitted.score(X[200:], y[200:]) > 0.6
    save_head(fitted, tmp_path / "head")
    back = load_head(tmp_path / "head").head
    np.testing.assert_allclose(back.predict_proba(X[200:]), fitted.predict_proba(X[200:]), atol=2e-3)


def test_further_heads_learn():
    X, y = lesson()
    mixed = LayerMixHead(blocks=[20, 20], device="cuda").fit(X, y)
    assert mixed.score(X, y) > 0.6
    assert GreedyHead(blocks=[20, 20]).fit(X, y).score(X, y) > 0.6
    targets = (X[:, :3] @ np.ones((3, 2), np.float32)).astype(float)
    assert MLPRegressor(device="cuda").fit(X, targets).score(X, targets) > 0.8


def test_a_stack_of_mlps_learns_what_each_learns_alone():
    X, y = lesson()
    grid = {"hidden": [[16], [32, 16], []], "lr": [1e-3, 1e-2]}
    head = MLPHead(device="cuda", max_epochs=8, batch_size=64, dropout=0.1)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    together = SweepCV(head, grid, cv=cv, error_score="raise").fit(X, y)
    from sklearn.model_selection import GridSearchCV

    alone = GridSearchCV(head, grid, cv=cv, error_score="raise").fit(X, y)
    ours, theirs = (found.cv_results_["mean_test_score"] for found in (together, alone))
    assert np.abs(ours - theirs).max() < 0.05
    assert np.abs(ours - theirs).mean() < 0.015


def test_a_long_fit_goes_on_from_its_checkpoint(tmp_path):
    X, y = lesson()
    settings = {"device": "cuda", "hidden": 32, "dropout": 0.2, "patience": 50, "lr": 1e-3}
    whole = MLPHead(max_epochs=8, schedule="constant", **settings).fit(X, y)
    path = str(tmp_path / "training.pt")

    from heads import Callback

    class StopError(Exception):
        pass

    @dataclasses.dataclass
    class StopAt(Callback):
        epoch: int

        def on_epoch_end(self, state):
            if state.epoch == self.epoch:
                raise StopError

    with pytest.raises(StopError):
        MLPHead(max_epochs=8, schedule="constant", checkpoint=path, callbacks=[StopAt(4)], **settings).fit(X, y)
    resumed = MLPHead(max_epochs=8, schedule="constant", checkpoint=path, **settings).fit(X, y)
    np.testing.assert_allclose(resumed.history_.train_loss, whole.history_.train_loss, rtol=1e-3)


def test_features_of_a_store_stream_onto_the_gpu():
    X, y = lesson(samples=4000)
    whole, blocks = (MLPHead(device="cuda", max_epochs=6, block_rows=rows).fit(X, y) for rows in (None, 100))
    assert abs(whole.score(X, y) - blocks.score(X, y)) < 0.05


def test_torch_s_random_numbers_on_the_gpu_are_left_alone():
    torch.cuda.manual_seed(3)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(3)
    MLPHead(device="cuda", max_epochs=2, dropout=0.3).fit(*lesson(samples=300))
    assert torch.equal(torch.rand(4, device="cuda"), expected)

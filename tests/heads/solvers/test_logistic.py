import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from heads.solvers import logistic
from heads.solvers.logistic import solve_logistic
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.rotation import rotate
from heads.solvers.stack import Problems

C = np.array([1e-3, 0.1, 10.0, 1000.0])


def sample(count=400, width=30, classes=4, seed=0):
    """Features with a spectrum that falls like an encoder's and an offset, and class codes."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(classes, size=count)
    X = (rng.normal(size=(classes, width))[codes] + 2 * rng.normal(size=(count, width))) / np.sqrt(np.arange(1, width + 1))
    return (X + 0.5).astype(np.float32), codes


def objective(X, one_hot, coef, intercept, strength, weight):
    """Compute scikit-learn's objective in float64; `one_hot` `[n, c]`, or `[n]` for a binary problem."""
    logits = X.astype(np.float64) @ coef.T.astype(np.float64) + intercept
    if one_hot.ndim == 1:
        losses = np.logaddexp(0, logits[:, 0]) - one_hot * logits[:, 0]
    else:
        top = logits.max(axis=1)
        losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - (logits * one_hot).sum(axis=1)
    return strength * (weight * losses).sum() + (coef.astype(np.float64) ** 2).sum() / 2


def reference(X, y, strength, weight):
    return LogisticRegression(C=strength, tol=1e-8, max_iter=20_000, solver="newton-cg").fit(
        X.astype(np.float64), y, sample_weight=weight
    )


@pytest.mark.parametrize("shape", [(400, 30), (60, 200)], ids=["more samples", "more features"])
def test_every_objective_is_within_a_thousandth_of_the_minimum(shape):
    X, codes = sample(*shape)
    weights = np.random.default_rng(1).uniform(0, 2, size=(2, len(X)))
    features, loss = rotate(X), SoftmaxLoss(torch.as_tensor(codes), 4)
    problems = Problems(C.repeat(2), weights, np.tile([0, 1], len(C)), np.zeros(8, int), np.repeat(np.arange(4), 2))
    solution = solve_logistic(features, loss, problems, gap=3e-5)
    coef, intercept = features.to_weights(solution.rotated)
    for number, (strength, row) in enumerate(zip(problems.C, problems.weight_of, strict=True)):
        best = reference(X, codes, strength, weights[row])
        minimum = objective(X, np.eye(4)[codes], best.coef_, best.intercept_, strength, weights[row])
        found = objective(X, np.eye(4)[codes], coef[number], intercept[number], strength, weights[row])
        assert minimum * (1 - 1e-6) <= found <= minimum * (1 + 1e-3)
        assert solution.objective[number] == pytest.approx(found, rel=1e-4)
    assert solution.converged.all()


def test_independent_labels_are_binary_problems_of_one_stack():
    X, codes = sample()
    labels = np.stack([codes == 0, codes > 1]).astype(np.float32)
    problems = Problems(np.tile(C, 2), np.ones((1, len(X))), np.zeros(8, int), np.repeat([0, 1], 4), np.arange(8))
    features = rotate(X)
    coef, intercept = features.to_weights(
        solve_logistic(features, BinaryLoss(torch.as_tensor(labels)), problems, gap=1e-7).rotated
    )
    for number in range(8):
        best = reference(X, labels[number // 4], problems.C[number], np.ones(len(X)))
        assert np.linalg.norm(coef[number] - best.coef_) < 1e-3 * np.linalg.norm(best.coef_)
        np.testing.assert_allclose(intercept[number], best.intercept_, atol=2e-3 * (1 + abs(best.intercept_).max()))


@pytest.mark.parametrize("strength", C)
def test_double_precision_reaches_scikit_learn_s_converged_coefficients(strength):
    X, codes = sample()
    features = rotate(X.astype(np.float64), torch.float64)
    problems = Problems(np.array([strength]), np.ones((1, len(X))), np.zeros(1, int), np.zeros(1, int), np.zeros(1, int))
    solution = solve_logistic(features, SoftmaxLoss(torch.as_tensor(codes), 4), problems, gap=1e-12)
    coef, _ = features.to_weights(solution.rotated)
    best = reference(X, codes, strength, np.ones(len(X))).coef_
    assert np.linalg.norm(coef[0] - best) < 1e-4 * np.linalg.norm(best)


def test_a_tolerance_is_kept_as_the_norm_of_the_mean_gradient():
    X, codes = sample()
    problems = Problems(C, np.ones((1, len(X))), np.zeros(4, int), np.zeros(4, int), np.arange(4))
    features, loss = rotate(X), SoftmaxLoss(torch.as_tensor(codes), 4)
    close = solve_logistic(features, loss, problems, tolerance=np.full(4, 1e-5))
    coef, intercept = features.to_weights(close.rotated)
    for number in range(4):
        logits = X @ coef[number].T + intercept[number]
        probability = torch.softmax(torch.as_tensor(logits, dtype=torch.float64), 1).numpy() - np.eye(4)[codes]
        gradient = (probability.T @ X + coef[number] / C[number]) / len(X)
        assert np.abs(gradient).max() < 3e-5


def test_a_stack_that_memory_does_not_hold_is_solved_in_parts_with_the_same_results(monkeypatch):
    X, codes = sample()
    problems = Problems(C, np.ones((1, len(X))), np.zeros(4, int), np.zeros(4, int), np.arange(4))
    features, loss = rotate(X), SoftmaxLoss(torch.as_tensor(codes), 4)
    whole = solve_logistic(features, loss, problems, gap=1e-7)
    parts, solve = [], logistic._solve_part
    monkeypatch.setattr(logistic, "MEMORY_LIMIT", 1)
    monkeypatch.setattr(
        logistic, "_solve_part", lambda tasks, *more: parts.append(len(tasks[0].problems)) or solve(tasks, *more)
    )
    split = solve_logistic(features, loss, problems, gap=1e-7)
    assert parts == [1, 1, 1, 1]
    np.testing.assert_allclose(split.objective, whole.objective, rtol=1e-5)


@pytest.mark.parametrize("limit", [logistic.MEMORY_LIMIT, 1], ids=["together", "too large for it"])
def test_problems_on_features_of_their_own_are_solved_side_by_side_as_they_are_alone(monkeypatch, limit):
    monkeypatch.setattr(logistic, "MEMORY_LIMIT", limit)
    tasks = []
    for number, shape in enumerate([(400, 30), (60, 200), (120, 12)]):
        X, codes = sample(*shape)
        weights = np.random.default_rng(number).uniform(0, 2, size=(2, len(X)))
        problems = Problems(C.repeat(2), weights, np.tile([0, 1], len(C)), np.zeros(8, int), np.repeat(np.arange(4), 2))
        tasks.append(logistic.Task(rotate(X), SoftmaxLoss(torch.as_tensor(codes), 4), problems))
    together = logistic.solve_side_by_side(tasks, np.full(24, np.nan), 1000)
    for task, found in zip(tasks, together, strict=True):
        alone = solve_logistic(task.features, task.loss, task.problems)
        assert found.rotated.shape == alone.rotated.shape
        assert found.converged.all()
        np.testing.assert_allclose(found.objective, alone.objective, rtol=1e-5)
        coef, best = (task.features.to_weights(one.rotated)[0] for one in (found, alone))
        assert np.linalg.norm(coef - best) < 1e-3 * np.linalg.norm(best)


def test_iterations_that_run_out_are_told():
    X, codes = sample()
    problems = Problems(C, np.ones((1, len(X))), np.zeros(4, int), np.zeros(4, int), np.arange(4))
    solution = solve_logistic(rotate(X), SoftmaxLoss(torch.as_tensor(codes), 4), problems, gap=1e-7, max_iter=1)
    assert not solution.converged[-1]
    assert solution.iterations.max() == 1

import numpy as np
import pytest

from heads.conformal import class_scores, conformal_intervals, conformal_sets


@pytest.fixture(scope="module")
def predictions():
    """Probabilities of 4 classes that are too sure, and the true classes."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6000, 4))
    true = (logits - np.log(-np.log(rng.uniform(size=logits.shape)))).argmax(axis=1)
    weights = np.exp(3 * logits)
    return weights / weights.sum(axis=1, keepdims=True), true


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_promised_over_many_draws(predictions, method, coverage):
    probabilities, true = predictions
    rng, held = np.random.default_rng(1), []
    for _ in range(100):
        order = rng.permutation(len(true))
        known, new = order[:200], order[200:1200]
        sets = conformal_sets(probabilities[known], true[known], coverage, method).sets(probabilities[new])
        held.append(sets[np.arange(len(new)), true[new]].mean())
    assert coverage - 0.01 < np.mean(held) < coverage + 0.03


def test_the_quantile_is_mapie_s(predictions):
    mapie = pytest.importorskip("mapie.classification")
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 5))
    y = (X[:, :3] + rng.normal(size=(900, 3))).argmax(axis=1)
    head = LogisticRegression().fit(X[:300], y[:300])
    theirs = mapie.SplitConformalClassifier(head, confidence_level=0.9, conformity_score="lac", prefit=True)
    theirs.conformalize(X[300:600], y[300:600])
    ours = conformal_sets(head.predict_proba(X[300:600]), y[300:600], 0.9, "lac")
    agreed = theirs.predict_set(X[600:])[1][:, :, 0] == (class_scores(head.predict_proba(X[600:]), "lac") <= ours.quantile)
    assert agreed.all()


def test_a_set_is_never_empty(predictions):
    probabilities, _ = predictions
    sets = conformal_sets(probabilities[:500], probabilities[:500].argmax(axis=1), 0.5).sets(probabilities)
    assert sets.any(axis=1).all()


def test_intervals_hold_the_truth_as_often_as_promised_over_many_draws():
    rng, held = np.random.default_rng(0), []
    for _ in range(100):
        true = rng.normal(size=700)
        predicted = true + rng.standard_t(3, size=700)
        low, high = conformal_intervals(predicted[:200], true[:200], 0.9).intervals(predicted[200:])
        held.append(((low <= true[200:]) & (true[200:] <= high)).mean())
    assert 0.89 < np.mean(held) < 0.92


def test_too_few_samples_say_how_many_it_takes():
    with pytest.raises(ValueError, match="5 samples cannot promise a coverage of 0.9; it takes 9"):
        conformal_sets(np.full((5, 2), 0.5), np.zeros(5, int), 0.9)
    conformal_sets(np.full((9, 2), 0.5), np.zeros(9, int), 0.9)
    with pytest.raises(ValueError, match="methods are lac and aps"):
        conformal_sets(np.full((9, 2), 0.5), np.zeros(9, int), 0.9, "raps")


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90, -0.5])
def test_coverage_is_a_share(coverage):
    with pytest.raises(ValueError, match="it lies between 0 and 1"):
        conformal_sets(np.full((50, 2), 0.5), np.zeros(50, int), coverage)


@pytest.mark.parametrize("true", [np.array(["a", "b"] * 5), np.arange(1, 11), np.zeros(9, int)])
def test_labels_are_no_codes(true):
    from heads.calibration import calibration_error, fit_temperature

    table = np.full((10, 4), 0.25)
    for use in (conformal_sets, calibration_error, fit_temperature):
        with pytest.raises(ValueError, match="`true` holds no class codes from 0 to 3|9 true classes and probabilities of 10"):
            use(table, true)

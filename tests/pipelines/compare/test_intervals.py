import numpy as np

from pipelines.compare.intervals import draw_metrics


def answers(rng, true, share, classes=3):
    """Probabilities that are right for a share of the samples."""
    right = rng.random(len(true)) < share
    predicted = np.where(right, true, (true + 1) % classes)
    return np.eye(classes)[predicted] * 0.8 + 0.2 / classes


def test_intervals_hold_the_value_and_shrink_with_samples(rng):
    widths = []
    for samples in (100, 2500):
        true = rng.integers(3, size=samples)
        found = draw_metrics(true, [answers(rng, true, 0.8) for _ in range(3)])["accuracy"].estimate()
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert 3 < widths[0] / widths[1] < 8


def test_seeds_that_differ_widen_the_interval(rng):
    true = rng.integers(3, size=4000)
    alike = draw_metrics(true, [answers(rng, true, 0.8) for _ in range(4)])["accuracy"].estimate()
    apart = draw_metrics(true, [answers(rng, true, share) for share in (0.65, 0.75, 0.85, 0.95)])["accuracy"].estimate()
    assert apart.high - apart.low > 3 * (alike.high - alike.low)


def test_values_are_those_of_scikit_learn(rng):
    from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef

    true = rng.integers(3, size=300)
    tables = [answers(rng, true, 0.7), answers(rng, true, 0.9)]
    found = draw_metrics(true, tables)
    predicted = [table.argmax(axis=1) for table in tables]
    assert np.isclose(found["accuracy"].value, np.mean([accuracy_score(true, p) for p in predicted]))
    assert np.isclose(found["f1_macro"].value, np.mean([f1_score(true, p, average="macro") for p in predicted]))
    assert np.isclose(found["matthews_corrcoef"].value, np.mean([matthews_corrcoef(true, p) for p in predicted]))
    assert np.isclose(found["log_loss"].value, np.mean([log_loss(true, table) for table in tables]))


def test_differences_are_paired_by_sample(rng):
    true = rng.integers(3, size=1000)
    table = answers(rng, true, 0.7)
    better = table.copy()
    wrong = np.flatnonzero(table.argmax(axis=1) != true)[:30]
    better[wrong] = np.eye(3)[true[wrong]]
    found = draw_metrics(true, [better])["accuracy"].minus(draw_metrics(true, [table])["accuracy"])
    assert np.isclose(found.mean, 0.03)
    assert found.low > 0.015
    assert found.high < 0.045
    assert found.p < 0.01
    same = draw_metrics(true, [table])["accuracy"].minus(draw_metrics(true, [table])["accuracy"])
    assert same.mean == same.low == same.high == 0
    assert same.p == 1


def test_classes_that_were_never_learnt_count_as_mistakes():
    found = draw_metrics(np.array([0, 1, 2]), [np.array([[1.0, 0], [0, 1.0], [1.0, 0]])])
    assert np.isclose(found["accuracy"].value, 2 / 3)
    assert "log_loss" not in found

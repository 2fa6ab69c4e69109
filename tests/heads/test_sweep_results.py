import numpy as np
import pytest

from heads.sweep_results import FoldScore, first_error, in_one_line, mean_scores, tabulate

GOOD = [FoldScore({"score": 0.5}, 1.0, 0.1), FoldScore({"score": 0.7}, 3.0, 0.1)]
BAD = [FoldScore({"score": np.nan}, 0.0, 0.0, ValueError("no\nsecond line")), FoldScore({"score": 0.9}, 1.0, 0.1)]


def test_means_are_over_the_folds_and_one_failed_fold_fails_the_trial():
    assert mean_scores(GOOD) == {"score": pytest.approx(0.6)}
    assert np.isnan(mean_scores(BAD)["score"])
    assert first_error(GOOD) is None
    assert first_error(BAD) == "ValueError: no"


def test_an_error_without_a_message_is_still_one_line():
    assert in_one_line(KeyError()) == "KeyError: "


def test_rows_are_trials_with_failed_ones_ranked_last_and_notes_as_columns():
    table = tabulate([{"a": 1}, {"b": [2]}], [BAD, GOOD], {"iter": [0, 1]})
    assert table["rank_test_score"].tolist() == [2, 1]
    assert table["mean_fit_time"].tolist() == [0.5, 2.0]
    assert table["split1_test_score"].tolist() == [0.9, 0.7]
    assert table["param_b"].tolist() == [None, [2]]
    assert table["param_b"].mask.tolist() == [True, False]
    assert table["iter"].tolist() == [0, 1]

import numpy as np

from heads import classification_metrics, score_groups


def test_a_bad_group_does_not_hide_in_a_good_mean_and_small_ones_are_left_out():
    groups = ["large"] * 60 + ["bad"] * 30 + ["small"] * 5 + [None] * 40
    true = np.zeros(len(groups), int)
    predicted = np.array([int(name == "bad") for name in groups])
    found = score_groups(groups, lambda rows: classification_metrics(true[rows], predicted[rows], None, 2))
    assert [(group.name, group.samples) for group in found] == [("large", 60), ("bad", 30)]
    assert [group.metrics["accuracy"].value for group in found] == [1.0, 0.0]

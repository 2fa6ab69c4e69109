from pipelines.choice import rank
from pipelines.trials import Score, Trial


def trial(C, score, outputs=("pooled",)):
    return Trial("linear", {"C": C}, "b", "r", outputs, 3, {"accuracy": Score(score, 0.0)}, {"accuracy": (score,)}, 0.1)


def test_of_penalties_that_score_the_same_the_middle_one_comes_first():
    trials = [trial(0.01, 0.7), *(trial(C, 0.9) for C in (0.1, 1, 10, 100, 1000)), trial(1e4, 0.8)]
    assert [found.params["C"] for found in rank(trials, "accuracy")] == [10, 1, 100, 0.1, 1000, 1e4, 0.01]


def test_other_outputs_that_score_the_same_come_in_the_order_tried():
    trials = [trial(1, 0.9), trial(1, 0.9, ("a",)), trial(1, 0.9, ("b",))]
    assert rank(trials, "accuracy") == trials

import numpy as np
import pytest
import torch

from pipelines.errors import TrainingError, UsageError
from pipelines.models.objectives import Numbers

PLACES = [f"x.csv:{number}" for number in range(1, 9)]


def test_numbers_are_standardised_and_come_back_as_they_were():
    labels = [3.0, "5", 1.7e9]
    numbers = Numbers.of(labels, 1, PLACES[:3])
    targets = numbers.encode(labels, PLACES[:3])
    assert targets.shape == (3, 1)
    assert targets.mean() == pytest.approx(0, abs=1e-6)
    assert targets.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(numbers.predictions(targets), [3, 5, 1.7e9], atol=1e-5)


def test_several_numbers_a_sample_are_rows():
    labels = [(1.0, 10.0), (2.0, 10.0), (3.0, 10.0)]
    numbers = Numbers.of(labels, 2, PLACES[:3])
    targets = numbers.encode(labels, PLACES[:3])
    assert numbers.scale[1] == 1  # what never varies is not divided by nothing
    assert numbers.answers(numbers.predictions(targets))[2] == pytest.approx([3, 10])
    assert numbers.errors(targets, numbers.predictions(targets) + np.array([0, 2])) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("far", r"x.csv:2: the label 'far' is no number, as a regression needs"),
        ("nan", r"x.csv:2: the label 'nan' is no number"),
        (float("inf"), r"x.csv:2: the label inf is no number"),
        ((1.0, 2.0), r"x.csv:2: the label \(1.0, 2.0\) holds 2 numbers and the model has 1 output; set num_classes=2"),
    ],
)
def test_a_label_that_is_no_number_is_told_with_its_place(label, message):
    with pytest.raises(TrainingError, match=message):
        Numbers.of([1.0, label], 1, PLACES[:2])


def test_too_few_numbers_are_told():
    with pytest.raises(TrainingError, match="the label 2.0 is one number and the model has 3 outputs; set num_classes=1"):
        Numbers.of([2.0, 3.0], 3, PLACES[:2])
    with pytest.raises(TrainingError, match="all 2 samples have the label 2.0; there is nothing to learn"):
        Numbers.of([2.0, 2.0], 1, PLACES[:2])


def test_settings_of_classes_are_refused():
    assert Numbers.check(None, None, 0.0) == "r2"
    with pytest.raises(UsageError, match="class_weight is of classes, and a regression has none"):
        Numbers.check(None, "balanced", 0.0)
    with pytest.raises(UsageError, match="label_smoothing is of classes"):
        Numbers.check(None, None, 0.1)


def test_r2_followed_is_that_of_the_labels_themselves():
    labels = [1.0, 2.0, 4.0, 8.0]
    numbers = Numbers.of(labels, 1, PLACES[:4])
    targets, outputs = numbers.encode(labels, PLACES[:4]), np.array([[0.1], [0.0], [0.3], [1.0]])
    followed = numbers.follow(numbers.brief(torch.as_tensor(outputs)).numpy(), targets)
    assert followed == pytest.approx(numbers.estimates(targets, numbers.predictions(outputs))["r2"].value)
    assert numbers.score(targets, outputs, "neg_root_mean_squared_error") < 0

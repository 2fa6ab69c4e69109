import numpy as np
import pytest

from extract import LABEL_SEPARATOR
from pipelines.errors import TrainingError, UsageError
from pipelines.models.objectives import Classes
from pipelines.models.objectives.classes import encode, find_classes

PLACES = [f"x.csv:{number}" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([2, 0], [0, 1, 2]),
        (["2", "0"], ["0", "1", "2"]),
        ([7, 5], [5, 7]),
        (["01", "1"], ["01", "1"]),
    ],
)
def test_classes_are_the_sorted_labels_or_the_numbers_of_the_outputs(labels, classes):
    assert find_classes(labels, 3) == classes


def test_a_label_that_the_model_does_not_know_is_told():
    assert encode(["b", "a"], ["a", "b"], ["x:1", "x:2"]).tolist() == [1, 0]
    with pytest.raises(TrainingError, match="x:7: 'c' is no class of this model, which knows a, b"):
        encode(["c"], ["a", "b"], ["x:7"])


@pytest.mark.parametrize("label", [["a", "b"], ("a",), f"a{LABEL_SEPARATOR}b"])
def test_several_labels_are_refused_with_their_place_and_the_way_out(label):
    with pytest.raises(TrainingError, match=r"x.csv:2: holds several labels; make the model with task='multilabel'"):
        Classes.of(["a", label], 2, PLACES[:2])


def test_numbers_that_are_no_classes_hint_at_regression():
    with pytest.raises(TrainingError, match=r"3 classes and the model has 2 outputs; set num_classes, or task='regression'"):
        Classes.of([0.5, 1.5, 2.5], 2, PLACES[:3])


def test_outputs_beyond_the_classes_say_nothing():
    classes = Classes(["bad", "good"])
    said = classes.predictions(np.array([[0.0, 1.0, 9.0]]))
    assert said.shape == (1, 2)
    assert said.sum() == pytest.approx(1)
    assert classes.answers(said) == ["good"]
    assert classes.errors(np.array([0]), said) == ["wrong"]


def test_a_metric_of_another_task_is_refused():
    assert Classes.check(None, None, 0.0) == "accuracy"
    assert Classes.check("neg_log_loss", "balanced", 0.1) == "neg_log_loss"
    with pytest.raises(UsageError, match="metric 'r2' is not one of classification"):
        Classes.check("r2", None, 0.0)
    with pytest.raises(UsageError, match="did you mean `f1_macro`"):
        Classes.check("f1_makro", None, 0.0)

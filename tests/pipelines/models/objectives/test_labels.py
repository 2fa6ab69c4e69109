import numpy as np
import pytest
import torch

from extract import LABEL_SEPARATOR
from pipelines.errors import TrainingError
from pipelines.models.labelled import read_labelled
from pipelines.models.objectives import Labels

PLACES = [f"x.csv:{number}" for number in range(1, 9)]


@pytest.mark.parametrize(
    "labels",
    [
        [["dry", "sad"], ["sad"], []],
        [{"dry", "sad"}, ("sad",), set()],
        [f"dry{LABEL_SEPARATOR}sad", "sad", ""],
        [["dry", "sad"], "sad", ()],
    ],
)
def test_labels_come_as_lists_sets_or_texts(labels):
    found = Labels.of(labels, 2, PLACES[:3])
    assert found.names == ["dry", "sad"]
    assert found.encode(labels, PLACES[:3]).tolist() == [[1, 1], [0, 1], [0, 0]]


def test_rows_of_0_and_1_are_labels_by_number():
    labels = [(1, 0, 0), (0, 1, 1)]
    found = Labels.of(labels, 3, PLACES[:2])
    assert found.names == [0, 1, 2]
    assert found.encode(labels, PLACES[:2]).tolist() == [[1, 0, 0], [0, 1, 1]]
    assert found.answers(np.array([[0.9, 0.1, 0.5]])) == [[0, 2]]


def test_rows_that_a_source_has_joined_are_rows_still():
    labels = read_labelled({"text": ["a film", "we", "it"], "label": [[1, 0], [0, 1], [1, 1]]}).labels
    found = Labels.of(labels, 2, PLACES[:3])
    assert found.encode(labels, PLACES[:3]).tolist() == [[1, 0], [0, 1], [1, 1]]


def test_what_is_not_understood_is_told_with_its_place():
    labels = Labels(["dry", "sad"])
    with pytest.raises(TrainingError, match=r"x.csv:2: 'wet' is no label of this model, which knows dry, sad"):
        labels.encode([["dry"], ["sad", "wet"]], PLACES[:2])
    with pytest.raises(TrainingError, match=r"x.csv:2: \(0, 2\) is no row of 2 numbers 0 or 1"):
        labels.encode([(0, 1), (0, 2)], PLACES[:2])
    with pytest.raises(TrainingError, match=r"x.csv:1: \(0, 1, 1\) is no row of 2 numbers"):
        labels.encode([(0, 1, 1)], PLACES[:1])
    with pytest.raises(TrainingError, match=r"x.csv:2: 1.5 is no list of labels; a sample with one label has a list of one"):
        labels.encode([["dry"], 1.5], PLACES[:2])


def test_labels_that_do_not_fit_the_outputs_are_told_with_the_way_out():
    with pytest.raises(TrainingError, match=r"2 different labels \(dry, sad\) and the model 3 outputs; set num_classes=2, or"):
        Labels.of([["dry"], ["sad"]], 3, PLACES[:2])
    with pytest.raises(TrainingError, match="none of 2 training samples has any label"):
        Labels.of([(0, 0), (0, 0)], 2, PLACES[:2])


def test_positives_are_weighted_where_classes_are_balanced():
    targets = np.array([[1, 0], [0, 0], [0, 0], [0, 1]])
    plain, balanced = (Labels(["a", "b"]).loss(targets, weight, 0.0) for weight in (None, "balanced"))
    outputs, y = torch.zeros(4, 2), torch.as_tensor(targets).float()
    assert plain(outputs, y)[1] == balanced(outputs, y)[1]
    assert balanced(outputs, y)[0] == pytest.approx(2 * float(plain(outputs, y)[0]))


def test_scores_are_those_of_the_answers():
    labels, targets = Labels(["a", "b"]), np.array([[1, 0], [1, 1]])
    outputs = np.array([[3.0, -3.0], [3.0, -3.0]])
    said = labels.predictions(outputs)
    assert labels.errors(targets, said) == ["right", "wrong"]
    assert labels.follow(labels.brief(torch.as_tensor(outputs)).numpy(), targets) == pytest.approx(0.5)
    assert labels.score(targets, outputs, "f1_micro") == pytest.approx(0.8)
    assert labels.estimates(targets, said)["accuracy"].value == 0.5

import numpy as np
import pandas as pd
import pytest
import torch

from extract import Samples
from pipelines.errors import TrainingError, UsageError
from pipelines.models.labelled import Labelled, read_labelled, with_labels
from tests.conftest import write_reviews
from tests.images import picture

TEXTS, LABELS = ["a film", "the plot", "we"], ["x", "y", "x"]


class Texts(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, row):
        return TEXTS[row], LABELS[row]


@pytest.mark.parametrize(
    "data",
    [
        list(zip(TEXTS, LABELS, strict=True)),
        (TEXTS, LABELS),
        {"text": TEXTS, "label": LABELS},
        [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
        pd.DataFrame({"text": TEXTS, "label": LABELS}),
        Samples("memory", TEXTS, ["0", "1", "2"], LABELS),
        Texts(),
    ],
)
def test_labels_come_with_samples_in_many_ways(data):
    found = read_labelled(data)
    assert (list(found.samples.inputs), list(found.labels)) == (TEXTS, LABELS)


def test_a_dataset_of_the_hub_is_read_by_its_columns():
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])})
    found = read_labelled(datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0]}, features=features))
    assert (list(found.samples.inputs), list(found.labels)) == (TEXTS, LABELS)


def test_files_are_read_by_their_label_column(tmp_path):
    assert set(read_labelled(write_reviews(tmp_path / "reviews.csv")).labels) == {"good", "bad"}


def test_samples_without_labels_are_samples():
    assert read_labelled(TEXTS).labels is None
    assert read_labelled({"text": TEXTS}).labels is None
    assert len(read_labelled(np.zeros((4, 3)))) == 4


def test_labels_of_arrays_are_plain():
    assert read_labelled((torch.ones(2, 3), torch.tensor([1, 0]))).labels == [1, 0]
    assert read_labelled(([picture(0)], np.array([2.5]))).labels == [2.5]


def test_what_is_no_data_is_told():
    with pytest.raises(UsageError, match="samples cannot come from int"):
        read_labelled(3)


def test_rows_without_a_label_are_left_out():
    kept = with_labels(Labelled(Samples.of(TEXTS), ["x", None, "y"]))
    assert (list(kept.samples.inputs), kept.labels) == (["a film", "we"], ["x", "y"])
    with pytest.raises(TrainingError, match="data: no sample has a label"):
        with_labels(Labelled(Samples.of(TEXTS), None))


def test_a_place_that_is_a_bare_position_says_in_which_data():
    data = read_labelled((TEXTS, LABELS), "eval_data").take(np.array([2]))
    assert data.places == ["eval_data, sample 2"]
    assert read_labelled(Samples("memory", ["a film"], ["films.csv:2"])).places == ["films.csv:2"]


@pytest.mark.parametrize("count", [2, 4])
def test_more_or_fewer_labels_than_samples_are_told_as_such(count):
    with pytest.raises(UsageError, match=f"^train_data: 3 samples and {count} labels; give one label a sample$"):
        read_labelled((TEXTS, ["x"] * count), "train_data")


@pytest.mark.parametrize("data", [([], []), [], (np.zeros((0, 3)), [])])
def test_no_samples_are_told_as_such(data):
    with pytest.raises(TrainingError, match="^train_data: there are no samples$"):
        with_labels(read_labelled(data, "train_data"))


def test_labels_of_several_values_become_tuples():
    X = torch.zeros(2, 3)
    assert read_labelled((X, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))).labels == [(1.0, 2.0), (3.0, 4.0)]
    assert read_labelled((X, torch.tensor([[1], [0]]))).labels == [1, 0]
    assert read_labelled((X, np.array([0.5, np.nan]))).labels == [0.5, None]
    assert read_labelled([("a film", ["x", "y"]), ("we", [])]).labels == [["x", "y"], []]

import pytest

from extract import SourceError
from pipelines import DatasetLoader
from pipelines.errors import TrainingError, UsageError
from tests.conftest import write_reviews
from tests.images import write_image_folder


def test_a_file_with_splits_keeps_them_and_takes_validation_out_of_training(tmp_path):
    write_reviews(tmp_path / "reviews.csv", 120)
    parts = DatasetLoader.load_dataset(tmp_path / "reviews.csv", split="split")
    assert {name: len(part) for name, part in parts.items()} == {"train": 86, "validation": 10, "test": 24}
    assert all(set(part.labels) == {"good", "bad"} for part in parts.values())


def test_a_folder_of_images_without_splits_is_split_by_class(tmp_path):
    parts = DatasetLoader.load_dataset(str(write_image_folder(tmp_path / "pictures", 40)), task="image_classification")
    assert {name: len(part) for name, part in parts.items()} == {"train": 32, "validation": 4, "test": 4}
    assert sorted(parts["test"].labels) == ["bright", "bright", "dark", "dark"]


def test_no_sample_is_in_two_parts_and_the_parts_repeat(tmp_path):
    path = write_reviews(tmp_path / "reviews.csv", 60)
    first, second = (DatasetLoader.load_dataset(path, seed=3) for _ in range(2))
    assert len({text for part in first.values() for text in part.inputs}) == 60
    assert all(list(first[name].inputs) == list(second[name].inputs) for name in first)


def test_a_limit_draws_some(tmp_path):
    parts = DatasetLoader.load_dataset(write_reviews(tmp_path / "reviews.csv", 120), limit=20)
    assert [len(part) for part in parts.values()] == [20, 11, 12]


@pytest.mark.parametrize("way", ["a text with separators", "a list", "lists, as is said", "columns of 0 and 1"])
def test_several_labels_are_lists_of_names(tmp_path, way):
    kinds = [["movie", "negative"], ["news"], ["movie", "news"]] * 10
    texts = [f"text {number}" for number in range(30)]
    columns = {name: [int(name in row) for row in kinds] for name in ("movie", "negative", "news")}
    data, settings = {
        "a text with separators": ({"text": texts, "label": ["; ".join(row) for row in kinds]}, {"multilabel": ";"}),
        "a list": ({"text": texts, "label": kinds}, {}),
        "lists, as is said": ({"text": texts, "label": kinds}, {"multilabel": True}),
        "columns of 0 and 1": ({"text": texts, **columns}, {"label": list(columns)}),
    }[way]
    found = DatasetLoader.load_dataset(data, **settings)
    told = {text: row for part in found.values() for text, row in zip(part.inputs, part.labels, strict=True)}
    assert told == dict(zip(texts, kinds, strict=True))


def test_what_is_wrong_is_told(tmp_path):
    path = write_reviews(tmp_path / "reviews.csv", 20)
    with pytest.raises(UsageError, match="task 'image_classification' takes samples of kind image, and these are of kind text"):
        DatasetLoader.load_dataset(path, task="image_classification")
    with pytest.raises(UsageError, match="did you mean `text_classification`"):
        DatasetLoader.load_dataset(path, task="text_classificaton")
    with pytest.raises(SourceError, match="did you mean `label`"):
        DatasetLoader.load_dataset(path, label="labels")
    with pytest.raises(SourceError, match="there is no such file"):
        DatasetLoader.load_dataset("nowhere.csv")
    with pytest.raises(TrainingError, match="cannot be|can be taken out of 1 samples"):
        DatasetLoader.load_dataset({"text": ["a"], "label": ["x"]})

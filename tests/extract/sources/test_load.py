import numpy as np
import pandas as pd
import pytest

from extract import Columns, SourceError, load_samples
from extract.decoding import decode
from extract.images import ImageFile, resolve
from tests.images import picture


def test_a_folder_of_text_files_by_class(tmp_path):
    for place, text in {"pos/a.txt": "good", "pos/b.txt": "great", "neg/a.txt": "bad", "neg/ignored.md": "x"}.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
    samples = load_samples(tmp_path)
    assert samples.inputs == ["bad", "good", "great"]
    assert samples.labels == ["neg", "pos", "pos"]
    assert samples.ids == ["neg/a.txt", "pos/a.txt", "pos/b.txt"]
    assert samples.splits is None


def test_folders_of_splits_over_folders_of_classes(tmp_path):
    for place in ("train/pos", "train/neg", "test/pos", "test/neg"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.txt").write_text(place)
    samples = load_samples(tmp_path)
    assert samples.splits == ["test", "test", "train", "train"]
    assert samples.labels == ["neg", "pos", "neg", "pos"]


def test_an_empty_folder_is_told_what_is_expected(tmp_path):
    with pytest.raises(SourceError, match="<class>"):
        load_samples(tmp_path)


def test_a_data_frame_with_arrow_strings_and_missing_values():
    frame = pd.DataFrame({"text": ["a", None, "c"], "label": pd.Categorical(["x", "y", None]), "n": [1, None, 3]})
    samples = load_samples(frame, Columns("text", "label", group="n"))
    assert samples.admit().rows.tolist() == [0, 2]
    assert samples.labels == ["x", "y", None]
    assert samples.groups == ["1", None, "3"]


def test_a_list_and_a_mapping_are_sources():
    assert load_samples(["a", "b"]).inputs == ["a", "b"]
    samples = load_samples({"text": ["a"], "label": [True], "name": ["first"]}, Columns("text", "label", id="name"))
    assert (samples.labels, samples.ids) == (["True"], ["first"])
    with pytest.raises(SourceError, match="different lengths"):
        load_samples({"text": ["a"], "label": []})
    with pytest.raises(SourceError, match="cannot come from int"):
        load_samples(3)


def test_a_hub_data_set_brings_its_splits_and_class_names(tmp_path, monkeypatch):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})

    def part(texts, labels):
        return datasets.Dataset.from_dict({"text": texts, "label": labels}, features)

    loaded = datasets.DatasetDict(train=part(["a", "b"], [1, 0]), test=part(["c"], [1]), unsupervised=part(["d"], [-1]))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, **_: loaded)
    samples = load_samples("hub:imdb", Columns("text", "label"))
    assert samples.inputs == ["a", "b", "c"]
    assert samples.labels == ["pos", "neg", "pos"]
    assert samples.splits == ["train", "train", "test"]
    assert samples.ids == ["train:0", "train:1", "test:0"]


def test_a_local_folder_that_datasets_reads_goes_through_the_same_code(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{split}.csv").write_text("text,label\na film,good\n")
    samples = load_samples(f"hub:{tmp_path / 'data'}", Columns("text", "label"))
    assert samples.splits == ["train", "test"]
    assert samples.labels == ["good", "good"]


def test_an_unreachable_hub_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"hub:no/such: cannot be loaded: .*; check the name and the network") as caught:
        load_samples("hub:no/such")
    assert "\n" not in str(caught.value)


def test_images_of_the_hub_stay_encoded_and_the_first_column_of_them_is_taken(monkeypatch):
    import datasets

    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def part(seeds):
        return datasets.Dataset.from_dict({"img": [picture(seed) for seed in seeds], "label": [s % 2 for s in seeds]}, features)

    loaded = datasets.DatasetDict(train=part([0, 1]), test=part([2]))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, **_: loaded)
    for samples in (load_samples("hub:pets", Columns(label="label")), load_samples(loaded, Columns(label="label"))):
        assert samples.labels == ["cat", "dog", "cat"]
        assert samples.splits == ["train", "train", "test"]
        assert resolve(samples.inputs[2]).startswith(b"\x89PNG")
        assert np.array_equal(np.asarray(decode(samples.inputs[2])), np.asarray(picture(2)))
    assert load_samples(loaded["train"]).ids == ["row:0", "row:1"]


def test_columns_in_memory_may_hold_images():
    images = [picture(), np.zeros((3, 4)), b"bytes", "a.png"]
    samples = load_samples({"picture": images, "label": list("abcd")}, Columns(None, "label", image="picture"))
    assert samples.inputs[:3] == images[:3]
    assert samples.inputs[3] == ImageFile("a.png")

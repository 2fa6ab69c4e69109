import io

import datasets
import numpy as np
import pytest
from PIL import Image

import extract.sources.hub
from extract import Columns, SourceError, load_samples, stream_samples
from extract.images import resolve


def write_folder(folder, rows=50):
    """Write a data set with splits, class labels and pictures, as the hub keeps them."""
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"]), image=datasets.Image()
    )

    def make(start):
        pictures = []
        for number in range(start, start + rows):
            file = io.BytesIO()
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(file, "PNG")
            pictures.append({"bytes": file.getvalue(), "path": None})
        texts = [f"text {number}" for number in range(start, start + rows)]
        return datasets.Dataset.from_dict({"text": texts, "label": [n % 2 for n in range(rows)], "image": pictures}, features)

    folder.mkdir()
    make(0).to_parquet(folder / "train-00000-of-00001.parquet")
    make(rows).to_parquet(folder / "test-00000-of-00001.parquet")
    return str(folder)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def joined(slices, column):
    return [value for part in slices for value in getattr(part, column)]


@pytest.mark.parametrize("columns", [Columns("text", "label"), Columns(image="image", label="label")])
def test_a_streamed_data_set_is_the_one_that_is_loaded(tmp_path, monkeypatch, columns):
    monkeypatch.setattr(extract.sources.hub, "ROWS_AT_ONCE", 8)
    monkeypatch.setattr(extract.sources.hub, "SLICE_SAMPLES", 16)
    folder = write_folder(tmp_path / "data")
    whole, slices = load_samples(f"hub:{folder}", columns), list(stream_samples(f"hub:{folder}", columns))
    assert [len(part) for part in slices] == [16, 16, 16, 2] * 2
    for column in ("ids", "labels", "splits"):
        assert joined(slices, column) == list(getattr(whole, column))
    assert list(map(_plain, joined(slices, "inputs"))) == list(map(_plain, whole.inputs))


def _plain(sample):
    return sample if isinstance(sample, str) else resolve(sample)


def test_the_first_column_of_images_is_taken_where_there_is_no_text(tmp_path):
    folder = write_folder(tmp_path / "data")
    rows = datasets.load_dataset(folder, streaming=True)["train"].remove_columns("text")
    (part,) = stream_samples(rows)
    assert resolve(part.inputs[3]).startswith(b"\x89PNG")
    assert part.ids[3] == "row:3"


def test_files_that_say_nothing_of_their_columns_beforehand_are_streamed_too(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n")
    rows = datasets.load_dataset("csv", data_files=str(tmp_path / "a.csv"), streaming=True)
    (part,) = stream_samples(rows, Columns("text", "label"))
    assert (list(part.inputs), part.labels) == (["a", "b"], ["x", "y"])


def test_what_goes_wrong_is_told_in_one_line(tmp_path):
    folder = write_folder(tmp_path / "data")
    with pytest.raises(SourceError, match=r"there is no column `lable` \(for label\); did you mean `label`"):
        list(stream_samples(f"hub:{folder}", Columns("text", "lable")))
    with pytest.raises(SourceError, match="hub:no/such-thing: cannot be loaded"):
        stream_samples("hub:no/such-thing")
    path = tmp_path / "data" / "test-00000-of-00001.parquet"
    stream = stream_samples(f"hub:{folder}", Columns("text"))
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(SourceError, match="cannot be read: .*start again to go on"):
        list(stream)


@pytest.mark.parametrize("stream", [False, True])
def test_parts_with_other_names_of_splits_are_those(stream):
    parts = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "dev", "Held_Out")}
    if stream:
        found = list(stream_samples({name: rows.to_iterable_dataset() for name, rows in parts.items()}))
        assert joined(found, "splits") == ["train", "validation", "test"]
    else:
        assert load_samples(datasets.DatasetDict(parts)).splits == ["train", "validation", "test"]

import os

import pytest

from extract import SourceError, load_samples
from extract.images import ImageFile
from tests.images import encoded, picture, write_image_folder


def test_a_folder_of_images_by_class_is_recognised_by_itself(tmp_path):
    samples = load_samples(write_image_folder(tmp_path / "data", 4))
    assert samples.ids == ["bright/000.png", "bright/002.png", "dark/001.png", "dark/003.png"]
    assert samples.labels == ["bright", "bright", "dark", "dark"]
    assert samples.splits is None
    assert samples.inputs[0] == ImageFile(str(tmp_path / "data/bright/000.png"))


def test_upper_folders_may_be_splits(tmp_path):
    samples = load_samples(write_image_folder(tmp_path, 8, splits=("train", "val")))
    assert list(zip(samples.ids, samples.labels, samples.splits, strict=True))[::3] == [
        ("train/bright/000.png", "bright", "train"),
        ("train/dark/005.png", "dark", "train"),
        ("val/dark/003.png", "dark", "validation"),
    ]


def test_all_usual_endings_count_in_any_case_and_other_files_do_not(tmp_path):
    names = ["a.JPG", "b.jpeg", "c.PnG", "d.webp", "e.TIFF", "f.gif", "g.bmp", "notes.txt", "x.py", ".hidden.jpg", "Thumbs.db"]
    (tmp_path / "class").mkdir()
    for name in names:
        (tmp_path / "class" / name).write_bytes(b"x")
    assert load_samples(tmp_path).ids == [f"class/{name}" for name in names[:7]]


def test_images_further_down_belong_to_the_class_above_and_loose_ones_to_none(tmp_path):
    for place in ("cat/2024/05/a.jpg", "cat/b.jpg", "loose.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(encoded(picture()))
    samples = load_samples(tmp_path)
    assert samples.ids == ["cat/2024/05/a.jpg", "cat/b.jpg", "loose.jpg"]
    assert samples.labels == ["cat", "cat", None]


def test_a_single_image_is_a_source_too(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    assert load_samples(tmp_path / "a.png").inputs == [ImageFile(str(tmp_path / "a.png"))]
    with pytest.raises(SourceError, match="there is no such file"):
        load_samples(tmp_path / "b.png")


def test_a_folder_of_texts_is_read_as_before(tmp_path):
    os.makedirs(tmp_path / "good")
    (tmp_path / "good" / "1.txt").write_text("a film")
    assert load_samples(tmp_path).inputs == ["a film"]


def test_a_folder_with_nothing_in_it_says_what_is_expected(tmp_path):
    with pytest.raises(SourceError, match=r"no images and no text files .*; expected .*/<class>/\* or .*/<split>/<class>/\*"):
        load_samples(tmp_path)


def test_a_folder_that_is_no_split_beside_splits_is_told(tmp_path):
    for folder in ("train", "Kept", "test"):
        (tmp_path / folder / "good").mkdir(parents=True)
        (tmp_path / folder / "good/1.txt").write_text("fine")
    with pytest.raises(SourceError, match="`Kept` is no split and lies beside `test`, `train`"):
        load_samples(tmp_path)


def test_classes_with_names_of_splits_are_classes_where_none_is_training(tmp_path):
    for folder in ("dev", "docs", "test"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.txt").write_text("fine")
    assert load_samples(tmp_path).labels == ["dev", "docs", "test"]


def test_texts_in_a_folder_may_begin_with_a_mark_and_have_a_known_encoding(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good/1.txt").write_bytes(b"\xef\xbb\xbffine")
    assert load_samples(tmp_path).inputs == ["fine"]
    with pytest.raises(SourceError, match="`klingon` is not known"):
        load_samples(tmp_path, encoding="klingon")


def test_a_saved_hugging_face_data_set_is_recognised(tmp_path):
    import datasets

    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(SourceError, match="saved: is a saved Hugging Face data set; name it as `hub` in the place of `path`"):
        load_samples(tmp_path / "saved")

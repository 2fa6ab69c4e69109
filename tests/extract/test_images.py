import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from cache import image_key, image_text_key
from extract.errors import UnusableSampleError
from extract.images import DatasetItem, ImageCell, ImageFile, ImageText, image_keys, is_image, resolve
from tests.images import encoded, picture


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture()))
    return path


def test_a_file_s_key_is_that_of_its_bytes_wherever_they_come_from(file):
    content = file.read_bytes()
    cell = ImageCell([{"bytes": content, "path": None}], 0)
    by_path = ImageCell(["a.png"], 0, str(file.parent))
    samples = [ImageFile(str(file)), file, content, bytearray(content), cell, by_path]
    assert image_keys(samples) == [image_key(content)] * len(samples)


def test_an_image_in_memory_has_the_key_of_its_pixels_whatever_holds_them():
    image = picture()
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    keys = image_keys([image, image.convert("RGBA"), array, tensor, DatasetItem([(image, 3)], 0), picture(1), encoded(image)])
    assert len(set(keys[:5])) == 1
    assert len(set(keys)) == 3


def test_the_shape_counts():
    pixels = np.arange(24, dtype=np.uint8)
    first, second = image_keys([pixels.reshape(4, 6), pixels.reshape(6, 4)])
    assert first != second


def test_what_has_no_key_has_a_reason(tmp_path):
    (tmp_path / "empty.jpg").touch()
    samples = [ImageFile(str(tmp_path / "gone.jpg")), tmp_path / "empty.jpg", tmp_path, b"", None, 3, ImageCell([None], 0)]
    reasons = ["there is no such file", "the file is empty", "cannot be read: Is a directory", "no bytes", "no image"]
    assert image_keys(samples) == [*reasons, "not an image but int", "no image"]


def test_an_image_with_a_text_has_a_key_of_both(file):
    key = image_key(file.read_bytes())
    samples = [ImageText(ImageFile(str(file)), "a film"), ImageText(file.read_bytes(), "a plot"), ImageText(file, "caf\udce9")]
    assert image_keys(samples) == [image_text_key(key, "a film"), image_text_key(key, "a plot"), "the text is not valid UTF-8"]


def test_a_file_is_read_again_when_it_has_changed(file):
    before = image_keys([file])
    file.write_bytes(encoded(picture(1)))
    assert image_keys([file]) == [image_key(file.read_bytes())] != before


def test_a_column_is_asked_for_an_image_when_it_is_read_and_not_before():
    class Column:
        asked = 0

        def __getitem__(self, row):
            self.asked += 1
            return b"content"

    column = Column()
    cells = [ImageCell(column, row) for row in range(5)]
    assert column.asked == 0
    assert resolve(cells[3]) == b"content"
    assert column.asked == 1


def test_images_are_told_from_texts():
    images = [ImageFile("a"), Path("a"), b"", picture(), np.zeros((2, 2)), torch.zeros(2, 2), ImageCell([], 0)]
    assert all(map(is_image, images))
    assert not any(map(is_image, ["a.jpg", None, 3, ["a"]]))


def test_a_file_that_is_too_large_is_refused_unread(file, monkeypatch):
    monkeypatch.setattr("extract.images.LARGEST_FILE", 10)
    with pytest.raises(UnusableSampleError, match="larger than 0 MiB"):
        resolve(file)


def test_a_cell_goes_to_another_process_without_its_column():
    cell = ImageCell([b"x" * 10_000, b"short", {"bytes": None, "path": "a.png"}], 1, "folder")
    assert len(pickle.dumps(cell)) < 500
    assert pickle.loads(pickle.dumps(cell)).resolve() == b"short"


def test_a_url_that_cannot_be_read_is_named(monkeypatch):
    def missing(url, most):
        raise FileNotFoundError(url)

    monkeypatch.setattr("extract.images.read_file", missing)
    with pytest.raises(UnusableSampleError, match="http://there/none.jpg: there is no such file"):
        ImageFile("http://there/none.jpg").read()

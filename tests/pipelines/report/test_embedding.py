import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from extract import ImageFile, Samples
from pipelines.report.embedding import as_json, cut, pack_unit, shown_text, thumbnails


@given(st.text())
def test_json_in_a_page_says_the_same_and_cannot_end_its_block(text):
    embedded = str(as_json({"text": text}))
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded)["text"] == text


def test_what_is_not_unicode_is_replaced():
    assert json.loads(as_json(["caf\udce9"])) == ["caf?"]


def test_texts_are_cut_and_their_control_characters_shown_as_pictures():
    assert cut("abcdef", 3) == "abc…"
    assert cut("a\x00b\nc", 9) == "a␀b\nc"
    assert "\u202e" not in cut("\u202eabc", 9)
    assert shown_text(Samples.of([("one", "two")]), 0, 20) == "one / two"


def test_numbers_are_packed_within_a_hundred_thousandth():
    values = np.random.default_rng(0).uniform(size=100)
    found = np.frombuffer(base64.b64decode(pack_unit(values)), "<u2") / 65535
    assert found == pytest.approx(values, abs=1e-5)


def test_small_pictures_are_made_of_images_that_can_be_read_and_of_nothing_else(tmp_path):
    Image.new("RGB", (300, 100), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    samples = Samples.of([ImageFile(str(tmp_path / "red.png")), ImageFile(str(tmp_path / "broken.png")), "text"])
    pictures = thumbnails(samples, range(3), 64, 10)
    assert list(pictures) == [0]
    assert base64.b64decode(pictures[0]).startswith(b"\xff\xd8")
    assert thumbnails(samples, range(3), 64, -1) == {}

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import as_key_array, image_key, image_text_key, pixels_key, text_key, view_key
from cache.keys import sortable

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_the_key_of_a_text_depends_on_its_content_alone(text):
    assert text_key(text) == text_key(str(text.encode(), "utf-8"))
    assert len(text_key(text)) == 16


@given(texts, texts, texts, texts)
def test_different_content_has_different_keys(a, b, c, d):
    assert (text_key(a) == text_key(b)) == (a == b)
    assert (text_key(a, b) == text_key(c, d)) == ((a, b) == (c, d))
    assert text_key(a) != text_key(a, b)


def test_a_pair_cannot_be_shifted_into_another_pair():
    assert text_key("ab", "c") != text_key("a", "bc")


def test_keys_are_part_of_the_format_and_never_change():
    assert text_key("a good film").hex() == "5f8c923b7a5a86f8c2a1a54b8d6c683a"
    assert text_key("a good", "film").hex() == "ce8a3d36df661af999627f36ded25cb0"


@given(st.binary(), st.binary())
def test_different_images_have_different_keys(a, b):
    assert (image_key(a) == image_key(b)) == (a == b)
    assert (pixels_key("L", (len(a),), a) == pixels_key("L", (len(b),), b)) == (a == b)


def test_kinds_of_content_never_share_a_key():
    content = b"the same bytes"
    keys = [text_key(content.decode()), image_key(content), pixels_key("L", (14,), content)]
    keys += [image_text_key(keys[1], "a"), view_key(keys[1], 1, 0)]
    assert len(set(keys)) == len(keys)


def test_shape_and_mode_tell_images_in_memory_apart():
    keys = {pixels_key(mode, shape, bytes(12)) for mode in ("L", "RGB") for shape in ((2, 6), (6, 2), (1, 2, 6))}
    assert len(keys) == 6


def test_view_and_seed_tell_views_apart():
    keys = {view_key(image_key(b"a"), view, seed) for view in range(4) for seed in range(4)}
    assert len(keys) == 16


def test_the_text_with_an_image_counts():
    image = image_key(b"a")
    assert len({image, image_text_key(image, ""), image_text_key(image, "a"), image_text_key(image_key(b"b"), "a")}) == 4


def test_keys_of_images_are_part_of_the_format_too():
    assert image_key(b"JPEG").hex() == "d88d38623004976a0c5ceb57cd662a97"
    assert pixels_key("RGB", (1, 2, 3), b"123456").hex() == "2eccc492592b6d3acb40b76a66476364"
    assert image_text_key(image_key(b"JPEG"), "a film").hex() == "d156d327307718fafc78cf073cc92f93"
    assert view_key(image_key(b"JPEG"), 3, 7).hex() == "a72c1bb7e6601996542e1a744bd95e84"


def test_bytes_that_were_not_utf_8_have_no_key():
    with pytest.raises(UnicodeEncodeError):
        text_key("caf\udce9")


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1))
def test_sortable_keys_order_as_bytes_also_with_zero_bytes(keys):
    found = np.sort(sortable(as_key_array(keys)))
    assert [bytes(key).ljust(16, b"\0") for key in found.tolist()] == sorted(keys)

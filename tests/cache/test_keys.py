import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import as_key_array, text_key
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


def test_bytes_that_were_not_utf_8_have_no_key():
    with pytest.raises(UnicodeEncodeError):
        text_key("caf\udce9")


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1))
def test_sortable_keys_order_as_bytes_also_with_zero_bytes(keys):
    found = np.sort(sortable(as_key_array(keys)))
    assert [bytes(key).ljust(16, b"\0") for key in found.tolist()] == sorted(keys)

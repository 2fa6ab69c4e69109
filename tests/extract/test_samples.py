from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cache import text_key
from extract import LABEL_SEPARATOR, Samples, SourceError


def test_every_usable_sample_gets_its_key_and_every_other_its_reason():
    admitted = Samples.of(["a", "", " \n", None, float("nan"), pd.NA, 3, "caf\udce9", "a\ud83d", "b 🎬"]).admit()
    assert admitted.rows.tolist() == [0, 9]
    assert [key.tobytes() for key in admitted.keys] == [text_key("a"), text_key("b 🎬")]
    reasons = {skipped.row: skipped.reason for skipped in admitted.skipped}
    assert reasons[1] == reasons[2] == "empty text"
    assert reasons[3] == reasons[4] == reasons[5] == "no text"
    assert reasons[6] == "not a text but int"
    assert reasons[7].startswith("not valid UTF-8 (byte 0xe9 at character 3)")
    assert reasons[8].startswith("not valid UTF-8 (lone surrogate U+D83D at character 1)")


def test_a_text_with_a_pair_has_a_key_of_its_own_and_both_have_to_be_texts():
    samples = Samples.of([("a", "b"), ("a", ""), (None, "b"), ("a", "caf\udce9"), ("b", "a"), "ab"])
    admitted = samples.admit()
    assert admitted.rows.tolist() == [0, 4, 5]
    assert [key.tobytes() for key in admitted.keys] == [text_key("a", "b"), text_key("b", "a"), text_key("ab")]
    reasons = {skipped.row: skipped.reason for skipped in admitted.skipped}
    assert (reasons[1], reasons[2]) == ("empty text in the pair", "no text in the pair")
    assert reasons[3].startswith("not valid UTF-8 (byte 0xe9 at character 3)")


def test_the_table_holds_the_usable_samples_in_order():
    samples = Samples("d", ["a", "", "b"], ["1", "2", "3"], labels=["x", "y", None], splits=None, groups=["g", "g", "h"])
    table = samples.table(samples.admit())
    assert (table.ids, table.labels, table.splits, table.groups) == (["1", "3"], ["x", None], None, ["g", "h"])
    assert table.keys.shape == (2, 16)
    assert table.keys.dtype == np.uint8


def test_the_table_holds_several_labels_of_a_sample_as_one_text():
    samples = Samples("d", ["a", "b"], ["1", "2"], labels=[["x", "y"], []])
    assert samples.table(samples.admit()).labels == [f"x{LABEL_SEPARATOR}y", ""]


def test_samples_are_shown_in_a_line_without_their_texts():
    several = Samples("tags.csv", ["a", "b", "c"], ["1", "2", "3"], labels=[["x", "y"], "x", None])
    assert repr(several) == "<tags.csv: 3 samples, 2 labels: x 2, y 1>"
    assert repr(Samples.of(["a"])) == "<samples: 1 sample>"
    many = Samples.of(["a"] * 2000)
    assert repr(replace(many, labels=list(range(2000)))).startswith("<samples: 2,000 samples, 2,000 labels: 0 1, 1 1, ")
    assert len(repr(replace(many, labels=list(range(2000))))) < 120


def test_one_text_or_a_data_frame_is_no_list_of_samples():
    with pytest.raises(SourceError, match="put it in a list"):
        Samples.of("one text")
    with pytest.raises(SourceError, match="give a column of it"):
        Samples.of(pd.DataFrame({"text": ["a"]}))

import dataclasses

import numpy as np

from cache import Table, as_key_array, read_table, text_key, write_table

TABLE = Table(
    "reviews",
    as_key_array(text_key(word) for word in "abc"),
    ["r.csv:2", "r.csv:3", "r.csv:4"],
    labels=["good", None, "bad"],
    splits=["train", "train", "test"],
)


def test_a_table_survives_writing(tmp_path):
    read = read_table(write_table(tmp_path, TABLE))
    assert np.array_equal(read.keys, TABLE.keys)
    assert (read.name, read.ids, read.labels, read.splits, read.groups) == (
        "reviews", TABLE.ids, TABLE.labels, TABLE.splits, None,
    )  # fmt: skip
    assert read.fingerprint == TABLE.fingerprint


def test_an_edited_data_set_is_another_table(tmp_path):
    paths = {write_table(tmp_path, TABLE), write_table(tmp_path, TABLE)}
    edits = [{"labels": ["good", "good", "bad"]}, {"labels": None}, {"keys": TABLE.keys[::-1]}, {"groups": ["a", "b", "c"]}]
    paths |= {write_table(tmp_path, dataclasses.replace(TABLE, **edit)) for edit in edits}
    assert len(paths) == 5


def test_a_name_cannot_lead_out_of_the_store(tmp_path):
    path = write_table(tmp_path, dataclasses.replace(TABLE, name="../../../etc/passwd"))
    assert path.parent == tmp_path / "tables"

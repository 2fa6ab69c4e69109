import dataclasses

import numpy as np
import pytest

import cache.table_writer
from cache import FeatureStore, StoredTable, Table, TableWriter, as_key_array, read_table, text_key, write_table
from cache.table import read_keys


def rows(start, stop, name="big"):
    numbers = range(start, stop)
    return Table(
        name,
        as_key_array(text_key(str(number)) for number in numbers),
        [f"big.parquet:{number}" for number in numbers],
        labels=[None if number % 5 == 0 else f"class {number % 3}" for number in numbers],
        groups=[f"{number // 4}" for number in numbers],
    )


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(cache.table_writer, "ROWS_AT_ONCE", 10)


@pytest.mark.usefixtures("small_groups")
def test_a_table_in_pieces_is_the_one_that_is_written_at_once(tmp_path):
    with TableWriter(FeatureStore(tmp_path / "streamed"), "big") as writer:
        for start in range(0, 60, 7):
            writer.add(rows(start, min(start + 7, 60)))
        path = writer.finish()
    assert path.name == write_table(tmp_path / "whole", rows(0, 60)).name
    assert read_table(path).labels == rows(0, 60).labels
    assert np.array_equal(read_keys(path), rows(0, 60).keys)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("small_groups")
def test_columns_are_read_from_disk_when_they_are_asked_for(tmp_path):
    store = FeatureStore(tmp_path)
    with TableWriter(store, "big") as writer:
        for start in range(0, 60, 7):
            writer.add(rows(start, min(start + 7, 60)))
        stored, whole = StoredTable(writer.finish()), rows(0, 60)
    assert len(stored) == 60
    assert np.array_equal(stored.keys(), whole.keys)
    assert list(stored.ids) == whole.ids
    assert [stored.ids[row] for row in (59, 0, -1, 31)] == [whole.ids[row] for row in (59, 0, -1, 31)]
    assert list(stored.labels) == whole.labels
    assert stored.labels[5] is None
    assert stored.labels.known.sum() == 48
    assert stored.labels.at(np.array([1, 2, 3])).tolist() == ["class 1", "class 2", "class 0"]
    assert list(stored.groups) == whole.groups
    assert stored.splits is None


def test_a_job_that_fails_leaves_word_of_what_its_features_are_for(tmp_path):
    store = FeatureStore(tmp_path)

    def stop_in_the_middle():
        with TableWriter(store, "big") as writer:
            writer.add(rows(0, 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    (part,) = store.tables()
    assert np.array_equal(read_keys(part), rows(0, 20).keys)
    with TableWriter(store, "big") as writer:  # and the one that gets to the end puts it away
        writer.add(rows(0, 30))
        path = writer.finish()
    assert store.tables() == [path]


def test_parts_are_kept_as_time_and_rows_go_by(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path)
    seconds = [0.0]
    monkeypatch.setattr(cache.table_writer, "ROWS_A_PART", 50)
    with TableWriter(store, "big", clock=lambda: seconds[0]) as writer:
        writer.add(rows(0, 10))
        assert len(store.tables()) == 1  # the first at once
        writer.add(rows(10, 20))
        assert len(store.tables()) == 1
        seconds[0] = 301.0
        writer.add(rows(20, 30))
        assert len(store.tables()) == 2
        writer.add(rows(30, 90))
        assert sorted(len(read_keys(path)) for path in store.tables()) == [10, 20, 60]
        another = write_table(tmp_path, rows(0, 3, name="big part of it"))
        writer.finish()
    assert len(store.tables()) == 2
    assert another.is_file()


def test_a_stream_without_rows_has_no_table(tmp_path):
    store = FeatureStore(tmp_path)
    with TableWriter(store, "big") as writer:
        writer.add(rows(0, 0))
        assert writer.finish() is None
    assert not store.tables()


def test_a_table_changed_in_one_column_is_refused_when_keys_alone_are_read(tmp_path):
    path = write_table(tmp_path, rows(0, 20))
    other = write_table(tmp_path, dataclasses.replace(rows(0, 20), groups=None))
    other.replace(path)
    with pytest.raises(Exception, match="was changed since it was written"):
        read_keys(path)

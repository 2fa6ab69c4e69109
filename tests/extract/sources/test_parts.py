"""The parts of a stream, as other processes read them, hold what the stream holds."""

import importlib.util

import pytest

import extract.sources.urls
from extract import Columns, SourceError, stream_samples
from tests.extract.sources.slices import read
from tests.extract.sources.test_webdataset import samples, write_tar

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cloudpickle") is None, reason="cloudpickle is not installed")


class Together:
    """Reads parts that were sent to another process, the last one first, and puts them in order."""

    def __init__(self, stream):
        import cloudpickle

        sent = [cloudpickle.dumps(part) for part in stream.cut()]
        self.parts = [list(cloudpickle.loads(content)()) for content in reversed(sent)][::-1]

    def __iter__(self):
        return (samples for part in self.parts for samples in part)


def parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number in range(3):
        rows = range(10 * number, 10 * number + 10)
        table = pa.table({"text": [f"text {row}" for row in rows], "label": [f"c{row % 3}" for row in rows]})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=4)
    (folder / "1.parquet").write_bytes(b"PAR1 and nothing else")
    return str(folder / "*.parquet"), Columns(text="text", label="label")


def tar(folder):
    for number in range(3):
        write_tar(folder / f"{number}.tar", samples(10 * number, 10 * number + 10))
    (folder / "0.tar").write_bytes(b"nothing of use" * 100)
    return str(folder / "{0..2}.tar"), Columns(label="cls")


def urls(folder):
    (folder / "list.txt").write_text("".join("\n" if row % 7 == 3 else f"images/{row}.png\n" for row in range(31)))
    return f"urls:{folder / 'list.txt'}", None


def hub(folder):
    import datasets

    def rows(start):
        return datasets.Dataset.from_dict({"text": [f"text {row}" for row in range(start, start + 9)]}).to_iterable_dataset()

    return {"train": rows(0), "test": rows(100)}, None


@pytest.mark.parametrize(("make", "parts"), [(parquet, 3), (tar, 3), (urls, 7), (hub, 2)])
def test_parts_hold_what_the_stream_holds(tmp_path, monkeypatch, make, parts):
    monkeypatch.setattr(extract.sources.urls, "SLICE_SAMPLES", 5)
    source, columns = make(tmp_path)
    together = Together(stream_samples(source, columns))
    assert len(together.parts) == parts
    assert read(together) == read(stream_samples(source, columns))
    assert len(read(together)[1]) == len(set(read(together)[1])) > 10


def test_a_column_that_no_sample_has_is_told_before_parts_are_sent(tmp_path):
    write_tar(tmp_path / "0.tar", samples(0, 3))
    with pytest.raises(SourceError, match=r"0\.tar: no sample has `cap`; their files are `jpg`, `cls`, `json`"):
        stream_samples(str(tmp_path / "0.tar"), Columns(label="cap")).cut()


def test_files_of_which_none_is_parquet_are_told_before_parts_are_sent(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"a\.parquet: not readable as Parquet"):
        stream_samples(str(tmp_path / "a.parquet")).cut()


def test_files_that_are_not_there_are_told_before_any_is_read(tmp_path):
    write_tar(tmp_path / "0.tar", samples(0, 3))
    with pytest.raises(SourceError, match=r"2 of these 3 files are not there, .*1\.tar first$"):
        stream_samples(str(tmp_path / "{0..2}.tar"))

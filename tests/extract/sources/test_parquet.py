import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import extract.sources.parquet
from extract import Columns, SourceError, load_samples, stream_samples
from extract.errors import NoSuchSourceError
from extract.images import resolve
from tests.extract.sources.slices import read

LABELLED = Columns("text", "label")


def write(path, start, stop, **options):
    rows = range(start, stop)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {"text": [f"text {row}" for row in rows], "label": [row % 3 for row in rows], "unused": ["x" * 99] * len(rows)}
    )
    pq.write_table(table, path, **options)
    return path


def test_a_file_comes_in_slices_as_it_comes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.parquet, "SLICE_SAMPLES", 30)
    path = write(tmp_path / "a.parquet", 0, 250, row_group_size=100)
    whole = load_samples(path, LABELLED)
    slices = list(stream_samples(str(path), LABELLED))
    assert max(map(len, slices)) == 30
    assert read(slices) == (whole.inputs, whole.ids, whole.labels, {})


def test_small_row_groups_are_read_together(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.parquet, "SLICE_SAMPLES", 64)
    path = write(tmp_path / "a.parquet", 0, 200, row_group_size=10)
    slices = list(stream_samples(str(path), LABELLED))
    assert [len(part) for part in slices] == [60, 60, 60, 20]
    assert read(slices)[:2] == (load_samples(path, LABELLED).inputs, load_samples(path, LABELLED).ids)


def test_a_slice_has_a_bounded_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.parquet, "SLICE_BYTES", 20_000)
    pq.write_table(pa.table({"text": [f"{row} {os.urandom(500).hex()}" for row in range(200)]}), tmp_path / "a.parquet")
    sizes = [sum(map(len, part.inputs)) for part in stream_samples(str(tmp_path / "a.parquet"))]
    assert len(sizes) > 5
    assert max(sizes) < 30_000


def test_many_files_come_in_the_order_of_their_names(tmp_path):
    for number in range(12):
        write(tmp_path / f"part-{number:05d}.parquet", 10 * number, 10 * number + 10)
    expected = [f"text {row}" for row in range(120)]
    for source in ("part-*.parquet", "part-{00000..00011}.parquet", ""):
        inputs, ids, _, _ = read(stream_samples(str(tmp_path / source), LABELLED))
        assert inputs == expected
        assert ids[10] == "part-00001.parquet:1"


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    write(tmp_path / "en" / "a.parquet", 0, 2)
    write(tmp_path / "fr" / "a.parquet", 2, 4)
    assert read(stream_samples(str(tmp_path), LABELLED))[1] == [
        "en/a.parquet:1",
        "en/a.parquet:2",
        "fr/a.parquet:1",
        "fr/a.parquet:2",
    ]


def test_files_are_read_at_urls(tmp_path):
    import fsspec

    write(tmp_path / "a.parquet", 0, 20)
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/a.parquet", (tmp_path / "a.parquet").read_bytes())
    try:
        inputs, ids, labels, _ = read(stream_samples("memory://bucket/*.parquet", LABELLED))
    finally:
        files.rm("/bucket", recursive=True)
    assert (inputs[19], ids[19], labels[19]) == ("text 19", "a.parquet:20", "1")


def test_pictures_in_parquet_stay_in_arrow_until_their_turn(tmp_path):
    picture = {"bytes": b"some picture", "path": None}
    pq.write_table(pa.table({"image": [picture] * 3}), tmp_path / "a.parquet")
    (part,) = stream_samples(str(tmp_path / "a.parquet"))
    assert resolve(part.inputs[2]) == b"some picture"


def test_a_damaged_row_group_costs_itself_alone(tmp_path):
    path = write(tmp_path / "a.parquet", 0, 300, row_group_size=100, compression="zstd", write_page_checksum=True)
    write(tmp_path / "b.parquet", 300, 310)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    at = chunk.data_page_offset + chunk.total_compressed_size // 2
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    inputs, _, _, faults = read(stream_samples(str(tmp_path), LABELLED))
    assert [text for text in inputs if text] == [f"text {row}" for row in (*range(100), *range(200, 310))]
    ((place, reason),) = faults.items()
    assert place == "a.parquet:row group 1"
    assert "100 rows from 101 on cannot be read" in reason


def test_a_file_that_is_no_parquet_costs_itself_and_not_the_others(tmp_path):
    write(tmp_path / "a.parquet", 0, 10)
    whole = write(tmp_path / "b.parquet", 10, 20)
    whole.write_bytes(whole.read_bytes()[:-30])
    write(tmp_path / "c.parquet", 20, 30)
    inputs, _, _, faults = read(stream_samples(str(tmp_path), LABELLED))
    assert len(inputs) == 21
    assert "not readable as Parquet" in faults["b.parquet"]
    with pytest.raises(SourceError, match="not readable as Parquet"):
        list(stream_samples(str(tmp_path / "b.parquet"), LABELLED))


def test_a_column_that_is_not_there_is_told_with_the_file(tmp_path):
    path = write(tmp_path / "a.parquet", 0, 10)
    with pytest.raises(NoSuchSourceError, match=r"a.parquet: there is no column `lable` .*did you mean `label`"):
        list(stream_samples(str(path), Columns("text", "lable")))


def test_a_source_that_is_not_there_is_told(tmp_path):
    for source in ("none.parquet", "none-*.parquet", "none"):
        with pytest.raises(SourceError, match="none"):
            list(stream_samples(str(tmp_path / source)))

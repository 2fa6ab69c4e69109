import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract import Columns, SourceError, load_samples
from extract.images import ImageFile, ImageText, resolve

LABELLED = Columns("text", "label", "split")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_csv_s_rows_come_with_their_lines(tmp_path):
    path = write(tmp_path / "r.csv", 'text,label,split\n"two\nlines, and a comma",good,train\n\nplain 🎬,bad,TEST\n')
    samples = load_samples(path, LABELLED)
    assert samples.inputs == ("two\nlines, and a comma", "plain 🎬")
    assert samples.ids == ["r.csv:2", "r.csv:5"]
    assert (samples.labels, samples.splits) == (["good", "bad"], ["train", "test"])


def test_words_that_look_like_missing_values_are_texts(tmp_path):
    path = write(tmp_path / "r.csv", "text\nNA\nnull\nNone\n")
    assert load_samples(path).inputs == ("NA", "null", "None")


def test_one_bad_byte_costs_its_row_and_not_the_file(tmp_path):
    path = write(tmp_path / "r.csv", b"text,label\nfine,a\ncaf\xe9,a\nfine too,\xff\n")
    samples = load_samples(path, Columns("text", "label"))
    admitted = samples.admit()
    assert admitted.rows.tolist() == [0]
    assert [s.id for s in admitted.skipped] == ["r.csv:3", "r.csv:4"]
    assert "byte 0xe9" in admitted.skipped[0].reason
    assert admitted.skipped[1].reason == "the label is not valid UTF-8; if the file has another encoding, name it as `encoding`"


def test_another_encoding_can_be_named(tmp_path):
    path = write(tmp_path / "r.csv", b"text\ncaf\xe9\n")
    assert load_samples(path, encoding="latin-1").inputs == ("café",)
    with pytest.raises(SourceError, match="encoding `klingon` is not known"):
        load_samples(path, encoding="klingon")


def test_a_byte_order_mark_is_no_part_of_the_first_column_s_name(tmp_path):
    assert load_samples(write(tmp_path / "r.csv", b"\xef\xbb\xbftext\na\n")).inputs == ("a",)


def test_a_text_of_a_megabyte_is_read(tmp_path):
    assert len(load_samples(write(tmp_path / "r.csv", f"text\n{'word ' * 200_000}\n")).inputs[0]) == 1_000_000


def test_a_row_with_too_many_fields_is_a_fault_and_a_short_one_has_none(tmp_path):
    samples = load_samples(write(tmp_path / "r.csv", "text,label\na,b,c\nd\n"), Columns("text", "label"))
    assert "3 fields where the header has 2" in samples.faults[0]
    assert samples.labels[1] is None


def test_tabs_separate_in_tsv(tmp_path):
    assert load_samples(write(tmp_path / "r.tsv", "text\tlabel\na, b\tc\n"), Columns("text", "label")).labels == ["c"]


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    path = write(tmp_path / "r.csv", "text,label\na,b\n")
    with pytest.raises(
        SourceError, match=r"r.csv: there is no column `lable` \(for label\); did you mean `label`\? columns are `text`"
    ):
        load_samples(path, Columns("text", "lable"))


def test_an_unknown_split_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "r.csv", "text,label,split\na,b,train\nc,d,practice\n")
    with pytest.raises(SourceError, match="r.csv:3: `practice` is not a split"):
        load_samples(path, LABELLED)


@pytest.mark.parametrize(
    ("name", "message"), [("none.csv", "there is no such file"), ("r.xlsx", "not a kind of file"), ("empty.csv", "empty")]
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, name, message):
    write(tmp_path / "r.xlsx", b"")
    write(tmp_path / "empty.csv", b"")
    with pytest.raises(SourceError, match=message) as caught:
        load_samples(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_jsonl_takes_labels_of_any_type_and_bad_lines_are_faults(tmp_path):
    lines = [json.dumps({"text": "a", "label": 1}), "{broken", "", "[1]", json.dumps({"text": "b", "label": None, "more": 1})]
    samples = load_samples(write(tmp_path / "r.jsonl", "\n".join(lines)), Columns("text", "label"))
    assert samples.inputs == ["a", None, None, "b"]
    assert samples.labels == ["1", None, None, None]
    assert samples.ids[3] == "r.jsonl:5"
    assert sorted(samples.faults) == [1, 2]
    assert [s.reason.split(":")[0] for s in samples.admit().skipped] == ["not a JSON object"] * 2


def test_parquet_reads_only_the_columns_asked_for(tmp_path):
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": ["a", None], "label": [1.0, None], "blob": [b"x", b"y"]}), path)
    samples = load_samples(path, Columns("text", "label"))
    assert (samples.inputs, samples.labels, samples.ids) == (["a", None], ["1", None], ["r.parquet:1", "r.parquet:2"])
    with pytest.raises(SourceError, match="not readable as Parquet"):
        load_samples(write(tmp_path / "bad.parquet", b"PAR1 not really"))


def test_a_column_that_stands_twice_is_an_error_and_not_a_guess(tmp_path):
    with pytest.raises(SourceError, match="column `text` twice"):
        load_samples(write(tmp_path / "r.csv", "text,label,text\na,b,c\n"))


def test_a_file_in_another_encoding_than_the_named_one_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="not readable as utf-16"):
        load_samples(write(tmp_path / "r.csv", b"text\na\n"), encoding="utf-16")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_column_of_paths_is_relative_to_the_file(tmp_path, kind):
    import pandas as pd

    frame = pd.DataFrame({"file": ["img/a.png", "/elsewhere/b.png", None], "label": ["x", "y", "x"], "text": ["p", "q", "r"]})
    path = tmp_path / f"r.{kind}"
    writers = {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
    }
    writers[kind]()
    samples = load_samples(path, Columns(None, "label", image="file"))
    assert samples.inputs == [ImageFile(str(tmp_path / "img/a.png")), ImageFile("/elsewhere/b.png"), None]
    both = load_samples(path, Columns("text", image="file"))
    assert both.inputs[0] == ImageText(ImageFile(str(tmp_path / "img/a.png")), "p")


def test_parquet_holds_images_as_bytes_or_as_datasets_writes_them(tmp_path):
    import pandas as pd

    (tmp_path / "b.png").write_bytes(b"second")
    pd.DataFrame({"image": [b"first", None]}).to_parquet(tmp_path / "bytes.parquet")
    structs = [{"bytes": b"first", "path": None}, {"bytes": None, "path": "b.png"}]
    pd.DataFrame({"image": structs}).to_parquet(tmp_path / "structs.parquet")
    assert resolve(load_samples(tmp_path / "bytes.parquet").inputs[0]) == b"first"
    samples = load_samples(tmp_path / "structs.parquet")
    assert [resolve(sample) for sample in samples.inputs] == [b"first", b"second"]


def test_json_holds_images_as_datasets_writes_them(tmp_path):
    (tmp_path / "b.png").write_bytes(b"second")
    path = write(tmp_path / "r.jsonl", '{"image": {"bytes": null, "path": "b.png"}}\n')
    assert resolve(load_samples(path).inputs[0]) == b"second"


def test_a_quote_that_is_never_closed_is_told_with_its_row_and_not_swallowed(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('text,label\ngood,a\n"never closed,b\nbad,a\nworse,b\n')
    with pytest.raises(SourceError, match=r"r\.csv:3: a quote is opened in this row and never closed"):
        load_samples(path, Columns("text", "label"))
    path.write_text('text,label\ngood,a\n"closed\nhere",b')
    assert load_samples(path, Columns("text", "label")).inputs == ("good", "closed\nhere")


@pytest.mark.parametrize("sign", [";", "\t"])
def test_other_separators_are_seen_in_a_header_without_a_comma(tmp_path, sign):
    (tmp_path / "a.csv").write_text(f"text{sign}label\na, b and c{sign}x\n")
    samples = load_samples(tmp_path / "a.csv", Columns("text", "label"))
    assert (samples.inputs[0], samples.labels) == ("a, b and c", ["x"])


def test_utf_16_is_told_for_what_it_is(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,b\n", encoding="utf-16")
    with pytest.raises(SourceError, match="begins as UTF-16 does; name its encoding"):
        load_samples(tmp_path / "a.csv")
    assert list(load_samples(tmp_path / "a.csv", encoding="utf-16").inputs) == ["a"]


def test_a_blank_label_is_none(tmp_path):
    samples = load_samples(write(tmp_path / "r.csv", "text,label\na,x\nb,  \nc,\n"), Columns("text", "label"))
    assert samples.labels == ["x", None, None]


def test_whole_numbers_that_pandas_wrote_beside_an_empty_cell_are_labels_as_in_other_files(tmp_path):
    path = write(tmp_path / "r.csv", "text,label,movie\n1.0,0.0,1.0\nb,,\nc,2.5,0.0\n")
    assert load_samples(path, Columns("text", "label")).labels == ["0", None, "2.5"]
    assert load_samples(path, Columns("text", ("movie",))).labels == ["movie", None, ""]
    assert load_samples(path, Columns("text", "label")).inputs[0] == "1.0"


@pytest.mark.parametrize("name", ["Held-Out", "held_out", "Holdout"])
def test_what_is_held_out_is_test(tmp_path, name):
    path = write(tmp_path / "r.csv", f"text,label,split\na,x,Eval\nb,y,{name}\n")
    assert load_samples(path, LABELLED).splits == ["validation", "test"]

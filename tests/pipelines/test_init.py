import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cache import HeadstartError
from pipelines.config_file import load_config
from pipelines.extract import load_data
from pipelines.guess import guess_columns
from pipelines.init import write_config
from tests.images import encoded, picture, write_image_folder

TEXTS = [f"this is sentence number {number} and it is rather long" for number in range(120)]


def columns(**table):
    return guess_columns(table, "t.csv")


def test_columns_of_0_and_1_are_offered_as_several_labels(tmp_path):
    rows = (f"{text},{n % 2},{n // 2 % 2},{'abc'[n % 3]}\n" for n, text in enumerate(TEXTS))
    (tmp_path / "t.csv").write_text("text,movie,is: good,kind\n" + "".join(rows))
    write_config(tmp_path / "t.csv", tmp_path / "c.yaml", None, None, None)
    assert load_config(tmp_path / "c.yaml").data.label == "movie"
    offered = "# or several labels: label:"
    assert f'{offered} [movie, "is: good"]' in (tmp_path / "c.yaml").read_text()
    write_config(tmp_path / "t.csv", tmp_path / "c.yaml", None, "kind", None, overwrite=True)
    assert offered not in (tmp_path / "c.yaml").read_text()


def test_the_one_column_of_measured_numbers_is_a_label(tmp_path):
    measured = [f"{n / 7:.3f}" for n in range(120)]
    guess = columns(words=TEXTS, price=measured, page=[str(n) for n in range(120)])
    assert (guess.columns.label, guess.regression) == ("price", True)
    assert columns(words=TEXTS, price=measured, weight=measured[::-1]).columns.label is None  # which of them, nobody knows
    assert columns(words=TEXTS, price=measured, kind=["a", "b"] * 60).columns.label == "kind"
    (tmp_path / "t.csv").write_text("words,price\n" + "".join(f"{t},{p}\n" for t, p in zip(TEXTS, measured, strict=True)))
    assert write_config(tmp_path / "t.csv", tmp_path / "c.yaml", None, None, None)["task"] == "regression"
    written = (tmp_path / "c.yaml").read_text()
    assert "label: price  # 120 different numbers from 0 to 17" in written
    assert "task: regression  # the labels are measured numbers" in written
    assert load_config(tmp_path / "c.yaml").kind == "regression"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_the_config_loads_and_reads_the_data(tmp_path, ending):
    table = {"text": TEXTS, "what is it": ["yes", "no: never"] * 60, "split": ["train", "train", "test"] * 40}
    data = tmp_path / "data" / f"my data.{ending}"
    data.parent.mkdir()
    if ending == "parquet":
        pq.write_table(pa.table(table), data)
    elif ending == "jsonl":
        data.write_text(
            "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in zip(*table.values(), strict=True))
        )
    else:
        mark = "," if ending == "csv" else "\t"
        lines = [mark.join(f'"{value}"' for value in row) for row in [tuple(table), *zip(*table.values(), strict=True)]]
        data.write_text("\n".join(lines) + "\n")
    written = write_config(data, tmp_path / "c.yaml", None, None, None)
    config = load_config(tmp_path / "c.yaml")
    samples = load_data(config.data)
    assert (config.data.text, config.data.label, config.data.split) == ("text", "what is it", "split")
    assert written["samples"] == len(samples) == 120
    assert (samples.inputs[5], samples.labels[5], samples.splits[5]) == (TEXTS[5], "no: never", "test")


def test_parquet_files_by_pattern_get_a_config_and_other_streams_the_page_for_theirs(headstart, project, tiny_bert):
    (project / "crawl").mkdir()
    for number in range(3):
        table = {"words": TEXTS, "what": ["yes", "no"] * 60}
        pq.write_table(pa.table(table), project / "crawl" / f"part-{number}.parquet")
    for pattern in ("crawl/*.parquet", "crawl/part-{0..2}.parquet"):
        written = headstart.json("init", pattern, "--force")
        assert (written["config"], written["samples"], written["streams"]) == ("crawl.yaml", 120, True)
        config = load_config(project / "crawl.yaml")
        assert (config.data.text, config.data.label, config.data.streams) == ("words", "what", True)
    assert "after a look at its first 120 samples" in (project / "crawl.yaml").read_text()
    assert headstart.json("extract", "crawl.yaml", "--set", f"backbones=['hf:{tiny_bert}']")["recipes"][0]["samples"] == 360
    assert "the first 120 samples of text" in headstart("init", pattern, "--force").out
    assert "there are no such files" in headstart("init", "nowhere/*.parquet", status=2).err
    for other in ("shard.tar", "shards/{00..99}.tar", "s3://bucket/*.parquet", "*.csv"):
        told = headstart("init", other, status=2).err
        assert f"{other}: `init` looks at" in told
        assert "docs/large-data.md" in told


def test_folders_of_pictures_are_taken_as_they_are(tmp_path):
    write_image_folder(tmp_path / "pictures", 12, splits=("train", "test"))
    written = write_config(tmp_path / "pictures", tmp_path / "c.yaml", None, None, None)
    assert (written["takes"], written["classes"]) == ("image", 2)
    assert load_data(load_config(tmp_path / "c.yaml").data).kind == "image"


def test_a_table_of_bytes_is_one_of_pictures(tmp_path):
    cells = [{"bytes": encoded(picture()), "path": None}] * 20
    pq.write_table(pa.table({"img": cells, "label": ["a", "b"] * 10}), tmp_path / "t.parquet")
    assert write_config(tmp_path / "t.parquet", tmp_path / "c.yaml", None, None, None)["columns"]["image"] == "img"


def test_a_config_that_is_there_is_not_replaced_unasked(headstart, project):
    (project / "reviews.yaml").write_text("mine")
    assert "exists already" in headstart("init", "reviews.csv", status=2).err
    assert (project / "reviews.yaml").read_text() == "mine"
    told = headstart.json("init", "reviews.csv", "--force")
    assert told["config"] == "reviews.yaml"
    assert load_config(project / "reviews.yaml").data.label == "label"
    assert "there is no such file" in headstart("init", "nothing.csv", status=2).err


@pytest.mark.parametrize("name", ["2024-01-02", "2024", "null", "yes"])
def test_a_name_that_yaml_takes_for_something_else_is_quoted(tmp_path, name):
    data = tmp_path / f"{name}.csv"
    data.write_text("text,label\n" + "".join(f"{text},{'ab'[number % 2]}\n" for number, text in enumerate(TEXTS)))
    write_config(data, tmp_path / "c.yaml", None, None, None)
    assert load_config(tmp_path / "c.yaml").name == name


def test_several_labels_are_counted_one_by_one(tmp_path):
    (tmp_path / "t.csv").write_text("text,tags\n" + "".join(f"{t},{('a;b', 'b;c', 'a')[n % 3]}\n" for n, t in enumerate(TEXTS)))
    assert write_config(tmp_path / "t.csv", tmp_path / "c.yaml", None, None, None)["classes"] == 3


@pytest.mark.parametrize(("content", "said"), [("", "the file is empty"), ("text,label\n", "has no rows")])
def test_of_a_file_without_samples_it_says_so(tmp_path, content, said):
    (tmp_path / "t.csv").write_text(content)
    (tmp_path / "mine.yaml").write_text("mine")
    for config in (tmp_path / "c.yaml", tmp_path / "mine.yaml"):
        with pytest.raises(HeadstartError, match=said):
            write_config(tmp_path / "t.csv", config, None, None, None)
    assert not (tmp_path / "c.yaml").exists()
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_lists_and_semicolons_are_understood(headstart, project):
    (project / "tags.jsonl").write_text(
        "\n".join(json.dumps({"text": f"film {n}", "tags": ["a", "b"][: 1 + n % 2]}) for n in range(40))
    )
    found = headstart.json("init", "tags.jsonl")
    assert (found["task"], found["classes"]) == ("multilabel", 2)
    (project / "euro.csv").write_text("text;label\n" + "".join(f"a, film {n};{'xy'[n % 2]}\n" for n in range(40)))
    found = headstart.json("init", "euro.csv")
    assert (found["columns"], found["classes"]) == ({"text": "text", "label": "label"}, 2)


def test_lists_of_names_are_not_taken_apart(headstart, project):
    rows = [{"text": f"film {n}", "tags": ["Sports, Fitness", "News"][: 1 + n % 2]} for n in range(40)]
    (project / "tags.jsonl").write_text("{broken\n" + "\n".join(map(json.dumps, rows)))
    assert headstart.json("init", "tags.jsonl")["classes"] == 2
    assert load_config(project / "tags.yaml").data.multilabel is True
    backbone = load_config(project / "config.yaml").backbones[0].name
    found = headstart.json("train", "tags.yaml", "--set", f"backbones=['{backbone}']", "--set", "heads=[linear]")
    assert found["classes"] == ["News", "Sports, Fitness"]
    assert len(found["extract"]["skipped"]) == 1


def test_an_open_quote_is_told_with_its_own_line(headstart, project):
    rows = [f"film {n},{'xy'[n % 2]}" for n in range(40)]
    rows[20] = '"' + rows[20]
    (project / "t.csv").write_text("text,label\n" + "\n".join(rows))
    assert "t.csv:22: a quote is opened" in headstart("init", "t.csv", status=1).err


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_table_that_is_not_utf_8_is_read_and_its_encoding_written(headstart, project, encoding):
    rows = "".join(f"un très bon film {n},{['négatif', 'positif'][n % 2]}\n" for n in range(40))
    (project / "t.csv").write_bytes(("text,label\n" + rows).encode(encoding))
    told = headstart("init", "t.csv")
    assert f"taken for {encoding}" in " ".join(told.err.split())
    samples = load_data(load_config(project / "t.yaml").data)
    assert (samples.inputs[0], samples.labels[0]) == ("un très bon film 0", "négatif")
    assert (
        headstart.json("init", "t.csv", "--force", "--encoding", "latin-1" if encoding == "cp1252" else encoding)["notes"] == []
    )


def test_a_split_with_a_name_of_its_own_is_told(headstart, project):
    rows = "".join(f"film {n},{'xy'[n % 2]},{['Training', 'Dev', 'Kept'][n % 3]}\n" for n in range(60))
    (project / "t.csv").write_text("text,label,part\n" + rows)
    assert "`part` looks like a split, but `Kept` is none" in headstart.json("init", "t.csv")["notes"][0]
    assert "# split: part" in (project / "t.yaml").read_text()


def test_decimals_with_commas_are_numbers_and_are_told(headstart, project):
    (project / "t.csv").write_text("text;score\n" + "".join(f"film {n};{n // 7},{n % 7}\n" for n in range(60)))
    found = headstart.json("init", "t.csv")
    assert found["task"] == "regression"
    assert "`score` has `0,0`, which training takes for no number: write decimals with a point" in found["notes"][0]


def test_a_label_with_a_single_value_and_blanks_is_a_label(headstart, project):
    (project / "t.csv").write_text("text,label\n" + "".join(f"film {n},{' x'[n % 2]}\n" for n in range(60)))
    assert "training needs two" in headstart("init", "t.csv").out


def test_one_bad_byte_does_not_make_another_encoding_of_a_file(headstart, project):
    rows = "".join(f"un très bon film {n},{['négatif', 'positif'][n % 2]}\n" for n in range(40)).encode()
    (project / "t.csv").write_bytes(b"text,label\n" + rows + b"caf\xe9,positif\n")
    assert headstart.json("init", "t.csv")["encoding"] is None
    (project / "t.csv").write_bytes(b"text,label\n" + b"".join(b"caf\xe9 %d,%d\n" % (n, n % 2) for n in range(40)))
    assert headstart.json("init", "t.csv", "--force")["encoding"] == "cp1252"


def test_lists_that_are_mostly_different_are_labels(headstart, project):
    rows = [{"text": f"film {n}", "label": [name for bit, name in enumerate("abcdef") if n >> bit & 1]} for n in range(1, 60)]
    (project / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = headstart.json("init", "t.jsonl")
    assert (found["columns"]["label"], found["classes"]) == ("label", 6)


def test_a_few_words_among_numbers_are_told_and_those_are_still_numbers(headstart, project):
    rows = "".join(f"film {n},{'n/a' if n == 7 else '' if n == 9 else n / 3}\n" for n in range(60))
    (project / "t.csv").write_text("text,price\n" + rows)
    found = headstart.json("init", "t.csv")
    assert (found["task"], found["columns"]["label"]) == ("regression", "price")
    assert "`price` has `n/a`, which training takes for no number: leave such a cell empty" in found["notes"][0]


def test_labels_that_differ_by_case_or_spaces_are_told(headstart, project):
    labels = ["Billing", "billing ", "Other"]
    (project / "t.csv").write_text("text,label\n" + "".join(f"film {n},{labels[n % 3]}\n" for n in range(60)))
    assert "`Billing`, `billing ` differ by case or spaces alone" in headstart.json("init", "t.csv")["notes"][0]

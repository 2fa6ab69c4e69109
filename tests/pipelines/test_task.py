"""Labels that cannot be learnt are told before anything is extracted."""

import json

import pytest
import yaml

from tests.extract.backbones.checkpoints import save_timm
from tests.images import encoded, picture

COMMANDS = {
    "train": ("train", "config.yaml", "--set", "heads=[{kind: linear}]"),
    "rank": ("rank", "config.yaml"),
    "unfreeze": ("unfreeze", "config.yaml", "--set", "heads=[{kind: linear}]"),
    "compare": ("compare", "config.yaml"),
    "recommend": ("recommend", "config.yaml", "--budget", "1h"),
}


@pytest.fixture
def label(project):
    """Write a column beside the reviews, and have the config name it."""

    def write(make, *rows_of_config):
        lines = (project / "reviews.csv").read_text().splitlines()
        named = [f"{lines[0]},made", *(f"{line},{make(number)}" for number, line in enumerate(lines[1:], 2))]
        (project / "made.csv").write_text("".join(f"{line}\n" for line in named))
        config = (project / "config.yaml").read_text()
        config = config.replace("reviews.csv", "made.csv").replace("label: label", "label: made")
        (project / "config.yaml").write_text("".join((config, *rows_of_config)))

    return write


@pytest.mark.parametrize("command", COMMANDS)
def test_a_column_of_ids_is_no_label(headstart, project, label, command):
    label(lambda number: f"id{number}")
    told = headstart(*COMMANDS[command], status=1).err
    assert "is it a number" in " ".join(told.split())
    assert not list(project.rglob("*.h5"))


@pytest.mark.parametrize("command", ["train", "rank", "unfreeze"])
def test_a_text_is_no_number(headstart, project, label, command):
    label(lambda number: "cheap" if number == 7 else number, "task: regression\n")
    told = headstart(*COMMANDS[command], status=1).err
    assert "made.csv:7: the label `cheap` is no number" in " ".join(told.split())
    assert not list(project.rglob("*.h5"))


def test_what_stands_at_a_sample_that_is_empty_does_not_matter(headstart, project, label):
    label(lambda number: "cheap" if number == 7 else number, "task: regression\n")
    lines = (project / "made.csv").read_text().splitlines()
    lines[6] = "," + lines[6].partition(",")[2]
    (project / "made.csv").write_text("".join(f"{line}\n" for line in lines))
    assert (
        headstart.json("train", "config.yaml", "--set", "heads=[{kind: ridge}]")["extract"]["skipped"][0]["id"] == "made.csv:7"
    )


def test_a_label_of_an_image_that_cannot_be_read_does_not_matter(headstart, project):
    rows = ["image,made\n"]
    for number in range(24):
        if number != 5:
            (project / f"{number}.png").write_bytes(encoded(picture(number)))
        rows.append(f"{number}.png,{'broken' if number == 5 else number / 3}\n")
    (project / "made.csv").write_text("".join(rows))
    save_timm(project / "model", "convnext")
    data = {"path": "made.csv", "image": "image", "label": "made"}
    heads = [{"kind": "ridge"}]
    config = {"name": "sizes", "data": data, "backbones": ["timm:model"], "heads": heads, "task": "regression"}
    (project / "images.yaml").write_text(yaml.safe_dump(config))
    assert [entry["id"] for entry in headstart.json("train", "images.yaml")["extract"]["skipped"]] == ["made.csv:7"]


@pytest.fixture
def streamed(project):
    """Write a Parquet file of two slices, of which a command reads one at a time, with labels made by row."""

    def write(make, rows, **config):
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = [f"a film number {row}" for row in range(rows)]
        pq.write_table(pa.table({"text": texts, "made": [make(row) for row in range(rows)]}), project / "made.parquet")
        data = {"path": "made.parquet", "label": "made", "streaming": True}
        content = yaml.safe_load((project / "config.yaml").read_text()) | {"data": data, "heads": [{"kind": "linear"}]} | config
        (project / "config.yaml").write_text(yaml.safe_dump(content))

    return write


def test_a_text_among_numbers_of_a_stream_is_told_by_its_slice(headstart, project, streamed, monkeypatch):
    monkeypatch.setattr("extract.sources.parquet.SLICE_SAMPLES", 10)
    streamed(lambda row: "cheap" if row == 13 else str(row), 40, task="regression", heads=[{"kind": "ridge"}])
    told = headstart("train", "config.yaml", status=1).err
    assert "made.parquet:14: the label `cheap` is no number" in " ".join(told.split())
    assert len(list(project.rglob("*.h5"))) == 1  # of the slice before


def test_a_stream_s_column_of_ids_is_told_by_its_first_slice(headstart, project, streamed, monkeypatch):
    monkeypatch.setattr("pipelines.task.MANY_LABELS", 30)
    streamed(lambda row: f"id{row}", 40)
    assert "is it a number" in " ".join(headstart("train", "config.yaml", status=1).err.split())
    assert not list(project.rglob("*.h5"))


def test_a_stream_s_missing_column_is_told_before_it_is_read(headstart, project, streamed):
    streamed(lambda row: "a", 40)
    told = headstart("train", "config.yaml", "--set", "data.label=mode", status=2).err
    assert "did you mean `made`" in " ".join(told.split())


def test_many_fractions_as_classes_are_told(headstart, project, label):
    label(lambda number: number % 30 + 0.25)
    told = headstart("train", "config.yaml", "--set", "heads=[{kind: linear}]", "--set", "selection.folds=2")
    assert "if they are measured, say `task: regression`" in " ".join(told.err.split())


def test_files_that_are_not_utf_8_are_told_by_their_encoding(headstart, project):
    lines = [f"caf\xe9 {n},{'ab'[n % 2]}\n" for n in range(40)]
    (project / "reviews.csv").write_bytes("".join(["text,label\n", *lines]).encode("latin-1"))
    config = (project / "config.yaml").read_text().replace(", split: split", "")
    (project / "config.yaml").write_text(config)
    assert "name it as `encoding`" in headstart("train", "config.yaml", status=1).err


@pytest.mark.parametrize(
    ("config", "told", "status"),
    [
        ("task: regression\ncalibrate: temperature\n", "`calibrate` does not go with numbers", 2),
        ("task: regression\nthresholds: f1\n", "`thresholds` does not go with numbers", 2),
        ("thresholds: f1\n", "a threshold is for two classes or for labels, and there are 3 classes", 1),
        ("conformal: 0.999\n", "cannot promise a coverage of 0.999", 1),
        ("selection: {folds: 200}\n", "cannot be split into 200 folds", 1),
    ],
)
def test_what_does_not_go_with_the_labels_is_told_before_anything_is_extracted(headstart, project, label, config, told, status):
    label(lambda number: "abc"[number % 3] if "regression" not in config else number, config)
    assert told in " ".join(headstart("train", "config.yaml", status=status).err.split())
    assert not list(project.rglob("*.h5"))


def test_prediction_sets_are_not_for_several_labels(headstart, project, label):
    label(lambda number: "a;b" if number % 2 else "b", "conformal: 0.9\n")
    config = (project / "config.yaml").read_text().replace("label: made", "label: made, multilabel: ';'")
    (project / "config.yaml").write_text(config)
    assert "`conformal` does not go with several labels" in headstart("train", "config.yaml", status=2).err


def test_a_single_group_is_told_and_few_groups_by_the_share_that_they_make(headstart, project, label):
    config = (project / "config.yaml").read_text().replace("split: split", "group: who")
    (project / "config.yaml").write_text(config)
    reviews = (project / "reviews.csv").read_text().splitlines()
    for groups in (1, 4):
        rows = [f"{line},{number * groups // 120}" for number, line in enumerate(reviews[1:])]
        (project / "reviews.csv").write_text("\n".join([f"{reviews[0]},who", *rows]) + "\n")
        told = headstart("train", "config.yaml", "--set", "selection.folds=3", status=1 if groups == 1 else 0).err
        expected = "are of one group in `who`" if groups == 1 else "(25%), whole groups, were held out"
        assert expected in " ".join(told.split())


def test_a_decimal_comma_is_told(headstart, project, label):
    label(lambda number: f'"{number},5"', "task: regression\n")
    assert "write decimals with a point" in " ".join(headstart(*COMMANDS["rank"], status=1).err.split())


def test_a_text_is_no_list_of_labels(headstart, project, label):
    label(lambda number: '"a, b"' if number % 2 else "b")
    (project / "config.yaml").write_text(
        (project / "config.yaml").read_text().replace("label: made", "label: made, multilabel: true")
    )
    told = " ".join(headstart("train", "config.yaml", status=1).err.split())
    assert "`made` holds no lists of several labels" in told


def test_lists_are_not_taken_apart_at_a_separator(headstart, project):
    rows = [{"text": f"film {n}", "tags": ["Sports, Fitness", "News"][: 1 + n % 2], "split": "train"} for n in range(40)]
    (project / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = (
        (project / "config.yaml").read_text().replace("reviews.csv, label: label", "tags.jsonl, label: tags, multilabel: ','")
    )
    (project / "config.yaml").write_text(config)
    told = " ".join(headstart("train", "config.yaml", status=1).err.split())
    assert "`tags` holds lists, whose names are not to be taken apart; say `multilabel: true`" in told


def test_lists_of_one_name_or_none_are_lists(headstart, project):
    rows = [{"text": f"{['good', 'bad'][n % 2]} film {n}", "tags": [["a"], ["b"], []][n % 3]} for n in range(60)]
    (project / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = (
        (project / "config.yaml")
        .read_text()
        .replace("reviews.csv, label: label, split: split", "tags.jsonl, label: tags, multilabel: true")
    )
    (project / "config.yaml").write_text(config)
    assert headstart.json("train", "config.yaml")["classes"] == ["a", "b"]


def test_an_empty_separator_is_told(headstart, project, label):
    label(lambda number: "a")
    (project / "config.yaml").write_text(
        (project / "config.yaml").read_text().replace("label: made", "label: made, multilabel: ''")
    )
    assert "config.yaml:2: `data`: `multilabel` is empty" in " ".join(headstart("train", "config.yaml", status=2).err.split())


def test_labels_that_differ_by_case_or_spaces_are_told(headstart, project, label):
    label(lambda number: ["Mail", "mail ", "post"][number % 3])
    told = "`Mail`, `mail ` differ by case or spaces alone"
    assert told in " ".join(headstart("train", "config.yaml").err.split())
    assert any(told in note for note in headstart.json("inspect", "config.yaml")["notes"])


def test_two_names_of_one_head_are_tried_once(headstart, project, label):
    label(lambda number: number, "task: regression\n")
    assert headstart.json("train", "config.yaml", "--set", "heads=[linear, ridge]")["trials"] == 1

import csv
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cache import FeatureStore
from pipelines.report import take_excerpt
from tests.extract.backbones.checkpoints import save_timm
from tests.images import encoded, picture


def write_parts(folder, rows, files=3):
    """Write rows, which are mappings, to Parquet files of about the same length."""
    folder.mkdir()
    size = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * size : (number + 1) * size]
        pq.write_table(pa.Table.from_pylist(part), folder / f"part-{number}.parquet", row_group_size=17)


@pytest.fixture
def streamed(project):
    """Put the reviews into Parquet files, beside a config that streams them."""
    with open(project / "reviews.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write_parts(project / "parts", rows)
    config = (project / "config.yaml").read_text()
    (project / "streamed.yaml").write_text(config.replace("path: reviews.csv", "path: 'parts/*.parquet'"))
    return project


def test_a_stream_trains_as_a_file_does(streamed, headstart):
    plain = headstart.json("train", "config.yaml", "--run", "plain")
    again = headstart.json("train", "streamed.yaml", "--run", "streamed")
    assert again["extract"]["recipes"][0]["cached"] == 120  # the same samples, found in the same store
    assert again["samples"] == plain["samples"]
    assert again["test"].keys() == plain["test"].keys()
    assert again["test"]["accuracy"]["value"] == pytest.approx(plain["test"]["accuracy"]["value"])
    ids = pq.read_table(streamed / "streamed" / "test_predictions.parquet")["id"].to_pylist()
    assert ids[0] == "part-0.parquet:1"
    assert len(ids) == again["samples"]["test"]

    assert headstart.json("evaluate", "streamed")["test"]["accuracy"]["value"] == again["test"]["accuracy"]["value"]
    assert headstart.json("evaluate", "streamed", "--split", "train")["samples"] == again["samples"]["development"]
    assert headstart.json("report", "streamed", "--quick")["missing"] == []
    assert headstart.json("inspect", "streamed")["samples"] == 120
    answers = headstart("predict", "streamed", "--file", "parts/part-*.parquet", "--jsonl").out.splitlines()
    assert len(answers) == 120
    assert json.loads(answers[0])["label"] in ("good", "bad")


def test_a_report_on_a_large_stream_shows_a_part_of_it(streamed, headstart, monkeypatch):
    monkeypatch.setattr("pipelines.report.writing.take_excerpt", lambda *given: take_excerpt(*given, most=40))
    headstart("train", "streamed.yaml", "--run", "streamed")
    page = (streamed / "streamed" / "report.html").read_text()
    assert "40 of 120 samples, drawn at random, are looked at" in page
    assert "All 40 samples" in page


def test_a_stream_is_extracted_ranked_and_told_of(streamed, headstart):
    with open(streamed / "parts" / "part-9.parquet", "wb") as file:
        file.write(b"PAR1 nothing")
    first = headstart.json("extract", "streamed.yaml", "--skipped", "skipped.jsonl")
    (recipe,) = first["recipes"]
    assert (recipe["samples"], recipe["extracted"], recipe["skipped"]) == (121, 120, 1)
    assert json.loads((streamed / "skipped.jsonl").read_text())["id"] == "part-9.parquet"
    second = headstart.json("extract", "streamed.yaml")["recipes"][0]
    assert (second["cached"], second["extracted"], second["backbone_loaded"]) == (120, 0, False)
    assert headstart.json("rank", "streamed.yaml")["candidates"][0]["output"].endswith("mean")
    assert "part-9.parquet: not readable as Parquet" in headstart("extract", "streamed.yaml", "--strict", status=1).err


def test_whatever_is_asked_of_a_stream_is_told_in_one_line(streamed, headstart):
    told = headstart("extract", "streamed.yaml", "--set", "data.path=parts/none-*.parquet", status=2).err
    assert "none-*.parquet: there are no such files" in told
    told = headstart("extract", "streamed.yaml", "--set", "data.path=reviews.csv", "--set", "data.streaming=true", status=2).err
    assert "reviews.csv: not a kind of file that is read a slice at a time" in told
    pq.write_table(
        pa.table({"text": ["", " "], "label": ["good", "bad"], "split": ["train", "test"]}), streamed / "empty.parquet"
    )
    told = headstart("train", "streamed.yaml", "--set", "data.path=empty.parquet", "--set", "data.streaming=true", status=1).err
    assert "empty.parquet: none of 2 samples can be used" in told
    told = headstart("extract", "streamed.yaml", "--set", "data.path=gopher://a/b.parquet", status=2).err
    assert "URLs of this kind are not read" in told


@pytest.mark.parametrize("kind", ["hub", "tar", "urls"])
def test_every_kind_of_stream_is_extracted_from_a_config(streamed, headstart, kind):
    changes = {
        "hub": ["data.path=null", "data.hub=parts", "data.streaming=true"],
        "tar": ["data.path=shards/{0..1}.tar", "data.label=cls", "data.split=null"],
        "urls": ["data.path=null", "data.urls=list.txt", "data.label=null", "data.split=null"],
    }[kind]
    (streamed / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(streamed / "shards" / f"{shard}.tar", "w") as archive:
            for number in range(5):
                for ending, content in (("txt", f"a good film {shard} {number}"), ("cls", str(number % 2))):
                    info = tarfile.TarInfo(f"{number}.{ending}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content.encode()))
    (streamed / "list.txt").write_text("here.png\nnone.png\n")
    (streamed / "here.png").write_bytes(encoded(picture()))
    if kind == "urls":
        save_timm(streamed / "resnet")
        changes += ["backbones=['timm:resnet']", "outputs=null"]
    told = headstart.json("extract", "streamed.yaml", *(part for change in changes for part in ("--set", change)))
    (recipe,) = told["recipes"]
    assert (recipe["samples"], recipe["extracted"]) == {"hub": (120, 120), "tar": (10, 10), "urls": (2, 1)}[kind]
    if kind == "urls":
        assert told["skipped"] == [{"id": "list.txt:2", "reason": "there is no such file"}]


MLP = "heads=[{kind: mlp, hidden: [[8]], lr: [0.01, 0.003], max_epochs: 8, block_rows: 20}]"


def test_features_that_do_not_fit_are_trained_on_from_disk(streamed, headstart, monkeypatch):
    whole = headstart.json("train", "streamed.yaml", "--run", "whole", "--set", MLP)
    read = []
    gather = FeatureStore.read
    monkeypatch.setattr(
        FeatureStore, "read", lambda self, recipe, keys, output: read.append(len(keys)) or gather(self, recipe, keys, output)
    )
    stored = headstart.json("train", "streamed.yaml", "--run", "stored", "--set", MLP, "--set", "memory=1kB")
    assert read == [120]  # by the report alone, which looks at a bounded number of samples
    assert stored["trials"] == whole["trials"] == 2
    assert stored["selected"]["validation"] == pytest.approx(whole["selected"]["validation"], abs=0.02)
    assert stored["test"]["accuracy"]["value"] == pytest.approx(whole["test"]["accuracy"]["value"], abs=0.05)
    answers = headstart.json("predict", "stored", "--file", "parts/*.parquet")["predictions"]
    right = [answer["label"] == label for answer, label in zip(answers, ["good", "bad"] * 60, strict=True)]
    assert sum(right) > 90


def test_outputs_stand_side_by_side_on_disk(streamed, headstart):
    changes = ["outputs=[mean, cls]", MLP.replace("kind: mlp", "kind: mlp, outputs: all"), "memory=1kB", "conformal=0.1"]
    told = headstart.json("train", "streamed.yaml", "--run", "run", *(part for change in changes for part in ("--set", change)))
    assert told["selected"]["output"] == "layer3.mean+layer3.cls"
    assert told["failed_trials"] == 0


def test_tokens_that_do_not_fit_are_trained_on_from_disk(streamed, headstart):
    head = "heads=[{kind: attention_pool, max_epochs: 2}]"
    told = headstart.json(
        "train", "streamed.yaml", "--run", "run", "--set", head, "--set", "outputs=[tokens]", "--set", "memory=1kB"
    )
    assert told["failed_trials"] == 0


def test_where_no_head_is_named_some_that_train_from_disk_take_the_place_of_others(streamed, headstart):
    config = streamed / "streamed.yaml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if "heads" not in line and "kind:" not in line) + "\n")
    done = headstart("train", "streamed.yaml", "--run", "run", "--json", "--set", "memory=1kB", "--set", "selection.folds=2")
    told = json.loads(done.out)
    assert "`linear` takes features in memory" in " ".join(done.err.split())
    assert "`mlp` heads are trained on them from disk instead" in " ".join(done.err.split())
    assert told["selected"]["head"] == "mlp"
    assert told["failed_trials"] == 0
    assert headstart.json("predict", "run", "fine")["predictions"][0]["label"] in ("good", "bad")


def test_a_head_that_needs_all_features_in_memory_says_so(streamed, headstart):
    told = headstart("train", "streamed.yaml", "--set", "memory=1kB", status=2).err
    assert "streamed.yaml:5: `linear` takes features in memory, and those of" in told
    assert "heads that train from disk are mlp, attention" in told

"""Images from a folder to a run and its predictions, through the command line."""

import json

import pytest

from pipelines.cli import main
from pipelines.config_file import load_config
from pipelines.errors import UsageError
from tests.extract.backbones.checkpoints import save_clip, save_timm
from tests.images import encoded, picture, write_image_folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_timm(tmp_path / "model", "convnext")
    return tmp_path


def write_config(place, data, **more):
    content = {"data": data, "backbones": ["timm:model"], "heads": [{"kind": "linear", "C": [1.0]}], **more}
    (place / "c.yaml").write_text(json.dumps({"name": "images", **content}))
    return str(place / "c.yaml")


def run(capsys, *arguments):
    status = main([*arguments, "--json"])
    told = capsys.readouterr()
    return status, json.loads(told.out or "null"), told.err


def test_a_folder_of_images_becomes_a_run_that_classifies_files_and_folders(place, capsys):
    write_image_folder(place / "data", 60, splits=("train", "train", "test"))
    (place / "data/train/dark/broken.jpg").write_bytes(b"no picture")
    status, metrics, _ = run(capsys, "train", write_config(place, {"path": "data"}), "--run", "run")
    assert status == 0
    assert metrics["test"]["accuracy"]["value"] > 0.9
    assert [entry["id"] for entry in metrics["extract"]["skipped"]] == ["train/dark/broken.jpg"]

    write_image_folder(place / "new", 4, seed=5)
    (place / "new.csv").write_text("image,label\nnew/bright/000.png,bright\nnew/dark/001.png,dark\n")
    status, answer, _ = run(capsys, "evaluate", "run", "--file", "new.csv")
    assert (status, answer["samples"]) == (0, 2)
    (place / "new.csv").write_text("image,kind\nnew/bright/000.png,bright\n")
    status, _, told = run(capsys, "evaluate", "run", "--file", "new.csv")
    assert status == 2
    assert "there is no column `label` (for label); columns are `image`, `kind`" in " ".join(told.split())
    (place / "broken.png").write_bytes(encoded(picture())[:60])
    status, answer, _ = run(capsys, "predict", "run", "new", str(place / "data/test/dark/005.png"), "broken.png")
    assert status == 0
    told = answer["predictions"]
    assert [entry["label"] for entry in told] == ["bright", "bright", "dark", "dark", "dark", None]
    assert told[0]["input"] == "new/bright/000.png"
    assert "does not decode" in told[5]["reason"]
    again = run(capsys, "predict", "run", "--file", "new")[1]["predictions"]
    assert [entry["label"] for entry in again] == ["bright", "bright", "dark", "dark"]


def test_a_table_of_paths_with_views_is_trained_and_answers_for_the_plain_image(place, capsys):
    write_image_folder(place / "img", 24)
    rows = [f"img/{label}/{number:03d}.png,{label}" for number, label in enumerate(["bright", "dark"] * 12)]
    (place / "t.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    backbone = {"name": "timm:model", "views": {"count": 2, "policy": "randaugment"}}
    config = write_config(place, {"path": "t.csv", "image": "file", "label": "label"}, backbones=[backbone])
    status, metrics, _ = run(capsys, "train", config, "--run", "run")
    assert status == 0
    assert metrics["extract"]["recipes"][0]["extracted"] == 72
    status, answer, _ = run(capsys, "predict", "run", "--file", "t.csv")
    assert [entry["label"] for entry in answer["predictions"]] == ["bright", "dark"] * 12


def test_images_with_texts_go_through_both_towers_of_clip(place, capsys):
    save_clip(place / "clip")
    write_image_folder(place / "img", 24)
    rows = [f"img/{label}/{number:03d}.png,a film,{label}" for number, label in enumerate(["bright", "dark"] * 12)]
    (place / "t.csv").write_text("file,caption,label\n" + "\n".join(rows) + "\n")
    data = {"path": "t.csv", "image": "file", "text": "caption", "label": "label"}
    status, metrics, _ = run(capsys, "train", write_config(place, data, backbones=["hf:clip"]), "--run", "run")
    assert status == 0
    answer = run(capsys, "predict", "run", "--file", "t.csv")[1]
    assert answer["predictions"][0]["input"] == ["img/bright/000.png", "a film"]
    assert metrics["selected"]["validation"]["accuracy"] > 0.5


def test_a_table_still_needs_a_label_column(place, capsys):
    (place / "t.csv").write_text("image\na.png\n")
    status, _, err = run(capsys, "train", write_config(place, {"path": "t.csv"}))
    assert status == 2
    assert "training needs a label column" in err


def test_a_wrong_setting_of_views_is_told_with_its_line(place):
    config = write_config(place, {"path": "d"}, backbones=[{"name": "timm:model", "views": {"count": 2, "sed": 1}}])
    with pytest.raises(UsageError, match="`sed` is not a key here; did you mean `seed`"):
        load_config(place / config)


def test_without_heads_and_outputs_the_means_of_an_image_models_stages_are_tried_too(place, capsys):
    write_image_folder(place / "data", 60, splits=("train", "train", "test"))
    status, metrics, _ = run(capsys, "train", write_config(place, {"path": "data"}, heads=None), "--run", "run")
    assert status == 0
    outputs = metrics["extract"]["recipes"][0]["outputs"]
    assert outputs[0] == "pooled"
    assert len(outputs) > 2
    assert all(output.endswith(".mean") for output in outputs[1:])
    status, answer, _ = run(capsys, "predict", "run", str(place / "data/test/dark"))
    assert status == 0
    assert {entry["label"] for entry in answer["predictions"]} == {"dark"}

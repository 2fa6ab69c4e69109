import json

import numpy as np
import pytest

from extract import extract, load_samples, zero_shot_weights
from tests.extract.backbones.checkpoints import save_open_clip
from tests.images import write_image_folder

CONFIG = """\
name: pictures
data: {{path: pictures}}
backbones: ['open_clip:{model}']
outputs: [normalised]
heads:
  - {{kind: zero_shot{more}}}
selection: {{folds: 2}}
"""


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder with pictures of two classes, a tiny CLIP, and the working directory in it."""
    write_image_folder(tmp_path / "pictures", 12, ("bright_one", "dark"), splits=("train", "test"))
    save_open_clip(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder, capsys, more="", status=0):
    from pipelines.cli import main

    (folder / "config.yaml").write_text(CONFIG.format(model=folder / "model", more=more))
    assert main(["train", "config.yaml", "--json"]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if status == 0 else told.err


def test_a_zero_shot_head_on_images_answers_by_the_classes_names(pictures, capsys):
    found = train(pictures, capsys, ", templates: ['the {} film', 'a {}']")
    uri = f"open_clip:{pictures / 'model'}"
    samples = load_samples(str(pictures / "pictures"))
    weights = zero_shot_weights(uri, ["bright one", "dark"], ["the {} film", "a {}"])
    images = extract(samples, uri, outputs="normalised").array()
    expected = np.array(["bright_one", "dark"])[(images @ weights.T).argmax(axis=1)]
    test = [row for row, split in enumerate(samples.splits) if split == "test"]
    right = np.mean([expected[row] == samples.labels[row] for row in test])
    assert found["test"]["accuracy"]["value"] == pytest.approx(right)
    assert "embeddings" not in found["selected"]["params"]


def test_a_run_of_it_predicts_with_the_same_texts(pictures, capsys):
    from pipelines.cli import main

    run = train(pictures, capsys)["run"]
    picture = next((pictures / "pictures").rglob("*.png"))
    assert main(["predict", run, str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"][0]["probabilities"]
    uri = f"open_clip:{pictures / 'model'}"
    weights = zero_shot_weights(uri, ["bright one", "dark"])
    image = extract(load_samples(str(picture.parent)), uri, outputs="normalised").array()
    every = np.exp(image @ weights.T / 0.01)
    every /= every.sum(axis=1, keepdims=True)
    assert min(np.abs(every[:, 0] - found["bright_one"])) < 1e-4


def test_labels_move_the_texts_where_mix_asks_for_it(pictures, capsys):
    found = train(pictures, capsys, ", mix: [0, 1]")
    assert found["trials"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (", templates: ['a film']", "config.yaml:6: 'a film' has to hold one {}"),
        (", templates: ['a {name}']", "config.yaml:6: 'a {name}' has to hold one {}"),
    ],
)
def test_a_template_without_a_place_for_the_name_is_refused(pictures, capsys, more, message):
    assert message in train(pictures, capsys, more, status=2)


def test_templates_at_other_heads_and_backbones_are_refused(headstart, project):
    text = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(text.replace("C: [0.1, 10]", "templates: ['a {}']"))
    assert "are for heads of `kind: zero_shot`, and this is linear" in headstart("train", "config.yaml", status=2).err
    (project / "config.yaml").write_text(text.replace("kind: linear, C: [0.1, 10]", "kind: zero_shot, templates: ['a {}']"))
    assert "no backbone here has images and texts in one space" in headstart("train", "config.yaml", status=2).err


def test_without_outputs_a_zero_shot_head_takes_the_space_of_texts(pictures, capsys):
    from pipelines.cli import main

    config = CONFIG.format(model=pictures / "model", more="").replace("outputs: [normalised]\n", "")
    (pictures / "config.yaml").write_text(config)
    assert main(["train", "config.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["selected"]["output"] == "normalised"


def test_templates_on_another_output_are_refused(pictures, capsys):
    told = train(pictures, capsys, ", templates: ['a {}'], outputs: pooled", status=2)
    assert "texts are compared with the output `normalised`" in told


def test_a_task_of_several_labels_gives_no_embeddings():
    from types import SimpleNamespace

    from pipelines.class_texts import class_embeddings
    from pipelines.config import Head

    several = SimpleNamespace(kind="multilabel")
    assert class_embeddings(Head(kind="zero_shot"), None, None, ("normalised",), several, "cpu") == {}

import json
import re
from importlib import metadata

import pytest
import yaml
from sklearn.dummy import DummyClassifier

from pipelines.cli import main
from tests.conftest import write_reviews

RECIPE_FIELDS = {"id", "backbone", "samples", "cached", "extracted", "skipped", "backbone_loaded", "seconds"}


def change_config(project, **changes):
    content = yaml.safe_load((project / "config.yaml").read_text())
    (project / "config.yaml").write_text(yaml.safe_dump(content | changes, sort_keys=False))


def test_extract_train_predict_and_look_into_the_cache(process, headstart, project):
    extracted = process.json("extract", "config.yaml")
    (recipe,) = extracted["recipes"]
    assert recipe.keys() >= RECIPE_FIELDS
    assert (recipe["samples"], recipe["cached"], recipe["extracted"], recipe["skipped"]) == (120, 0, 120, 0)
    assert (recipe["backbone"], recipe["backbone_loaded"], extracted["skipped"]) == ("hf:tiny-bert", True, [])

    trained = headstart.json("train", "config.yaml", "--run", "runs/first")
    assert trained["extract"]["recipes"][0]["cached"] == 120
    assert trained["extract"]["recipes"][0]["backbone_loaded"] is False
    assert (trained["run"], trained["trials"]) == ("runs/first", 2)
    assert trained["selected"].keys() >= {"head", "params", "backbone", "output", "validation"}
    assert trained["selected"]["output"] == "layer3.mean"
    assert 0.6 < trained["selected"]["validation"]["accuracy"] <= 1
    assert trained["test"]["accuracy"].keys() == {"value", "low", "high"}
    assert trained["seconds"].keys() >= {"extract", "sweep", "total"}
    run = project / "runs" / "first"
    assert {file.name for file in run.iterdir()} == {
        "config.yaml", "environment.json", "trials.parquet", "metrics.json", "test_predictions.parquet", "skipped.jsonl",
        "head", "answers.json", "figures", "report.html",
    }  # fmt: skip
    assert json.loads((run / "metrics.json").read_text()) == trained

    predicted = process.json("predict", "runs/first", "good great loved", "bad awful hated", " ")["predictions"]
    assert [entry["label"] for entry in predicted] == ["good", "bad", None]
    assert predicted[0]["probabilities"].keys() == {"good", "bad"}
    assert sum(predicted[0]["probabilities"].values()) == pytest.approx(1)
    assert predicted[2]["reason"] == "empty text"

    (listed,) = headstart.json("cache", "ls")["recipes"]
    assert (listed["id"], listed["backbone"], listed["rows"]) == (recipe["id"], "hf:tiny-bert", 122)
    assert listed["bytes"] > 122 * 32 * 4
    shown = headstart.json("cache", "show", recipe["id"][:8])
    assert shown["recipe"]["precision"] == "float32"
    assert shown["outputs"] == [{"name": "layer3.mean", "rows": 122, "width": 32}]


def test_two_configs_over_the_same_texts_extract_once(headstart, project):
    (project / "length.yaml").write_text((project / "config.yaml").read_text().replace("label: label", "label: length"))
    assert headstart.json("extract", "config.yaml")["recipes"][0]["extracted"] == 120
    trained = headstart.json("train", "length.yaml")
    assert trained["extract"]["recipes"][0]["extracted"] == 0
    assert sorted(trained["classes"]) == ["long", "short"]


def test_people_get_tables_and_progress_goes_to_standard_error(headstart):
    done = headstart("train", "config.yaml")
    assert "accuracy" in done.out
    assert "run: runs/reviews-" in done.out
    assert "120 to extract" in done.err
    assert "extracting" in done.err


class Foreign(DummyClassifier):
    """As another library might have it."""


def test_a_run_with_an_estimator_that_cannot_be_read_back_is_kept(headstart, project):
    told = headstart("train", "config.yaml", "--run", "here", "--set", "heads=[tests.pipelines.test_cli.Foreign]")
    assert "Foreign holds tests.pipelines.test_cli.Foreign, which are not read back" in " ".join(told.err.split())
    assert (project / "here" / "metrics.json").is_file()
    assert "its head was not saved: Foreign holds" in headstart("predict", "here", "good", status=1).err


def test_copies_are_not_said_to_have_been_there(headstart, project):
    path = project / "reviews.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, *lines[1:4]]))
    told = " ".join(headstart("extract", "config.yaml").err.split())
    assert "0 found in cache, 120 to extract with hf:tiny-bert (3 more are copies of these)" in told
    assert "123 found in cache, 0 to extract with hf:tiny-bert" in " ".join(headstart("extract", "config.yaml").err.split())


def test_predictions_of_a_file_of_texts(headstart, project):
    run = headstart.json("train", "config.yaml")["run"]
    (project / "new.txt").write_text("good great loved\n\nbad awful hated\n")
    labels = [entry["label"] for entry in headstart.json("predict", run, "--file", "new.txt")["predictions"]]
    assert labels == ["good", None, "bad"]
    predicted = headstart.json("predict", run, "--file", "reviews.csv")["predictions"]
    assert len(predicted) == 120
    assert "probability" in headstart("predict", run, "good great loved").out


def test_a_head_refuses_features_of_another_recipe(headstart, project):
    run = headstart.json("train", "config.yaml")["run"]
    head = project / run / "head" / "head.json"
    description = json.loads(head.read_text())
    description["expects"]["backbone"]["max_length"] = 7
    head.write_text(json.dumps(description))
    failed = headstart("predict", run, "good", status=1)
    assert "its head expects features of recipe" in failed.err
    assert failed.out == ""


def test_bad_rows_cost_themselves_and_strict_makes_them_an_error(headstart, project):
    with open(project / "reviews.csv", "ab") as file:
        file.write(b",good,short,train\ncaf\xe9,good,short,train\ngood " + b"word " * 200_000 + b",good,long,train\n")
        file.write("🎬🍿 good,good,short,train\n".encode())
    result = headstart.json("train", "config.yaml")
    assert result["extract"]["recipes"][0]["skipped"] == 2
    assert [entry["id"] for entry in result["extract"]["skipped"]] == ["reviews.csv:122", "reviews.csv:123"]
    assert "empty text" in result["extract"]["skipped"][0]["reason"]
    assert len((project / result["run"] / "skipped.jsonl").read_text().splitlines()) == 2
    failed = headstart("extract", "config.yaml", "--strict", status=1)
    assert "reviews.csv:122: empty text (and 1 more)" in failed.err


def test_unlabelled_rare_and_unseen_classes_are_told_and_not_fatal(headstart, project):
    with open(project / "reviews.csv", "a") as file:
        file.write("no label here,,short,train\na class of its own,lonely,short,train\nnever seen,novel,short,test\n")
    done = headstart("train", "config.yaml", "--json")
    result = json.loads(done.out)
    assert result["samples"] == {"development": 97, "test": 25}
    assert result["classes"] == ["bad", "good", "lonely", "novel"]
    assert result["test"]["accuracy"]["value"] < 1
    notes = " ".join(result["notes"])
    assert "1 sample has no label" in notes
    assert "class `lonely` has a single training sample" in notes
    assert "class `novel` has test samples and no training sample" in notes
    assert all(note in " ".join(done.err.split()) for note in result["notes"])
    predicted = headstart.json("predict", result["run"], "good great loved")["predictions"]
    assert predicted[0]["probabilities"].keys() == {"bad", "good", "lonely"}


def test_without_a_test_split_a_part_is_held_out_and_told(headstart, project):
    result = headstart.json("train", "config.yaml", "--set", "data.split=null")
    assert result["samples"] == {"development": 96, "test": 24}
    assert "held out as test" in result["notes"][0]


def test_a_validation_split_is_used_instead_of_folds(headstart, project):
    content = (project / "reviews.csv").read_text().replace(",short,train", ",short,validation")
    (project / "reviews.csv").write_text(content)
    result = headstart.json("train", "config.yaml")
    import pyarrow.parquet as pq

    trials = pq.read_table(project / result["run"] / "trials.parquet").to_pandas()
    assert (trials["accuracy_std"] == 0).all()


def test_any_scikit_learn_classifier_and_several_outputs_are_tried(headstart, project):
    heads = [
        {"kind": "sklearn.discriminant_analysis.LinearDiscriminantAnalysis", "solver": "lsqr", "shrinkage": [0.1, 0.5]},
        {"kind": "sklearn.svm.LinearSVC", "loss": "hinge", "dual": [False, True]},
        {"kind": "mlp", "hidden": [[16]], "max_epochs": 3},
    ]
    change_config(project, heads=heads, outputs=[{"layer": "all", "pooling": ["mean", "cls"]}])
    result = headstart.json("train", "config.yaml")
    assert result["trials"] == 8 * 5
    assert result["failed_trials"] == 8
    assert headstart.json("predict", result["run"], "good great loved")["predictions"][0]["label"] == "good"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train"], 2, "Missing argument 'CONFIG'"),
        (["trian"], 2, "No such command 'trian'"),
        (["train", "config.yaml", "--stroe", "x"], 2, "No such option: --stroe"),
        (["train", "none.yaml"], 2, "none.yaml: cannot be read"),
        (
            ["train", "config.yaml", "--set", "heads.0.C=[1, -1]"],
            2,
            ": `C` of linear must be a float in the range",
        ),
        (["train", "config.yaml", "--set", "heads.0.C={linear: [-1, 1, 3]}"], 2, "`C` of linear must be a float in the range"),
        (["train", "config.yaml", "--set", "heads.0.c=3"], 2, "--set heads.0.c=3: `c` is not a parameter of linear"),
        (["train", "config.yaml", "--set", "heads.0.kind=liner"], 2, "--set heads.0.kind=liner: `liner` is no kind of head"),
        (
            ["train", "config.yaml", "--set", "heads.0.C={log: [0, 1, 3]}"],
            2,
            "--set heads.0.C={log: [0, 1, 3]}: `C` cannot be spread",
        ),
        (["train", "config.yaml", "--set", "data.label=null"], 2, "config.yaml:2: training needs a label column"),
        (["train", "config.yaml", "--set", "data.label=lable"], 2, "no column `lable` (for label); did you mean `label`"),
        (["train", "config.yaml", "--set", "data.path=none.csv"], 2, "none.csv: there is no such file"),
        (["train", "config.yaml", "--set", "data.path=empty.csv"], 2, "config.yaml:2: "),
        (["train", "config.yaml", "--set", "data.label=text"], 1, "different values in 96 training samples"),
        (["train", "config.yaml", "--set", "backbones.0=no-such-model"], 2, "backbone `no-such-model` is not known"),
        (["train", "config.yaml", "--run", "."], 2, "exists and is not a run"),
        (["extract", "config.yaml", "--store", "."], 1, "not a feature store"),
        (["predict", "nowhere", "text"], 2, "nowhere: is not a run folder"),
        (["cache", "show", "zz", "--store", "nowhere"], 2, "nowhere: there is no such store"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_the_right_status(headstart, project, arguments, status, message):
    (project / "empty.csv").touch()
    failed = headstart(*arguments, status=status)
    (line,) = failed.err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert message in line
    assert "Traceback" not in failed.err
    assert failed.out == ""


def test_more_folds_than_samples_are_told_with_the_config_s_line_and_no_bar_is_begun(headstart, project):
    change_config(project, selection={"folds": 1000})
    failed = headstart("train", "config.yaml", status=1)
    told = failed.err.strip().splitlines()[-1]
    assert re.match(r"error: config.yaml:\d+: trials cannot be validated: 96 samples cannot be split into 1000 folds", told)
    assert "trying heads" not in failed.err


def test_debug_shows_the_traceback(headstart):
    told = headstart("--debug", "train", "none.yaml", status=2).err
    assert "Traceback" in told
    assert told.splitlines()[-1].startswith("error: none.yaml: cannot be read")


def test_help_needs_no_heavy_library(headstart):
    import subprocess
    import sys

    program = (
        "import sys; from pipelines.cli import main; main(['--help'])\n"
        "print([n for n in ('torch', 'numpy', 'sklearn', 'pydantic', 'h5py') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "extract" in done.stdout


def test_the_cache_is_listed_without_torch_or_scikit_learn(headstart, project):
    import subprocess
    import sys

    headstart("extract", "config.yaml")
    program = (
        "import sys; from pipelines.cli import main; main(['cache', 'ls', '--json'])\n"
        "print([n for n in ('torch', 'sklearn', 'transformers', 'h5py', 'fsspec', 's3fs') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=project)
    assert done.stdout.strip().endswith("[]")


def test_doctor_tells_what_would_be_used(headstart):
    found = headstart.json("doctor")
    assert found["problems"] == []
    assert found["device"] in ("cpu", "cuda", "mps")
    assert found["backbones"][0]["name"] == "all-MiniLM-L6-v2"
    assert "nothing is missing" in headstart("doctor").out


def test_a_run_is_replaced_whole_and_nothing_half_written_stays(headstart, project):
    headstart("train", "config.yaml", "--run", "runs/r")
    (project / "runs" / "r" / "old").touch()
    headstart("train", "config.yaml", "--run", "runs/r")
    assert [folder.name for folder in (project / "runs").iterdir()] == ["r"]
    assert not (project / "runs" / "r" / "old").exists()


def test_an_edited_csv_extracts_only_its_new_rows(headstart, project):
    headstart("extract", "config.yaml")
    write_reviews(project / "reviews.csv", 220)
    recipe = headstart.json("extract", "config.yaml")["recipes"][0]
    assert recipe["samples"] == 220
    assert recipe["cached"] + recipe["extracted"] == 220


@pytest.mark.slow
def test_ctrl_c_says_in_one_line_that_nothing_is_lost(ctrl_c_reaches_children, headstart, project):
    import os
    import signal
    import subprocess
    import sys
    import time

    with open(project / "reviews.csv", "a") as file:
        file.writelines(f"{'word ' * 50} {number},good,long,train\n" for number in range(20_000))
    command = [sys.executable, "-m", "pipelines.cli", "extract", "config.yaml", "--set", "loop.budget=64"]  # a text at a time
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    while not list(project.glob("features/recipes/*/shards/*.h5")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.strip().splitlines()[-1].startswith("error: stopped; what was extracted is in the store")


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == ["headstart", metadata.version("headstart")]


def test_extract_writes_what_it_skipped_where_it_is_asked(project, capsys):
    with open(project / "reviews.csv", "a") as file:
        file.write(",good,short,train\n" * 7)
    assert main(["extract", "config.yaml", "--skipped", "left-out.jsonl"]) == 0
    entries = [json.loads(line) for line in (project / "left-out.jsonl").read_text().splitlines()]
    assert [(entry["row"], entry["reason"]) for entry in entries] == [(120 + n, "empty text") for n in range(7)]
    assert "skipped 2 more; a run's skipped.jsonl, and `extract --skipped FILE`, list all" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["extract", "config.yaml", "--skipped", "no/such/folder.jsonl"]) == 1


def test_a_file_with_a_header_alone_is_told_to_hold_nothing(project, capsys):
    (project / "reviews.csv").write_text("text,label,split\n")
    assert main(["extract", "config.yaml"]) == 0
    assert "holds no samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"), [("extract", "what was extracted is in the store"), ("cache", "error: stopped\n")]
)
def test_what_ctrl_c_leaves_behind_is_told_for_the_command_it_stopped(command, told, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.cli.app", interrupt)
    assert main([command]) == 130
    assert told in capsys.readouterr().err


def test_lists_in_a_label_column_are_several_labels(headstart, project):
    rows = [{"text": f"good film {n} {'plot' * (n % 2)}", "tags": ["a", "b"][: 1 + n % 2]} for n in range(40)]
    (project / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    change_config(project, data={"path": "tags.jsonl", "text": "text", "label": "tags"})
    told = headstart("train", "config.yaml", status=1).err
    assert "config.yaml:" in told
    assert "say so with `multilabel: true`" in told
    found = headstart.json("train", "config.yaml", "--set", "data.multilabel=true")
    assert found["classes"] == ["a", "b"]


def test_test_samples_that_are_also_trained_on_are_told(headstart, project):
    lines = (project / "reviews.csv").read_text().splitlines()
    text, label, length, _ = lines[2].rsplit(",", 3)
    with open(project / "reviews.csv", "a") as file:
        file.write(f"{text},{label},{length},test\n")
    assert "1 of 25 test samples is also among those to train on" in " ".join(headstart("train", "config.yaml").err.split())


def test_a_device_that_is_not_here_is_told_before_anything_runs(headstart, project, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "`device`: string should match pattern" in headstart("extract", "config.yaml", "--set", "device=gpu", status=2).err
    told = headstart("extract", "config.yaml", "--set", "device=cuda", status=2).err
    assert "--set device=cuda: device `cuda` cannot be used" in told
    assert not (project / "features").exists()


def test_several_backbones_are_told_apart(headstart, project):
    uri = f"hf:{_backbone(project)}"
    change_config(project, backbones=[uri, {"name": uri, "max_length": 8}])
    assert "max_length 8" in headstart("train", "config.yaml").out
    metrics = json.loads(next((project / "runs").glob("*/metrics.json")).read_text())
    assert [recipe["settings"] for recipe in metrics["extract"]["recipes"]] == ["", "max_length 8"]


def _backbone(project):
    return yaml.safe_load((project / "config.yaml").read_text())["backbones"][0].removeprefix("hf:")


def test_what_is_wrong_with_a_later_backbone_is_told_before_the_first_runs(headstart, project):
    change_config(project, backbones=[f"hf:{_backbone(project)}", {"name": f"hf:{_backbone(project)}", "mean": [0.5, 0.5]}])
    told = headstart("extract", "config.yaml", status=2).err
    assert "has to be three numbers" in told
    assert "config.yaml:" in told
    assert not (project / "features").exists()


def test_a_missing_file_of_data_is_told_with_the_config_s_line(headstart, project):
    told = headstart("extract", "config.yaml", "--set", "data.path=nowhere", status=2).err
    assert "config.yaml:2: " in told
    assert "there is no such file or folder" in told

import json

import pytest
import yaml

from tests.conftest import write_reviews


def test_the_runs_own_test_samples_give_the_runs_own_figures(headstart):
    trained = headstart.json("train", "config.yaml", "--run", "run")
    again = headstart.json("evaluate", "run")
    assert again["samples"] == trained["samples"]["test"]
    assert again["confusion"] == trained["confusion"]
    for name, estimate in trained["test"].items():
        assert again["test"][name] == pytest.approx(estimate)
    assert "95% interval" in headstart("evaluate", "run").out


def test_new_labelled_samples_are_scored_and_unknown_classes_count_as_mistakes(headstart, project):
    headstart("train", "config.yaml", "--run", "run")
    write_reviews(project / "new.csv", 40, seed=9)
    found = headstart.json("evaluate", "run", "--file", "new.csv")
    assert found["samples"] == 40
    assert found["test"]["accuracy"]["value"] > 0.9
    assert headstart.json("evaluate", "run", "--file", "new.csv", "--split", "test")["samples"] == 8
    with open(project / "new.csv", "a") as file:
        file.write("good great,strange,long,test\n,good,long,test\ngreat,,long,test\n")
    found = headstart.json("evaluate", "run", "--file", "new.csv")
    assert found["samples"] == 41
    assert found["classes"] == ["bad", "good", "strange"]
    assert [entry["reason"] for entry in found["skipped"]] == ["empty text"]
    assert found["notes"][0] == "1 of 43 samples has no label and takes no part"
    assert "not learnt" in found["notes"][1]


def test_several_labels_keep_the_order_that_was_learnt(headstart, project):
    content = yaml.safe_load((project / "config.yaml").read_text())
    rows = [("good great", "pos;loud"), ("bad awful", "neg"), ("loved it", "pos"), ("hated it", "neg;loud")] * 15
    (project / "several.csv").write_text(
        "text,label\n" + "".join(f"{text} {n},{label}\n" for n, (text, label) in enumerate(rows))
    )
    content["data"] = {"path": "several.csv", "label": "label", "multilabel": ";"}
    (project / "several.yaml").write_text(yaml.safe_dump(content))
    trained = headstart.json("train", "several.yaml", "--run", "run")
    assert headstart.json("evaluate", "run")["test"]["f1_macro"] == pytest.approx(trained["test"]["f1_macro"])
    (project / "some.csv").write_text("text,label\ngood great,pos\nloved it,pos;new\n")
    found = headstart.json("evaluate", "run", "--file", "some.csv")
    assert found["classes"] == ["loud", "neg", "pos", "new"]


def test_numbers_are_scored(headstart, project):
    content = yaml.safe_load((project / "config.yaml").read_text())
    content |= {"task": "regression", "heads": [{"kind": "ridge"}]}
    (project / "n.csv").write_text("text,label\n" + "".join(f"{'good ' * (n % 5 + 1)},{n % 5}\n" for n in range(60)))
    content["data"] = {"path": "n.csv", "label": "label"}
    (project / "numbers.yaml").write_text(yaml.safe_dump(content))
    trained = headstart.json("train", "numbers.yaml", "--run", "run")
    assert headstart.json("evaluate", "run")["test"]["r2"] == pytest.approx(trained["test"]["r2"])


def test_what_cannot_be_evaluated_is_one_line(headstart, project):
    headstart("train", "config.yaml", "--run", "run")
    assert (
        "no labelled sample is in split `other`; splits are" in headstart("evaluate", "run", "--split", "other", status=2).err
    )
    (project / "bare.csv").write_text("text,split\ngood,test\n")
    assert "there is no column `label`" in headstart("evaluate", "run", "--file", "bare.csv", status=2).err
    assert "is not a run folder" in headstart("evaluate", ".", status=2).err


def test_the_tested_samples_stay_the_same_when_the_data_grow(headstart, project):
    content = yaml.safe_load((project / "config.yaml").read_text())
    content["data"] = {"path": "reviews.csv", "label": "label"}
    (project / "no-split.yaml").write_text(yaml.safe_dump(content))
    trained = headstart.json("train", "no-split.yaml", "--run", "run")
    with open(project / "reviews.csv", "a") as file:
        file.write("".join(f"good great {number},good,long,train\n" for number in range(60)))
    again = headstart.json("evaluate", "run")
    assert again["samples"] == trained["samples"]["test"]
    assert again["test"]["accuracy"] == pytest.approx(trained["test"]["accuracy"])
    lines = (project / "reviews.csv").read_text().splitlines()[:40]
    (project / "reviews.csv").write_text("\n".join(lines) + "\n")
    assert "test samples are not in" in headstart("evaluate", "run", status=1).err


def test_a_label_that_was_not_learnt_is_missed_and_never_said_with_thresholds_too(headstart, project):
    content = yaml.safe_load((project / "config.yaml").read_text())
    rows = [("good great", "pos;loud"), ("bad awful", "neg"), ("loved it", "pos"), ("hated it", "neg;loud")] * 15
    (project / "s.csv").write_text("text,label\n" + "".join(f"{text} {n},{label}\n" for n, (text, label) in enumerate(rows)))
    content |= {"data": {"path": "s.csv", "label": "label", "multilabel": ";"}, "thresholds": "f1", "calibrate": "temperature"}
    (project / "s.yaml").write_text(yaml.safe_dump(content))
    headstart("train", "s.yaml", "--run", "run")
    (project / "some.csv").write_text("text,label\ngood great,pos\nloved it,pos;new\n")
    assert headstart.json("evaluate", "run", "--file", "some.csv")["classes"] == ["loud", "neg", "pos", "new"]


def test_a_run_that_learnt_whole_numbers_with_fractions_still_knows_them(headstart, project):
    (project / "reviews.csv").write_text(
        (project / "reviews.csv").read_text().replace(",good,", ",1.0,").replace(",bad,", ",0.0,")
    )
    headstart("train", "config.yaml", "--run", "run")
    expected = headstart.json("evaluate", "run")["test"]
    answers = json.loads((project / "run/answers.json").read_text())
    assert answers["names"] == ["0", "1"]
    answers["names"] = ["0.0", "1.0"]  # as earlier versions read them
    (project / "run/answers.json").write_text(json.dumps(answers))
    head = (project / "run/head/head.json").read_text()
    (project / "run/head/head.json").write_text(head.replace('"0"', '"0.0"').replace('"1"', '"1.0"'))
    assert headstart.json("evaluate", "run")["test"] == expected


def test_splits_have_their_other_names_and_an_encoding_is_of_a_file(headstart, project):
    headstart("train", "config.yaml", "--run", "run")
    expected = headstart.json("evaluate", "run", "--split", "test")
    assert headstart.json("evaluate", "run", "--split", "Testing") == expected
    assert "--encoding is of a file" in headstart("evaluate", "run", "--encoding", "latin-1", status=2).err
    assert "--encoding is of a file" in headstart("predict", "run", "a", "--encoding", "latin-1", status=2).err


def test_samples_without_a_label_are_told(headstart, project):
    headstart("train", "config.yaml", "--run", "run")
    (project / "new.csv").write_text("text,label,split\ngood great,good,test\nbad,,test\n")
    found = headstart.json("evaluate", "run", "--file", "new.csv")
    assert (found["samples"], found["notes"]) == (1, ["1 of 2 samples has no label and takes no part"])

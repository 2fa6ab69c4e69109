import base64
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from extract import ImageFile
from pipelines.report.sample_map import make_map
from tests.pipelines.report.conftest import QUICK, make_record, make_subject


def data_of(made):
    return json.loads(made.json)


def column(data, key):
    found = next(entry for entry in data["columns"] if entry["key"] == key)
    codes = np.frombuffer(base64.b64decode(found["codes"]), "<u2")
    return np.array(found["names"])[codes]


def test_test_samples_have_the_run_s_answers_and_others_those_that_were_held_out(hostile):
    data = data_of(make_map(*hostile, QUICK))
    split, answer, label = (column(data, key) for key in ("split", "answer", "label"))
    assert data["count"] == len(split) == len(data["texts"]) == len(data["ids"]) == 48
    assert set(label) == {"<b>a</b>", "b & c"}
    assert (answer[split == "test"] == "wrong").sum() == 4
    assert (answer[split == "train"] == "right").mean() > 0.9  # the clouds are far apart
    assert max(map(len, data["texts"])) == 401


def test_without_an_inspection_only_test_samples_have_answers():
    subject = make_subject([f"text {n}" for n in range(60)])
    data = data_of(make_map(make_record(subject), subject, None, QUICK))
    assert set(column(data, "answer")[column(data, "split") == "train"]) == {"—"}
    assert "quality" not in {entry["key"] for entry in data["columns"]}


def test_of_more_samples_than_the_map_holds_the_test_split_comes_first():
    subject = make_subject([f"text {n}" for n in range(300)])
    made = make_map(make_record(subject), subject, None, dataclasses.replace(QUICK, points=120))
    split = column(data_of(made), "split")
    assert (split == "test").sum() == 100
    assert len(split) == 120
    assert made.lead.startswith("120 of 300 samples")


def test_images_have_small_pictures(tmp_path):
    inputs = []
    for number in range(12):
        Image.new("RGB", (40, 40), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
        inputs.append(ImageFile(str(tmp_path / f"{number}.png")))
    subject = make_subject(inputs)
    made = make_map(make_record(subject), subject, None, QUICK)
    assert len(data_of(made)["pictures"]) == 12
    assert str(tmp_path) not in made.json
    assert made.caption.startswith("12 samples have a picture")


@pytest.mark.parametrize("kind", ["regression", "multilabel"])
def test_numbers_are_coloured_by_a_ramp_and_several_labels_by_their_names(kind):
    subject = make_subject([f"text {n}" for n in range(30)])
    if kind == "regression":
        samples = dataclasses.replace(subject.samples, labels=[str(n) for n in range(30)])
        subject = dataclasses.replace(subject, samples=samples, task=None)
    else:
        table = np.stack([np.ones(30, int), np.arange(30) % 2], axis=1)
        subject = dataclasses.replace(
            subject, task=dataclasses.replace(subject.task, kind=kind, labels=table, names=("x", "y"))
        )
    record = dataclasses.replace(make_record(make_subject([""] * 30)), kind=kind)
    predicted = [float(n) for n in range(0, 30, 3)] if kind == "regression" else [["x"]] * 10
    answers = dataclasses.replace(record.predictions, predicted=predicted, probabilities=None)
    record = dataclasses.replace(record, predictions=answers)
    data = data_of(make_map(record, subject, None, QUICK))
    if kind == "regression":
        assert [entry["kind"] for entry in data["columns"]][:3] == ["number"] * 3
        assert data["columns"][0]["to"] == 29
        answered = column(data, "split") == "test"
        for entry, known in zip(data["columns"][:3], (np.ones(30, bool), answered, answered), strict=True):
            shares = np.frombuffer(base64.b64decode(entry["values"]), "<u2")
            assert ((shares != 65535) == known).all()
            if entry["key"] != "error":  # a third of the labels, and as many answers, in the samples' own order
                order = [float(name.partition(":")[2]) for name in np.array(data["ids"])[known]]
                assert np.allclose(shares[known] / 65534 * (entry["to"] - entry["from"]) + entry["from"], order, atol=1e-3)
    else:
        tested = column(data, "split") == "test"
        right = column(data, "answer")[tested] == "right"
        assert set(column(data, "label")) == {"x", "x, y"}
        assert (right == (column(data, "label")[tested] == "x")).all()


def test_a_class_may_be_named_none():
    subject = make_subject([f"text {n}" for n in range(60)])
    record = make_record(subject)

    def rename(names):
        return ["none" if name == "b & c" else name for name in names]

    subject = dataclasses.replace(subject, samples=dataclasses.replace(subject.samples, labels=rename(subject.samples.labels)))
    answers = record.predictions
    answers = dataclasses.replace(
        answers, labels=rename(answers.labels), predicted=rename(answers.predicted), classes=rename(answers.classes)
    )
    data = data_of(make_map(dataclasses.replace(record, predictions=answers), subject, None, QUICK))
    tested, answer, predicted = column(data, "split") == "test", column(data, "answer"), column(data, "predicted")
    assert (answer[tested] == "wrong").sum() == 5
    assert (answer[tested] == "right").sum() == 15
    assert "none" in predicted[tested]
    assert set(answer[~tested]) == set(predicted[~tested]) == {"—"}


@pytest.mark.parametrize("names", [("x", "y"), ("none", "y")])
def test_an_answer_of_no_label_is_right_where_a_sample_has_none(names):
    subject = make_subject([f"text {n}" for n in range(30)])
    table = np.stack([np.arange(30) % 2, np.zeros(30, int)], axis=1)
    subject = dataclasses.replace(subject, task=dataclasses.replace(subject.task, kind="multilabel", labels=table, names=names))
    record = dataclasses.replace(make_record(make_subject([""] * 30)), kind="multilabel")
    answers = dataclasses.replace(record.predictions, predicted=[[]] * 10, probabilities=None)
    data = data_of(make_map(dataclasses.replace(record, predictions=answers), subject, None, QUICK))
    ids = np.array([int(name.partition(":")[2]) for name in data["ids"]])
    tested, answer = column(data, "split") == "test", column(data, "answer")
    assert set(column(data, "predicted")[tested]) == {"none"}
    assert (answer[tested] == np.where(ids[tested] % 2, "wrong", "right")).all()


def test_a_sample_without_a_label_is_answered_neither_right_nor_wrong(hostile):
    record, subject, inspection = hostile
    labels = [None if n % 3 == 1 else label for n, label in enumerate(subject.samples.labels)]
    subject = dataclasses.replace(subject, samples=dataclasses.replace(subject.samples, labels=labels))
    data = data_of(make_map(record, subject, inspection, QUICK))
    unlabelled = column(data, "label") == "—"
    assert unlabelled.sum() == 16
    assert set(column(data, "answer")[unlabelled]) == {"—"}
    assert "—" not in column(data, "predicted")

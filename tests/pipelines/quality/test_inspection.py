import csv
import dataclasses
import io

import numpy as np
import pyarrow.parquet as pq
import pytest

from extract import Samples
from pipelines.errors import UsageError
from pipelines.quality import KINDS, Subject, inspect_subject
from pipelines.task import Task


@pytest.fixture(scope="module")
def subject():
    """Two clouds of texts with a duplicate across the splits, one with another label, a group on both sides, and a stranger."""
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 2
    X = rng.normal(0, 0.4, size=(200, 12)) + np.where(codes[:, None], 3, -3)
    texts = [f"text {n}" for n in range(200)]
    groups = [f"g{n // 4}" for n in range(200)]
    test = np.arange(200) % 4 == 3
    texts[7] = texts[4] = "said in training and in test"
    texts[12], texts[13] = "Two labels.", "two labels"
    X[7], X[13], X[50] = X[4], X[12], rng.normal(size=12) * 60 * np.where(np.arange(12) % 2, 1, -1)
    keys = rng.integers(256, size=(200, 16), dtype=np.uint8)
    keys[7] = keys[4]
    labels = np.array(["minus", "plus"])[codes]
    samples = Samples("d.csv", texts, [f"d.csv:{n}" for n in range(200)], labels.tolist(), None, groups)
    task = Task("classification", np.arange(200), labels, (), None, None, test, [])
    return Subject(samples, np.arange(200), keys, X, np.where(test, "test", "train"), task)


@pytest.fixture(scope="module")
def inspection(subject):
    return inspect_subject(subject)


def of(inspection, kind):
    return {issue.id for issue in inspection.issues if issue.kind == kind}


def test_what_was_planted_is_found_with_place_and_reason(inspection):
    assert "d.csv:7" in of(inspection, "leak")
    (leak,) = [issue for issue in inspection.issues if issue.id == "d.csv:7" and issue.kind == "leak"]
    assert leak.reason == "the same as d.csv:4, which is in train"
    assert "d.csv:13" in of(inspection, "conflicting_labels")
    assert "d.csv:13" in of(inspection, "same_text")
    assert "d.csv:50" in of(inspection, "outlier")
    assert len(of(inspection, "group_leak")) == 50
    assert inspection.counts.keys() == KINDS.keys()


def test_a_head_that_is_often_wrong_is_no_judge_of_labels_and_that_is_told(subject, inspection):
    drawn = np.random.default_rng(1).choice(["minus", "plus"], 200)
    found = inspect_subject(dataclasses.replace(subject, task=dataclasses.replace(subject.task, labels=drawn)))
    assert any("many of what it doubts are mistakes of its own" in note for note in found.notes)
    assert not any("mistakes of its own" in note for note in inspection.notes)


def test_without_labels_everything_else_is_found(subject):
    bare = dataclasses.replace(subject, samples=dataclasses.replace(subject.samples, labels=None), task=None)
    found = inspect_subject(bare)
    assert of(found, "label_error") == of(found, "conflicting_labels") == set()
    assert "d.csv:7" in of(found, "leak")
    assert found.answers is None


def test_pairs_may_be_left_out_and_that_is_told(subject):
    found = inspect_subject(subject, pairs=False)
    assert "d.csv:7" in of(found, "leak")
    assert of(found, "outlier") == of(found, "near_duplicate") == set()
    assert "not compared" in found.notes[0]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_table_holds_every_issue(inspection, tmp_path, ending):
    path = tmp_path / f"issues.{ending}"
    inspection.write(path)
    text = path.read_text(encoding="utf-8") if ending == "csv" else ""
    rows = list(csv.DictReader(io.StringIO(text))) if text else pq.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == [issue.id for issue in inspection.issues]
    assert rows[0].keys() == {"kind", "row", "id", "score", "split", "label", "suggested", "other", "reason"}


def test_a_table_that_cannot_be_written_is_one_line(inspection, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        inspection.write(tmp_path / "file" / "issues.csv")


@pytest.mark.slow
def test_flipped_labels_and_copies_are_found_in_real_sentences(tmp_path):
    """3% of the domains of real sentences are changed, and training sentences are put among the test's with a word more."""
    from pathlib import Path

    from extract import Columns, extract, load_samples

    source = Path(__file__).parents[3] / "examples/data/sentences.csv"
    whole = load_samples(source, Columns("text", "domain"))
    rng = np.random.default_rng(0)
    rows = [row for row in range(len(whole)) if whole.labels[row] in ("tweet", "news")]
    rows = rng.permutation(rows)[:700].tolist()
    texts, labels = [whole.inputs[row] for row in rows], np.array([whole.labels[row] for row in rows])
    flipped = rng.choice(600, 21, replace=False)
    labels[flipped] = np.where(labels[flipped] == "tweet", "news", "tweet")
    test = np.arange(700) >= 600
    for at in range(20):
        texts[600 + at], labels[600 + at] = texts[at] + " indeed", labels[at]
    features = extract(texts, "all-MiniLM-L6-v2", tmp_path / "store")
    samples = Samples("s", texts, [str(n) for n in range(700)], labels.tolist())
    task = Task("classification", np.arange(700), labels, (), None, None, test, [])
    parts = np.where(test, "test", "train")
    found = inspect_subject(Subject(samples, np.arange(700), features.keys, features.array(), parts, task), similarity=0.9)
    suspects = [issue.row for issue in found.issues if issue.kind == "label_error"]
    assert np.isin(suspects[:21], flipped).mean() > 0.5  # by chance 3%
    assert np.isin(flipped, suspects).mean() > 0.7
    leaks = {issue.row for issue in found.issues if issue.kind == "leak"}
    assert len(leaks & set(range(600, 620))) >= 16
    assert len(leaks - set(range(600, 620))) <= 5

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from extract import Samples
from pipelines.bars import Bars
from pipelines.experiment import run_experiment
from pipelines.given import _lines_of, _read_lines
from pipelines.predict import Predictor, predict, through_store, without_store
from pipelines.run import read_run
from tests.images import write_image_folder

TEXTS = ["good great loved", "bad awful hated", "", "loved great good"]
LABELS = ["good", "bad", None, "good"]


@pytest.fixture
def trained(project):
    run_experiment(project / "config.yaml", None, "run", (), False, Bars(quiet=True), lambda note: None)
    return project / "run"


def test_answers_are_the_same_with_and_without_the_store_and_however_parted(trained, monkeypatch):
    saved = read_run(trained)
    kept = Predictor(saved, through_store(trained, saved)).answer(Samples.of(TEXTS))
    direct = Predictor(saved, without_store(trained, saved)).answer(Samples.of(TEXTS))
    assert [entry["label"] for entry in kept] == [entry["label"] for entry in direct] == LABELS
    assert kept[2]["reason"] == direct[2]["reason"] == "empty text"
    assert kept[0]["probabilities"]["good"] == pytest.approx(direct[0]["probabilities"]["good"], abs=1e-6)
    monkeypatch.setattr("pipelines.predict.CHUNK", 1)
    assert [entry["label"] for entry in predict(trained, TEXTS)] == LABELS


def test_a_backbone_is_loaded_once_for_all_parts(trained, monkeypatch):
    from extract import job

    loads = []
    adapter_of = job.adapter_of
    monkeypatch.setattr(job, "adapter_of", lambda checkpoint: loads.append(1) or adapter_of(checkpoint))
    monkeypatch.setattr("pipelines.predict.CHUNK", 2)
    assert len(list(predict(trained, [f"good {number}" for number in range(7)]))) == 7
    assert len(loads) == 1


def test_a_file_of_lines_may_hold_texts_or_objects(trained, project):
    lines = [json.dumps({"text": text, "other": 1}) for text in TEXTS]
    (project / "new.jsonl").write_text("\n".join([*lines, "{broken", '{"text": "hated"}']) + "\n")
    answers = list(predict(trained, file=project / "new.jsonl"))
    assert [entry["label"] for entry in answers] == [*LABELS, None, "bad"]
    assert "not a JSON object" in answers[4]["reason"]
    (project / "new.txt").write_text('good\r\n{"text": "bad"}\nawful')
    answers = list(predict(trained, file=project / "new.txt"))
    assert [entry["input"] for entry in answers] == ["good", '{"text": "bad"}', "awful"]


def test_a_column_that_is_missing_is_one_line(trained, project, headstart):
    (project / "new.jsonl").write_text('{"txt": "good"}\n')
    assert "there is no column `text`" in headstart("predict", "run", "--file", "new.jsonl", status=2).err


def test_a_line_that_cannot_be_used_says_why_and_the_stream_goes_on(trained, project):
    lines = ['{"txt": "good", "n": 1}', "{broken", "{}", '{"text": null}', '{"text": 5}', '{"text": "hated"}', '{"txt": "bad"}']
    read, write = os.pipe()
    with open(write, "w") as pipe:
        pipe.write("\n".join(lines))
    given = _read_lines("stdin", _lines_of(read, "utf-8", close=True), read_run(trained).columns, 1, tolerant=True)
    saved = read_run(trained)
    answers = list(Predictor(saved, through_store(trained, saved)).stream(given))
    assert [entry["label"] for entry in answers] == [None, None, None, None, None, "bad", None]
    assert [entry["reason"] for entry in answers if "reason" in entry] == [
        "no key `text`; its keys are `txt`, `n`",
        "not a JSON object: Expecting property name enclosed in double quotes at character 2",
        "no key `text`; it has no keys",
        "`text` is null",
        "not a text but int",
        "no key `text`; its keys are `txt`",
    ]


@pytest.mark.parametrize("form", ["--json", "--jsonl", None])
def test_bytes_that_are_not_utf_8_are_echoed_as_replacement_characters(trained, headstart, project, form):
    (project / "new.jsonl").write_bytes(b'{"text": "caf\xe9"}\n{"text": "good great"}\n')
    told = headstart("predict", "run", "--file", "new.jsonl", *([] if form is None else [form])).out
    assert "caf\ufffd" in told
    assert "udce9" not in told


def test_lines_on_standard_input_are_answered_as_they_come(trained, project):
    command = [sys.executable, "-m", "pipelines.cli", "predict", "run", "--file", "-", "--jsonl"]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=project,
        env=environment,
    ) as process:
        process.stdin.write("good great\n")
        process.stdin.flush()
        first = json.loads(process.stdout.readline())  # comes before the input has ended
        process.stdin.write('{"txt": "awful"}\n')
        process.stdin.flush()
        bad = json.loads(process.stdout.readline())
        process.stdin.write('{"text": "awful"}\nhated')
        process.stdin.close()
        rest = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert [entry["label"] for entry in (first, bad, *rest)] == ["good", None, "bad", "bad"]


@pytest.mark.parametrize("form", ["--json", "--jsonl", None])
def test_no_answer_at_all_is_a_failure_and_some_are_not(trained, headstart, form):
    options = [] if form is None else [form]
    failed = headstart("predict", "run", "", " ", *options, status=1)
    assert "empty text" in failed.out
    assert "command line: none of 2 samples can be used; the first: empty text" in failed.err
    told = headstart("predict", "run", "good great loved", " ", *options)
    assert "1 of 2 samples cannot be used; each has its reason" in " ".join(told.err.split())
    assert "note" not in headstart("predict", "run", "good great loved", *options).err


def test_a_file_without_samples_is_a_failure(trained, headstart, project):
    (project / "none.txt").write_text("")
    failed = headstart("predict", "run", "--file", "none.txt", "--json", status=1)
    assert json.loads(failed.out) == {"predictions": []}
    assert "none.txt: holds no samples" in failed.err


def test_json_and_jsonl_do_not_go_together(headstart):
    assert "not both" in headstart("predict", "run", "good", "--json", "--jsonl", status=2).err


def test_many_lines_are_answered_in_parts(trained, project):
    numbers = np.random.default_rng(0).integers(0, 2, 300)
    (project / "new.txt").write_text("".join(f"{TEXTS[number]} {row}\n" for row, number in enumerate(numbers.tolist())))
    assert [entry["label"] for entry in predict(trained, file=project / "new.txt")] == [LABELS[number] for number in numbers]


def test_a_path_that_leads_nowhere_among_images_is_named(headstart, trained, project):
    write_image_folder(project / "pictures", 2)
    told = headstart("predict", "run", "pictures", "pictures/none.png", status=2).err
    assert told == "error: pictures/none.png: there is no such image and no such folder\n"


@pytest.mark.parametrize("file", ["new.csv", "new.txt"])
def test_files_are_read_in_the_encoding_of_the_run_s_data_or_the_one_named(headstart, project, file):
    (project / "reviews.csv").write_bytes((project / "reviews.csv").read_text().replace("good", "café").encode("utf-16"))
    headstart("train", "config.yaml", "--run", "run", "--set", "data.encoding=utf-16")
    content = "text\ncafé great\n" if file.endswith("csv") else "café great\n"
    (project / file).write_bytes(content.encode("utf-16"))
    assert headstart.json("predict", "run", "--file", file)["predictions"][0]["input"] == "café great"
    (project / file).write_bytes(content.encode("latin-1"))
    assert headstart.json("predict", "run", "--file", file, "--encoding", "latin-1")["predictions"][0]["input"] == "café great"
    assert (
        "encoding `klingon` is not known" in headstart("predict", "run", "--file", file, "--encoding", "klingon", status=2).err
    )


def test_labelled_files_are_read_in_the_encoding_of_the_run_s_data_or_the_one_named(headstart, project):
    content = (project / "reviews.csv").read_text().replace("good", "café")
    (project / "reviews.csv").write_bytes(content.encode("utf-16"))
    headstart("train", "config.yaml", "--run", "run", "--set", "data.encoding=utf-16")
    (project / "new.csv").write_bytes(content.encode("utf-16"))
    expected = headstart.json("evaluate", "run", "--file", "new.csv")["samples"]
    (project / "new.csv").write_bytes(content.encode("latin-1"))
    assert headstart.json("evaluate", "run", "--file", "new.csv", "--encoding", "latin-1")["samples"] == expected == 120


@pytest.mark.parametrize("name", ["new.csv", "new.txt", "none.parquet"])
def test_a_file_s_name_is_no_text(headstart, trained, project, name):
    (project / "new.txt").write_text("good great")
    assert f"{name}: is the name of a file" in headstart("predict", "run", name, status=2).err
    assert headstart.json("predict", "run", f"I read it in {name}")["predictions"][0]["label"]

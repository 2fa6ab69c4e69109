import csv
import json

from fastapi.testclient import TestClient

from pipelines.bars import Bars
from pipelines.config_file import load_config
from pipelines.endpoint import make_app, warm_up
from pipelines.experiment import run_experiment
from pipelines.extract import extract_config
from pipelines.predict import Predictor, predict, without_store
from pipelines.run import read_run
from tests.conftest import WORDS


def write_pairs(path, count, header=("premise", "hypothesis", "label", "split")):
    """Write pairs of words that are the same or not."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number in range(count):
            first, second = WORDS[number % 20], WORDS[(number + (number // 2) % 2) % 20]
            label = "same" if first == second else "other"
            row = {"premise": first, "hypothesis": second, "label": label, "split": "test" if number % 5 == 0 else "train"}
            writer.writerow([row[name] for name in header])


def test_texts_with_pairs_go_from_a_file_to_a_run_and_predictions_of_another_file(project):
    write_pairs(project / "pairs.csv", 60)
    config = (project / "config.yaml").read_text().replace("reviews.csv", "pairs.csv, text: premise, pair: hypothesis")
    (project / "pairs.yaml").write_text(config)
    extraction = extract_config(load_config(project / "pairs.yaml"))
    assert extraction.samples.inputs[2] == ("film", "was")
    run_experiment(project / "pairs.yaml", None, str(project / "run"), (), False, Bars(quiet=True), print)
    write_pairs(project / "new.csv", 4, ("hypothesis", "premise"))
    predictions = predict(project / "run", file=project / "new.csv")
    assert [entry["input"] for entry in predictions][2] == ("film", "was")
    assert {entry["label"] for entry in predictions} <= {"same", "other"}
    listed, single = predict(project / "run", ['["film", "was"]', "film"])
    assert (listed["input"], single["input"]) == (("film", "was"), "film")
    assert listed["label"] in ("same", "other")
    assert single["label"] is None
    assert "the run takes pairs: `premise` and `hypothesis`" in single["reason"]


def test_the_endpoint_of_a_run_on_pairs_takes_pairs_and_no_single_texts(project):
    write_pairs(project / "pairs.csv", 60)
    config = (project / "config.yaml").read_text().replace("reviews.csv", "pairs.csv, text: premise, pair: hypothesis")
    (project / "pairs.yaml").write_text(config)
    for config, fitting, other in (("pairs", ["film", "was"], "film"), ("config", "film", ["film", "was"])):
        run_experiment(project / f"{config}.yaml", None, str(project / "run"), (), False, Bars(quiet=True), print)
        saved = read_run(project / "run")
        predictor = Predictor(saved, without_store(project / "run", saved))
        warm_up(predictor)
        with TestClient(make_app(predictor, "run")) as client:
            assert client.get("/health").json()["takes"] == ["pair of texts" if config == "pairs" else "text"]
            assert client.post("/predict", json={"inputs": [fitting]}).json()["predictions"][0]["label"] is not None
            refused = client.post("/predict", json={"inputs": [other]})
            assert (refused.status_code, "no input of this run" in refused.json()["detail"]) == (422, True)


def test_lists_of_two_texts_in_one_column_are_pairs_to_the_run_as_well(headstart, project):
    rows = [
        {"text": [WORDS[n % 20], WORDS[(n + n % 2) % 20]], "label": "ab"[n % 2], "split": ["train", "test"][n % 5 == 0]}
        for n in range(60)
    ]
    (project / "lists.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (project / "config.yaml").write_text((project / "config.yaml").read_text().replace("reviews.csv", "lists.jsonl"))
    trained = headstart.json("train", "config.yaml", "--run", "run")
    assert headstart.json("evaluate", "run")["test"] == trained["test"]
    assert "a single text, and the run takes pairs" in headstart("predict", "run", "one", status=1).err
    answers = json.loads((project / "run/answers.json").read_text())
    del answers["pairs"]  # as earlier versions wrote it: nothing is known
    (project / "run/answers.json").write_text(json.dumps(answers))
    assert headstart.json("evaluate", "run")["test"] == trained["test"]

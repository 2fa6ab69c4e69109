import json
from pathlib import Path

import pytest
import yaml

from extract.errors import NoSuchNameError
from pipelines.bars import Bars
from pipelines.errors import TrainingError, UsageError
from pipelines.experiment import run_experiment
from pipelines.predict import predict

LAYERS = ["layer0.mean", "layer1.mean", "layer2.mean", "layer3.mean"]
TEXTS = ["good great loved", "bad awful hated"]


@pytest.fixture
def train(project):
    """Train on the project's reviews with changes to its config, in this process; return the metrics."""

    def run(**changes):
        content = yaml.safe_load((project / "config.yaml").read_text()) | changes
        (project / "changed.yaml").write_text(yaml.safe_dump({key: part for key, part in content.items() if part is not None}))
        done = run_experiment(Path("changed.yaml"), None, "run", (), False, Bars(quiet=True), lambda note: None)
        return done.metrics

    return run


def labels():
    return [entry["label"] for entry in predict(Path("run"), TEXTS, progress=Bars(quiet=True))]


def test_without_heads_and_outputs_layers_are_tried_beside_the_usual_output(train, project):
    metrics = train(heads=None)
    assert metrics["extract"]["recipes"][0]["outputs"] == ["layer3.mean", "layer0.mean", "layer1.mean", "layer2.mean"]
    assert metrics["trials"] == 11 + 3 * 4
    tried = {trial["output"] for trial in trials(project)}
    assert tried == {"layer3.mean", "layer3.mean+layer0.mean+layer1.mean+layer2.mean"}
    assert labels() == ["good", "bad"]


def test_single_outputs_all_together_and_chosen_ones_stand_in_one_leaderboard(train, project):
    head = {
        "kind": "linear",
        "C": [0.1],
        "standardize": [True, False],
        "outputs": ["each", "all", ["layer1.mean", "layer3.mean"]],
    }
    metrics = train(heads=[head], outputs=[{"layer": "all"}])
    assert metrics["trials"] == 2 * (4 + 1 + 1)
    assert {trial["output"] for trial in trials(project)} == {*LAYERS, "+".join(LAYERS), "layer1.mean+layer3.mean"}
    assert metrics["comparison"]["runner_up"]["output"] != metrics["selected"]["output"]
    assert metrics["comparison"]["mcnemar"].keys() == {"only_first", "only_second", "p_exact", "p_mid"}


def test_a_run_on_several_outputs_predicts(train):
    metrics = train(heads=[{"kind": "linear", "outputs": "all", "C": [1.0]}], outputs=[{"layer": "all"}])
    assert metrics["selected"]["output"] == "+".join(LAYERS)
    assert "comparison" not in metrics
    assert labels() == ["good", "bad"]
    assert "more features (up to 128) than there are samples to train on (96)" in metrics["notes"][-1]


def test_heads_that_choose_among_outputs_are_told_how_wide_each_is(train, project):
    heads = [
        {"kind": "group_lasso", "per": ["feature", "output"], "keep": [0.5]},
        {"kind": "greedy", "most": 2},
        {"kind": "layer_mix", "max_epochs": 20},
    ]
    metrics = train(heads=heads, outputs=[{"layer": "all"}])
    assert metrics["trials"] == 4
    assert {trial["output"] for trial in trials(project)} == {"+".join(LAYERS)}
    assert all(trial["error"] is None for trial in trials(project))
    assert labels() == ["good", "bad"]


@pytest.mark.parametrize(
    ("outputs", "of_head", "message"),
    [
        ([{"layer": "all"}], ["layer9.mean"], "no output is called `layer9.mean`; did you mean"),
        (None, "last", "no output is called `last`; outputs are layer3.mean"),
        ([{"layer": 99}], None, "outputs of hf:.*: there is no layer 99; layers are 0 .* to 3"),
        ([{"pooling": "mean"}, {"pooling": "men"}], None, "outputs of hf:.*: 'men' is not a pooling; poolings are cls"),
    ],
)
def test_an_output_that_does_not_exist_is_one_line_with_its_place_before_extraction(
    train, monkeypatch, outputs, of_head, message
):
    monkeypatch.setattr("pipelines.extract.extract", None)
    with pytest.raises((UsageError, NoSuchNameError), match=rf"changed.yaml:\d+: {message}"):
        train(heads=[{"kind": "linear"} | ({} if of_head is None else {"outputs": of_head})], outputs=outputs)


def test_an_ensemble_with_everything_asked_of_it_predicts_as_it_tested(train, project):
    heads = [{"kind": "linear", "C": [0.01, 1.0]}, {"kind": "sklearn.neighbors.KNeighborsClassifier"}]
    metrics = train(
        heads=heads, outputs=[{"layer": "all"}], ensemble=4, calibrate="temperature", thresholds="f1", conformal=0.8
    )
    selected = metrics["selected"]
    if len(metrics["selected"].get("members", [])) > 1:
        assert selected["head"] == "ensemble"
        assert sum(member["weight"] for member in selected["members"]) == pytest.approx(1)
    assert metrics["decision"]["temperature"] > 0
    assert len(metrics["decision"]["thresholds"]) == 1
    assert metrics["prediction_sets"]["coverage"]["value"] > 0.5
    tested = read(project / "run" / "test_predictions.parquet")
    texts = {f"reviews.csv:{n}": line for n, line in enumerate((project / "reviews.csv").read_text().splitlines(), 1)}
    again = list(predict(Path("run"), [texts[row["id"]].partition(",")[0] for row in tested], progress=Bars(quiet=True)))
    assert [entry["label"] for entry in again] == [row["predicted"] for row in tested]
    assert [entry["set"] for entry in again] == [row["set"] for row in tested]
    assert again[0]["probabilities"]["good"] == pytest.approx(tested[0]["probability:good"], rel=1e-4)


def test_the_simplest_trial_within_one_standard_error_is_used_and_nested_folds_say_what_choosing_is_worth(train, project):
    head = {"kind": "linear", "C": [1e-6, 1.0, 1.1], "outputs": ["layer3.mean", "all"]}
    selection = {"folds": 3, "rule": "one_standard_error", "nested": True}
    metrics = train(heads=[head], outputs=[{"layer": "all"}], selection=selection)
    best = trials(project)[0]
    error = best["accuracy_std"] / 2**0.5
    assert metrics["selected"]["validation"]["accuracy"] >= best["accuracy"] - error
    assert metrics["selected"]["output"] == "layer3.mean"
    assert metrics["nested"].keys() >= {"accuracy", "f1_macro"}
    assert 0.5 < metrics["nested"]["accuracy"]["mean"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conformal": 0.999}, "samples cannot promise a coverage of 0.999"),
        ({"data": {"path": "reviews.csv", "label": "text", "split": "split"}}, "is it a number"),
        (
            {"data": {"path": "reviews.csv", "label": "label", "split": "split"}, "task": "regression", "heads": None},
            "is no number",
        ),
    ],
)
def test_what_does_not_go_with_the_data_is_one_line(train, changes, message):
    with pytest.raises(TrainingError, match=message) as caught:
        train(**changes)
    assert "\n" not in str(caught.value)


def trials(project):
    return read(project / "run" / "trials.parquet")


def read(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_numbers_are_predicted_with_intervals(train, project):
    number_the_reviews(project)
    data = {"path": "reviews.csv", "label": "stars", "split": "split"}
    metrics = train(data=data, heads=None, task="regression", conformal=0.8)
    assert metrics["task"] == "regression"
    assert metrics["test"]["r2"]["value"] > 0.5
    assert metrics["test"].keys() >= {"r2", "mean_absolute_error", "root_mean_squared_error", "pearson", "spearman"}
    assert 0.5 < metrics["prediction_sets"]["coverage"]["value"] <= 1
    good, bad = predict(Path("run"), TEXTS, progress=Bars(quiet=True))
    assert good["label"] > bad["label"]
    assert good["interval"][0] < good["label"] < good["interval"][1]
    assert "Largest errors" in (project / "run" / "report.html").read_text()


@pytest.mark.parametrize("form", ["columns", "separator"])
def test_several_labels_a_sample_come_from_columns_or_from_one_column(train, project, form):
    number_the_reviews(project)
    label = {"label": ["is_good", "is_long"]} if form == "columns" else {"label": "tags", "multilabel": ";"}
    head = {"kind": "sklearn.neighbors.KNeighborsClassifier", "n_neighbors": [3, 9]}
    metrics = train(data={"path": "reviews.csv", "split": "split", **label}, heads=[head], thresholds="f1")
    assert metrics["task"] == "multilabel"
    assert metrics["classes"] == ["is_good", "is_long"]
    assert metrics["test"]["f1_macro"]["value"] > 0.4
    assert len(metrics["decision"]["thresholds"]) == 2
    good, bad = predict(Path("run"), TEXTS, progress=Bars(quiet=True))
    assert "is_good" in good["label"]
    assert "is_good" not in bad["label"]
    assert good["probabilities"].keys() == {"is_good", "is_long"}
    assert "By class" in (project / "run" / "report.html").read_text()


def test_a_label_that_a_sample_has_or_not_is_no_case_of_several(train, project):
    number_the_reviews(project)
    with pytest.raises(TrainingError, match="`is_good` is the only label; make a class of it, without `multilabel`"):
        train(data={"path": "reviews.csv", "split": "split", "label": ["is_good"]}, heads=[{"kind": "linear", "C": [1]}])


def number_the_reviews(project):
    """Give the reviews columns `stars`, `is_good`, `is_long` and `tags`."""
    lines = (project / "reviews.csv").read_text().splitlines()
    rows = [lines[0] + ",stars,is_good,is_long,tags"]
    for line in lines[1:]:
        _, label, length, _ = line.split(",")
        good, long = label == "good", length == "long"
        tags = ";".join(["is_good"] * good + ["is_long"] * long + ["neither"] * (not good and not long))
        rows.append(f"{line},{3 + 2 * good - 0.5 * long:g},{int(good)},{int(long)},{tags.replace('neither', '')}")
    (project / "reviews.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("asked", [{"thresholds": "f1"}, {"calibrate": "temperature"}, {"conformal": 0.8}])
def test_heads_without_probabilities_are_refused_where_those_are_needed(train, asked, monkeypatch):
    monkeypatch.setattr("pipelines.extract.extract", None)
    with pytest.raises(UsageError, match=f"`ridge` has no probabilities, which `{next(iter(asked))}` needs"):
        train(heads=[{"kind": "linear"}, {"kind": "ridge"}], **asked)


def test_heads_that_take_a_vector_are_not_tried_on_tokens_unasked(train):
    metrics = train(
        heads=[{"kind": "linear"}, {"kind": "knn"}, {"kind": "attention_pool", "max_epochs": 1}], outputs=["mean", "tokens"]
    )
    tried = {(row["head"], row["output"].rpartition(".")[2]) for row in read(Path("run/trials.parquet"))}
    assert tried == {("linear", "mean"), ("knn", "mean"), ("attention_pool", "mean"), ("attention_pool", "tokens")}
    assert not metrics["failed_trials"]
    with pytest.raises(UsageError, match="`knn` takes a vector a sample, and .*tokens holds tokens"):
        train(heads=[{"kind": "knn", "outputs": "*.tokens"}], outputs=["mean", "tokens"])


def test_what_was_chosen_is_told_where_it_is_not_the_first(headstart, project):
    rule = ("--set", "heads=[{kind: linear, C: {log: [1e-3, 1e3, 7]}}]", "--set", "selection.rule=one_standard_error")
    told = headstart("train", "config.yaml", "--run", "run", *rule).out
    chosen = json.loads((project / "run/metrics.json").read_text())["selected"]["params"]["C"]
    first = read(project / "run/trials.parquet")[0]
    assert chosen < json.loads(first["params"])["C"]
    assert f"C={chosen:g}, accuracy" in " ".join(told.split())
    assert "the simplest within a standard error of the best" in " ".join(told.split())
    told = headstart("train", "config.yaml", "--set", "heads=[{kind: linear, C: [1e-3, 1e3]}, knn]", "--set", "ensemble=3").out
    assert "an ensemble of" not in told or "by validation: 0." in " ".join(told.split())

import pytest

from pipelines import FeatureBasedTrainer, ModelComparator
from pipelines.errors import UsageError
from pipelines.models.comparator import METRICS
from tests.pipelines.tiny_models import EVALUATION, TRAIN, make_model


@pytest.fixture
def models(tiny_bert, tmp_path):
    frozen, full = make_model(tiny_bert, tmp_path), make_model(tiny_bert, tmp_path, freeze_backbone=False)
    FeatureBasedTrainer(frozen, TRAIN, learning_rate=1e-2, say=None).train(5)
    FeatureBasedTrainer(full, TRAIN, say=None).train(1)
    return [frozen, full]


def test_models_are_compared_by_what_they_reach_and_what_they_cost(models):
    results = ModelComparator().compare_models(models=models, test_data=EVALUATION, metrics=METRICS)
    frozen, full = results.models
    assert frozen.name.endswith("frozen")
    assert full.name.endswith("unfrozen")
    assert frozen.values["accuracy"] == frozen.values["f1"] == frozen.values["auc"] == 1
    assert frozen.intervals["accuracy"] == (pytest.approx(0.886, abs=1e-3), 1)
    assert frozen.values["training_time"] == models[0].trained.seconds
    assert full.values["trainable_parameters"] == full.values["parameters"] == sum(p.numel() for p in models[1].parameters())
    assert frozen.values["trainable_parameters"] == 2 * 32 + 2
    assert all(value is not None and value >= 0 for value in full.values.values())
    assert results.samples == 30


def test_accuracies_are_those_of_the_trainer_and_pairs_are_tested(models):
    results = ModelComparator().compare_models({"features": models[0], "all": models[1]}, EVALUATION, ["accuracy"])
    expected = FeatureBasedTrainer(models[1], TRAIN, EVALUATION, say=None).evaluate()["accuracy"].value
    assert results["all"]["accuracy"] == expected
    test = results.paired["features", "all"]
    assert test.only_first - test.only_second == round(30 * (1 - expected))


def test_a_table_and_a_figure_tell_it(models, tmp_path):
    comparator = ModelComparator()
    results = comparator.compare_models(models, EVALUATION)
    table = str(results).splitlines()
    assert table[0].split()[:3] == ["model", "accuracy", "f1"]
    assert len(table) == 3
    figure = comparator.plot_comparison(results, save_path=tmp_path / "comparison.png")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "accuracy",
        "f1",
        "training_time [s]",
        "memory_usage [MiB]",
    ]
    assert (tmp_path / "comparison.png").is_file()


def test_models_of_one_name_are_numbered(models):
    results = ModelComparator().compare_models([models[0], models[0]], EVALUATION, ["accuracy"])
    assert [model.name.rpartition(" ")[2] for model in results.models] == ["1", "2"]


def test_samples_that_cannot_be_used_count_for_no_model(models):
    assert ModelComparator().compare_models(models, [*EVALUATION, ("", "good")], ["accuracy"]).samples == 30


def test_what_cannot_be_compared_is_told(models, tiny_bert, tmp_path):
    with pytest.raises(UsageError, match="did you mean `accuracy`"):
        ModelComparator().compare_models(models, EVALUATION, ["acuracy"])
    with pytest.raises(UsageError, match="fresh has not been trained"):
        ModelComparator().compare_models({"fresh": make_model(tiny_bert, tmp_path)}, EVALUATION)
    numbers = make_model(tiny_bert, tmp_path, task="regression")
    with pytest.raises(UsageError, match="prices is a model of regression; compare_models knows one class a sample"):
        ModelComparator().compare_models({"prices": numbers}, EVALUATION)

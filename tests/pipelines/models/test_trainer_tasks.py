"""Models of numbers and of several labels a sample, through the trainer."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from heads import GradientMonitor
from pipelines import DatasetLoader, FeatureBasedModel, FeatureBasedTrainer, FeatureVisualizer
from pipelines.errors import TrainingError, UsageError
from tests.pipelines.tiny_models import make_model

WORDS = {"good": 5.0, "great": 7.0, "bad": -3.0, "awful": -6.0}


def write_samples(count, seed):
    """Make texts with a price that their words say, and with the words as labels."""
    rng = np.random.default_rng(seed)
    drawn = [sorted(rng.choice(list(WORDS), rng.integers(0, 3), replace=False).tolist()) for _ in range(count)]
    texts = [f"the film {' '.join(words)} plot {number}" for number, words in enumerate(drawn)]
    return texts, drawn


TEXTS, LABELS = write_samples(120, 0)
EVALUATED, EVALUATED_LABELS = write_samples(40, 1)


def price(words):
    return 1000 + sum(WORDS[word] for word in words)


NUMBERS = (TEXTS, [price(words) for words in LABELS]), (EVALUATED, [price(words) for words in EVALUATED_LABELS])
PAIRS = tuple((texts, [(number, -2 * number) for number in numbers]) for texts, numbers in NUMBERS)
SEVERAL = (TEXTS, LABELS), (EVALUATED, EVALUATED_LABELS)

TASKS = {
    "numbers": ({"task": "regression"}, NUMBERS),
    "pairs of numbers": ({"task": "text_regression", "num_classes": 2}, PAIRS),
    "several labels": ({"task": "multilabel", "num_classes": 4}, SEVERAL),
}


def trainer_of(model, *data, **settings):
    return FeatureBasedTrainer(model, *data, **{"say": None, "learning_rate": 1e-2, **settings})


SERIES = ("train_loss", "validation_loss", "train_score", "validation_score")


@pytest.mark.parametrize("name", TASKS)
def test_losses_are_those_of_the_whole_model_in_the_loop(tiny_bert, tmp_path, name):
    settings, data = TASKS[name]
    ways = {"kept": {}, "no boundary": {"cache_boundary": False}, "loop": {"augment": lambda text: text}}
    told, said = {}, {}
    for way, changed in ways.items():
        torch.manual_seed(0)
        said[way] = []
        trainer = trainer_of(make_model(tiny_bert, tmp_path, **settings), *data, say=said[way].append, **changed)
        trainer.train(2)
        trainer.unfreeze_layers([-1])
        told[way] = trainer.train(2, learning_rate=1e-3)
    assert any("training what is above" in line for line in said["kept"])
    assert any("training with the whole model in the loop" in line for line in said["no boundary"])
    assert any("samples are augmented" in line for line in said["loop"])
    for series in SERIES:
        kept = getattr(told["kept"], series)
        np.testing.assert_allclose(kept, getattr(told["no boundary"], series), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(kept[:2], getattr(told["loop"], series)[:2], rtol=1e-3, atol=1e-4)
    assert told["kept"].train_loss[2] != pytest.approx(told["kept"].train_loss[3], rel=1e-3)


def test_a_regression_learns_and_answers_in_the_labels_units(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path, task="regression"), *NUMBERS, callbacks=[GradientMonitor()])
    history = trainer.train(20)
    assert history.metric == "r2"
    assert history.validation_score[history.kept[-1]] == max(history.validation_score) > 0.8
    assert history.validation_accuracy == []
    assert set(history.last()) == {"train_loss", "validation_loss", "train_r2", "validation_r2", "lr"}
    found = trainer.evaluate()
    assert found["r2"].value == pytest.approx(max(history.validation_score), abs=1e-5)
    assert found["root_mean_squared_error"].value < 3
    answers = trainer.predict(["the film great plot 7", "", "the film awful plot 7"])
    assert answers[1] is None
    assert 985 < answers[2] < 1000 < answers[0] < 1015
    trainer.model.eval()
    with torch.inference_mode():
        said = trainer.model(["the film great plot 7", "the film awful plot 7"])  # the model says what the trainer says
    np.testing.assert_allclose(said[:, 0], [answers[0], answers[2]], rtol=1e-5)
    with pytest.raises(UsageError, match="a regression has no probabilities; `predict` gives its numbers"):
        trainer.predict_proba(["the film"])


def test_several_numbers_are_answered_as_lists(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path, task="regression", num_classes=2), *PAIRS)
    trainer.train(20)
    (answer,) = trainer.predict(["the film great"])
    assert answer == pytest.approx([1007, -2014], rel=0.02)
    assert trainer.evaluate()["r2"].value > 0.8


def test_several_labels_are_learnt_and_answered_by_name(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path, task="multilabel", num_classes=4), *SEVERAL, metric="f1_micro")
    history = trainer.train(20)
    assert trainer.model.classes == ["awful", "bad", "good", "great"]
    assert history.metric == "f1_macro"
    assert history.chosen_by[history.kept[-1]] == max(history.chosen_by) > 0.8
    assert {"f1_macro", "f1_micro", "accuracy", "average_precision"} <= set(trainer.evaluate())
    assert trainer.predict(["the film great bad plot", ""]) == [["bad", "great"], None]
    probabilities = trainer.predict_proba(["the film great bad plot", ""])
    assert probabilities.shape == (2, 4)
    assert np.isnan(probabilities[1]).all()
    assert probabilities[0].sum() > 1.2  # each label stands for itself


@pytest.mark.parametrize("name", TASKS)
def test_a_saved_model_says_the_same(tiny_bert, tmp_path, name):
    settings, data = TASKS[name]
    trainer = trainer_of(make_model(tiny_bert, tmp_path, **settings), *data)
    trainer.train(2)
    trainer.model.save(tmp_path / "saved")
    again = FeatureBasedModel.load(tmp_path / "saved", device="cpu", store=str(tmp_path / "features"))
    assert again.task == trainer.model.task
    assert trainer_of(again, *data).predict(EVALUATED) == trainer.predict(EVALUATED)
    with torch.inference_mode():
        torch.testing.assert_close(again(EVALUATED[:3]), trainer.model(EVALUATED[:3]))


@pytest.mark.parametrize("targets", [1, 3])
def test_tensors_train_a_regression_of_ones_own(targets):
    torch.manual_seed(0)
    X = torch.randn(80, 4)
    y = X[:, :1].repeat(1, targets) * 50 + 3
    backbone = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
    model = FeatureBasedModel(backbone, nn.Linear(16, targets), task="regression")
    trainer = trainer_of(model, (X, y))
    frozen = trainer.train(5).train_loss[-1]
    assert trainer.train(20, freeze_backbone=False, learning_rate=1e-2).train_loss[-1] < frozen
    assert trainer.evaluate((X, y))["r2"].value > 0.9
    fresh = FeatureBasedModel(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), nn.Linear(16, targets), task="regression")
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(fresh.eval()(X), model.eval()(X))


def test_rows_of_0_and_1_train_labels_by_number():
    torch.manual_seed(0)
    X = torch.randn(80, 4)
    model = FeatureBasedModel(nn.Identity(), nn.Linear(4, 3), task="multilabel")
    trainer = trainer_of(model, (X, (X[:, :3] > 0).long()), class_weight="balanced", label_smoothing=0.05, learning_rate=0.1)
    trainer.train(10)
    assert trainer.evaluate((X, (X[:, :3] > 0).long()))["f1_micro"].value > 0.9
    assert trainer.predict(torch.tensor([[9.0, -9.0, 9.0, 0.0]])) == [[0, 2]]


def test_what_does_not_fit_is_one_line_with_the_way_out(tiny_bert, tmp_path):
    with pytest.raises(UsageError, match="a model of several labels needs num_classes"):
        make_model(tiny_bert, tmp_path, task="multilabel")
    with pytest.raises(UsageError, match="task 'regresion' is not one; did you mean `regression`"):
        make_model(tiny_bert, tmp_path, task="regresion")
    numbers = make_model(tiny_bert, tmp_path, task="regression")
    with pytest.raises(UsageError, match="metric 'accuracy' is not one of regression"):
        trainer_of(numbers, *NUMBERS, metric="accuracy")
    with pytest.raises(UsageError, match="class_weight is of classes"):
        trainer_of(numbers, *NUMBERS, class_weight="balanced")
    with pytest.raises(TrainingError, match=r"^train_data, sample 1: the label 'cheap' is no number"):
        trainer_of(numbers, [("a film", 1.0), ("the film", "cheap")]).train(1)
    with pytest.raises(
        TrainingError, match="^train_data, sample 0: holds several labels; make the model with task='multilabel'"
    ):
        trainer_of(make_model(tiny_bert, tmp_path), [("a film", ["a", "b"]), ("the film", ["a"])]).train(1)
    several = make_model(tiny_bert, tmp_path, task="multilabel", num_classes=2)
    with pytest.raises(TrainingError, match=r"set num_classes=3, or name all 2 as `model.classes`"):
        trainer_of(several, [("a film", ["a", "b"]), ("the film", ["c"])]).train(1)


UNKNOWN = r"^eval_data, sample 1: 'odd' is no class of this model, which knows bad, good$"


@pytest.mark.parametrize("layers", [[], [-1]])
@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("regression", [("a film", 1.0), ("we", "cheap")], r"^train_data, sample 1: the label 'cheap' is no number"),
        ("classification", [("a film", "good"), ("we", "bad")], UNKNOWN),
    ],
)
def test_labels_are_checked_before_anything_is_computed(tiny_bert, tmp_path, task, data, message, layers):
    lines, model = [], make_model(tiny_bert, tmp_path, task=task)
    trainer = trainer_of(model, data, [("a film", "good"), ("we", "odd")], say=lines.append)
    model.unfreeze(layers)
    with pytest.raises(TrainingError, match=message):
        trainer.train(1)
    assert not lines
    assert not model.knows_targets
    assert not (tmp_path / "features").exists()


def test_labels_are_checked_before_the_features_that_are_evaluated(tiny_bert, tmp_path, monkeypatch):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), [("a film", "good"), ("we", "bad")])
    trainer.train(1)
    monkeypatch.setattr(trainer, "features", None)
    with pytest.raises(TrainingError, match="^data, sample 0: 'odd' is no class"):
        trainer.evaluate([("a plot", "odd")])


def test_a_file_of_numbers_or_lists_is_a_data_set(tiny_bert, tmp_path):
    rows = ["text,stars,kinds", *(f"the film {' '.join(w)} {n},{price(w)},{';'.join(w)}" for n, w in enumerate(LABELS))]
    (tmp_path / "films.csv").write_text("\n".join(rows) + "\n")
    data = DatasetLoader.load_dataset(tmp_path / "films.csv", task="text_regression", label="stars")
    assert trainer_of(make_model(tiny_bert, tmp_path, task="regression"), data["train"]).train(2).train_loss
    data = DatasetLoader.load_dataset(tmp_path / "films.csv", task="multilabel", label="kinds", multilabel=";")
    assert all(isinstance(labels, list) for labels in data["train"].labels)
    model = make_model(tiny_bert, tmp_path, task="multilabel", num_classes=4)
    trainer_of(model, data["train"], data["test"]).train(1)
    assert model.classes == ["awful", "bad", "good", "great"]
    figure = FeatureVisualizer(model).plot_feature_space(data["test"], "pca", "label")
    told = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert told == sorted({", ".join(labels) for labels in data["test"].labels})


def test_samples_without_a_label_are_told(tiny_bert, tmp_path):
    lines = []
    frame = pd.DataFrame({"text": ["a film", "we", "was"], "label": ["good", None, "bad"]})
    trainer_of(make_model(tiny_bert, tmp_path), frame, say=lines.append)
    assert lines == ["1 of 3 samples of train_data have no label and are left out"]

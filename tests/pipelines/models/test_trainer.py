from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heads import GradientMonitor
from pipelines import FeatureBasedModel, FeatureBasedTrainer
from pipelines.errors import TrainingError, UsageError
from pipelines.models.training_rates import Rates
from tests.extract.backbones.checkpoints import save_timm
from tests.images import write_image_folder
from tests.pipelines.tiny_models import EVALUATION, TRAIN, make_model


def trainer_of(model, *data, **settings):
    return FeatureBasedTrainer(model, *data, **{"say": None, "learning_rate": 1e-2, **settings})


def same_classifier(first, second):
    second.classifier.load_state_dict(first.classifier.state_dict())


@pytest.mark.parametrize("classifier", ["linear", "mlp", "attention"])
def test_training_through_the_cache_is_training_with_the_model_in_the_loop(tiny_bert, tmp_path, classifier):
    cached, looped = (make_model(tiny_bert, tmp_path, classifier=classifier) for _ in range(2))
    same_classifier(cached, looped)
    by_cache = trainer_of(cached, TRAIN, EVALUATION).train(3)
    by_loop = trainer_of(looped, TRAIN, EVALUATION, augment=lambda text: text).train(3)
    np.testing.assert_allclose(by_cache.train_loss, by_loop.train_loss, atol=1e-4)
    np.testing.assert_allclose(by_cache.validation_loss, by_loop.validation_loss, atol=1e-4)
    assert by_cache.train_accuracy == by_loop.train_accuracy


def test_it_says_which_way_it_goes(tiny_bert, tmp_path):
    lines = []
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION, say=lines.append)
    trainer.train(1)
    assert lines[0].startswith("the backbone is frozen: training on features that are computed once")
    assert "60 extracted" in lines[0]
    assert lines[1].startswith("epoch 1 of 1 kept: loss ")
    assert "evaluation loss" in lines[1]
    trainer.unfreeze_layers([-1])
    trainer.train(1)
    assert any("the backbone stays frozen: training what is above" in line for line in lines)
    trainer.train(1, freeze_backbone=False)
    assert lines[-1].startswith("epoch 1 of 1 kept: loss ")  # of its phase, not of all
    assert any(line.startswith("parts of the backbone learn: training with the whole model in the loop") for line in lines)


def test_features_are_extracted_once_for_all_trainings(tiny_bert, tmp_path):
    lines = []
    for _ in range(2):
        trainer_of(make_model(tiny_bert, tmp_path), TRAIN, say=lines.append).train(1)
    assert "60 extracted" in lines[0]
    assert "60 features from the store" in lines[2]
    assert "0 extracted" in lines[2]


def test_it_learns_and_predicts(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION)
    history = trainer.train(num_epochs=5)
    assert history.validation_accuracy[-1] == 1
    assert trainer.evaluate()["accuracy"].value == 1
    assert trainer.predict(["the good film 7", "", "the bad film 8"]) == ["good", None, "bad"]
    assert trainer.predict_proba(["the good film 7"]).sum() == pytest.approx(1)


def test_of_epochs_with_the_same_score_the_one_with_the_lowest_loss_is_kept(tiny_bert, tmp_path):
    history = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION).train(num_epochs=5)
    equal = [epoch for epoch, score in enumerate(history.chosen_by) if score == max(history.chosen_by)]
    assert len(equal) > 1
    assert history.kept == [min(equal, key=history.validation_loss.__getitem__)] != [equal[0]]


def test_both_names_of_the_data_are_taken_but_not_together(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    assert len(trainer_of(model, train_dataset=TRAIN, eval_dataset=EVALUATION).eval_data) == 30
    assert trainer_of(model, train_data=TRAIN).eval_data is None
    with pytest.raises(UsageError, match="either train_data or train_dataset"):
        trainer_of(model, TRAIN, train_dataset=TRAIN)
    with pytest.raises(UsageError, match="needs train_data"):
        trainer_of(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, r"^learning_rate is 0; it must be a number above 0$"),
        ({"learning_rate": -1e-3}, r"^learning_rate is -0.001; it must be a number above 0$"),
        ({"batch_size": 0}, r"^batch_size is 0; it must be at least 1$"),
    ],
)
def test_a_trainer_refuses_numbers_that_cannot_be_used_by_their_names(tiny_bert, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        trainer_of(make_model(tiny_bert, tmp_path), TRAIN, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_epochs": 0}, r"^num_epochs is 0; it must be at least 1$"),
        ({"patience": 0}, r"^patience is 0; it must be at least 1$"),
        ({"learning_rate": 0.0}, r"^learning_rate is 0.0; it must be a number above 0$"),
        ({"head_learning_rate": float("nan")}, r"^head_learning_rate is nan; it must be a number above 0$"),
        ({"layer_rates": {"layer.2": -1e-5}}, r"^layer_rates\['layer.2'\] is -1e-05; it must be a number above 0$"),
    ],
)
def test_a_training_refuses_numbers_that_cannot_be_used_before_anything_is_done(tiny_bert, tmp_path, settings, message):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN)
    with pytest.raises(UsageError, match=message):
        trainer.train(**settings, freeze_backbone=False)
    assert trainer.model.is_frozen
    assert not (tmp_path / "features").exists()


def test_unfreezing_by_phases_trains_the_named_layers_and_leaves_the_others(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    trainer = trainer_of(model, TRAIN, EVALUATION, callbacks=[GradientMonitor()])
    trainer.train(2, freeze_backbone=True)
    assert all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())
    trainer.unfreeze_layers(["layer.2"])
    trainer.train(1, learning_rate=1e-3)
    moved = {name for name, value in model.backbone.state_dict().items() if not torch.equal(before[name], value)}
    assert moved
    assert all(".layer.2." in name for name in moved)
    assert (trainer.history.phases, len(trainer.history)) == ([0, 2], 3)


def test_freezing_again_keeps_what_was_learnt_and_uses_no_stale_features(tiny_bert, tmp_path):
    lines, model = [], make_model(tiny_bert, tmp_path)
    trainer = trainer_of(model, TRAIN, EVALUATION, say=lines.append)
    trainer.train(1, freeze_backbone=False, learning_rate=1e-2)
    trainer.train(1, freeze_backbone=True)
    assert "60 features computed in memory" in lines[-2]
    expected = [model.classes[code] for code in model([text for text, _ in EVALUATION]).argmax(dim=1)]
    assert trainer.predict([text for text, _ in EVALUATION]) == expected


def test_the_classifier_learns_faster_than_the_backbone(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, learning_rate=1e-3)
    trainer.unfreeze_layers([1, 2])
    plan, groups = trainer._plan(1, Rates(1e-5))
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 1e-5, 0.9e-5])
    assert plan.lr == pytest.approx(1e-4)


def test_a_layer_that_is_not_there_changes_nothing(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN)
    with pytest.raises(UsageError, match="did you mean"):
        trainer.unfreeze_layers(["layer.1", "layer.12"])
    assert trainer.model.is_frozen


def test_trainings_repeat_bit_for_bit(tiny_bert, tmp_path):
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        trainer = trainer_of(make_model(tiny_bert, tmp_path, classifier="mlp"), TRAIN, EVALUATION)
        trainer.train(2)
        trainer.unfreeze_layers([2])
        found.append(trainer.train(1, learning_rate=1e-3).train_loss)
    assert found[0] == found[1]


def test_pictures_are_trained_on_with_augmentation_in_the_loop(tmp_path):
    write_image_folder(tmp_path / "pictures", 16)
    folder = save_timm(tmp_path / "resnet")
    model = FeatureBasedModel.from_pretrained(
        f"timm:{folder}", task="image_classification", store=str(tmp_path / "features"), device="cpu"
    )
    (tmp_path / "pictures" / "dark" / "broken.png").write_bytes(b"no picture")
    lines = []
    trainer = trainer_of(model, tmp_path / "pictures", augment="flip-crop", say=lines.append)
    trainer.train(1)
    assert "samples are augmented: training with the whole model in the loop" in lines
    assert any("1 of 17 samples cannot be used, the first at dark/broken.png" in line for line in lines)
    with pytest.raises(UsageError, match="did you mean `flip-crop`"):
        trainer_of(model, tmp_path / "pictures", augment="flipcrop")


def test_tensors_train_a_backbone_of_ones_own():
    torch.manual_seed(0)
    X = torch.randn(80, 4)
    trainer = trainer_of(
        FeatureBasedModel(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), nn.Linear(16, 2)), (X, (X[:, 0] > 0).long())
    )
    frozen = trainer.train(5).train_loss[-1]
    assert trainer.train(5, freeze_backbone=False, learning_rate=1e-2).train_loss[-1] < frozen
    assert trainer.model.classes == [0, 1]


def test_outputs_beyond_the_classes_are_told_and_never_predicted(tiny_bert, tmp_path):
    lines = []
    trainer = trainer_of(make_model(tiny_bert, tmp_path, num_classes=4), TRAIN, EVALUATION, say=lines.append)
    trainer.train(1)
    assert "the model has 4 outputs and the data 2 classes (bad, good); the rest stay unused" in lines
    assert trainer.predict_proba(["a film"]).shape == (1, 2)


def test_the_label_of_a_text_that_cannot_be_used_does_not_matter(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, [*EVALUATION, ("", "none of these")])
    trainer.train(1)
    assert trainer.evaluate() == trainer.evaluate(EVALUATION)


def test_data_that_do_not_fit_are_told(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    with pytest.raises(TrainingError, match="3 classes and the model has 2 outputs"):
        trainer_of(model, [("a film", "a"), ("the film", "b"), ("we", "c")]).train(1)
    with pytest.raises(TrainingError, match="all 2 samples are of class 'a'"):
        trainer_of(model, [("a film", "a"), ("the film", "a")]).train(1)
    with pytest.raises(TrainingError, match="no sample has a label"):
        trainer_of(model, ["a film"])
    with pytest.raises(UsageError, match="call train first"):
        trainer_of(make_model(tiny_bert, tmp_path), TRAIN).predict(["a film"])


def test_patience_stops_early_and_costs_are_counted(tiny_bert, tmp_path):
    trainer = trainer_of(make_model(tiny_bert, tmp_path), TRAIN, EVALUATION, patience=2)
    trainer.train(30)
    assert len(trainer.history) < 30
    assert trainer.cost.seconds > 0
    assert trainer.model.trained is trainer.cost


def test_paths_of_pictures_are_evaluated_as_they_are_however_they_are_written(tmp_path):
    write_image_folder(tmp_path / "pictures", 16)
    files = sorted((tmp_path / "pictures").glob("*/*.png"))
    data = [(file if number % 3 else str(file), file.parent.name) for number, file in enumerate(files[::-1])]
    folder = save_timm(tmp_path / "resnet")
    found = []
    for given in (data, [(Path(file), label) for file, label in data], [(str(file), label) for file, label in data]):
        torch.manual_seed(0)
        model = FeatureBasedModel.from_pretrained(
            f"timm:{folder}", task="image_classification", store=str(tmp_path / "features"), device="cpu"
        )
        trainer = trainer_of(model, given)
        trainer.train(1)
        found.append(trainer.evaluate(given)["accuracy"])
    assert found[0] == found[1] == found[2]

import pytest
import torch
from torch import nn

from extract import BackboneError, extract
from heads import AttentionClassifier, MLPClassifier
from pipelines import FeatureBasedModel
from pipelines.errors import RunError, UsageError
from tests.extract.backbones.checkpoints import save_clip, save_timm
from tests.images import picture
from tests.pipelines.tiny_models import make_model

TEXTS = ["a good film", "the plot was bad and the acting awful"]


def test_raw_texts_and_preprocessed_batches_give_the_same_logits(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, num_classes=3)
    logits = model(TEXTS)
    assert logits.shape == (2, 3)
    assert torch.equal(model(model.backbone.preprocess(TEXTS)), logits)
    assert torch.equal(model(TEXTS[0]), model(TEXTS[:1]))


def test_its_features_are_those_that_extract_gives(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    expected = extract(TEXTS, f"hf:{tiny_bert}", tmp_path / "other").array()
    torch.testing.assert_close(model.features(TEXTS), torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_a_frozen_backbone_has_no_graph_and_stays_in_evaluation_mode(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path).train()
    assert model.classifier.training
    assert not any(module.training for module in model.backbone.modules())
    assert model.features(TEXTS).grad_fn is None
    model(TEXTS).sum().backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.classifier.parameters())


def test_batch_norms_of_a_frozen_backbone_do_not_move(tmp_path):
    model = FeatureBasedModel.from_pretrained(
        f"timm:{save_timm(tmp_path / 'resnet')}", task="image_classification", device="cpu"
    )
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.train()([picture(0), picture(1)]).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())


def test_only_the_unfrozen_part_gets_gradients(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    learning = model.unfreeze(["layer.2"])
    model.train()(TEXTS).sum().backward()
    given = {name for name, parameter in model.backbone.named_parameters() if parameter.grad is not None}
    assert given == set(learning)
    assert all(".layer.2." in name for name in given)


def test_freeze_backbone_false_lets_everything_learn(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, freeze_backbone=False)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.train().backbone.modules())


def test_any_two_modules_make_a_model():
    backbone, classifier = nn.Sequential(nn.Linear(4, 8), nn.Dropout()), nn.Linear(8, 3)
    model = FeatureBasedModel(backbone, classifier).train()
    logits = model(torch.ones(2, 4))
    assert torch.equal(logits, classifier(backbone(torch.ones(2, 4))))
    logits.sum().backward()
    assert backbone[0].weight.grad is None
    assert model(torch.ones(2, 4)).shape == (2, 3)


def test_a_backbone_that_returns_no_tensor_is_told():
    class Strange(nn.Module):
        def forward(self, inputs):
            return {"features": inputs}

    with pytest.raises(UsageError, match="returns dict; wrap it"):
        FeatureBasedModel(Strange(), nn.Linear(2, 2))(torch.ones(1, 2))


def test_an_mlp_or_a_module_of_ones_own_may_be_the_classifier(tiny_bert, tmp_path):
    assert isinstance(make_model(tiny_bert, tmp_path, classifier="mlp").classifier, MLPClassifier)
    made = make_model(
        tiny_bert, tmp_path, num_classes=5, classifier=lambda width, classes: nn.Linear(width, classes, bias=False)
    )
    assert made(TEXTS).shape == (2, 5)


def test_attention_looks_at_tokens(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, classifier="attention").eval()
    assert isinstance(model.classifier, AttentionClassifier)
    together, alone = model(TEXTS), model(TEXTS[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


def test_the_task_says_which_tower_of_a_checkpoint_answers(tmp_path):
    folder = save_clip(tmp_path / "clip")
    texts = FeatureBasedModel.from_pretrained(f"hf:{folder}", task="text_classification", device="cpu")
    pictures = FeatureBasedModel.from_pretrained(f"hf:{folder}", task="image_classification", device="cpu")
    assert texts(TEXTS).shape == pictures([picture(0), picture(1)]).shape == (2, 2)


def test_wrong_names_are_told_with_the_nearest(tiny_bert, tmp_path):
    with pytest.raises(BackboneError, match="did you mean `bert-base-uncased`"):
        FeatureBasedModel.from_pretrained("bert-base-uncasd")
    with pytest.raises(UsageError, match="did you mean `text_classification`"):
        make_model(tiny_bert, tmp_path, task="text_clasification")
    with pytest.raises(UsageError, match="did you mean `linear`"):
        make_model(tiny_bert, tmp_path, classifier="linar")
    with pytest.raises(UsageError, match="at least 2"):
        make_model(tiny_bert, tmp_path, num_classes=1)


def test_state_dicts_go_between_models(tiny_bert, tmp_path):
    first, second = make_model(tiny_bert, tmp_path), make_model(tiny_bert, tmp_path)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(TEXTS), second(TEXTS))


def test_a_saved_model_answers_the_same_and_holds_no_weights_of_a_frozen_backbone(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, classifier="mlp").eval()
    model.classes = ["good", "bad"]
    model.save(tmp_path / "saved")
    loaded = FeatureBasedModel.load(tmp_path / "saved", device="cpu")
    assert torch.equal(loaded(TEXTS), model(TEXTS))
    assert loaded.classes == ["good", "bad"]
    assert (tmp_path / "saved" / "model.safetensors").stat().st_size < 50_000


def test_a_saved_model_keeps_what_its_backbone_learnt(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path).eval()
    with torch.no_grad():
        next(model.backbone.parameters()).add_(0.1)
    model.save(tmp_path / "saved")
    assert torch.equal(FeatureBasedModel.load(tmp_path / "saved", device="cpu")(TEXTS), model(TEXTS))


def test_a_folder_that_holds_no_model_is_told(tmp_path):
    with pytest.raises(RunError, match="not a saved model"):
        FeatureBasedModel.load(tmp_path)


def test_modules_of_ones_own_cannot_be_saved_by_name(tmp_path):
    with pytest.raises(UsageError, match="save needs a backbone"):
        FeatureBasedModel(nn.Linear(2, 2), nn.Linear(2, 2)).save(tmp_path)


def test_a_backbone_does_not_learn_in_float16(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, precision="float16")
    with pytest.raises(UsageError, match="cannot learn in float16"):
        model.unfreeze([-1])
    assert model.is_frozen

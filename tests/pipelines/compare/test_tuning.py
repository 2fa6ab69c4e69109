import numpy as np
import pytest
import torch
from torch import nn

from heads import LinearHead
from pipelines.compare.batches import prepare_batches
from pipelines.compare.lora import add_lora, find_layers
from pipelines.compare.tuning import NEVER, learn, make_groups, make_plan, put_probe, top_parameters
from pipelines.compare_config import CompareChoice
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.model import FeatureBasedModel
from tests.conftest import sentences

CHOICE = CompareChoice.model_validate({})


@pytest.fixture
def model(tiny_bert):
    backbone = BackboneModule.load(f"hf:{tiny_bert}", "text", device="cpu")
    return FeatureBasedModel(backbone, nn.Linear(32, 2), standardize=True)


def learning(model):
    return [name for name, parameter in model.backbone.named_parameters() if parameter.requires_grad]


def test_partial_fine_tuning_trains_the_top_blocks_alone(model):
    learn("partial", model, CHOICE)
    names = learning(model)
    assert any("layer.2." in name for name in names)
    assert any("layer.1." in name for name in names)
    assert not any("layer.0." in name or "embeddings" in name for name in names)


def test_more_blocks_than_there_are_is_all(model):
    assert len(top_parameters(model.backbone, 9)) == len(list(model.backbone.parameters()))


def test_lora_starts_from_the_same_features_and_trains_nothing_of_the_backbone(model, tiny_bert):
    texts = sentences(3)
    with torch.inference_mode():
        before = model.features(texts)
    learn("lora", model, CHOICE)
    names = learning(model)
    assert names
    assert all("lora_" in name for name in names)
    with torch.no_grad():
        assert torch.allclose(model.features(texts), before, atol=1e-6)
    model(texts).sum().backward()
    assert all(p.grad is not None for name, p in model.backbone.named_parameters() if "lora_B" in name)


def test_lora_adapts_convolutions_of_one_group():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)
            self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1)) for _ in range(3)))

    assert find_layers(Net()) == ["blocks.0.1", "blocks.1.1", "blocks.2.1"]


def test_norms_and_biases_do_not_decay_and_rates_fall_with_depth(model):
    learn("full", model, CHOICE)
    groups = make_groups(model, 1e-4, CHOICE, by_depth=True)
    for group in groups:
        vectors = {parameter.ndim < 2 for parameter in group["params"]}
        assert len(vectors) == 1
        assert group["weight_decay"] == (0.0 if vectors.pop() else CHOICE.weight_decay)
    rates = sorted({group["lr"] for group in groups})
    assert rates[-1] == 1e-3
    assert rates[-2] == pytest.approx(1e-4)
    assert rates[-3] == pytest.approx(0.9e-4)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_few_samples_are_seen_more_often():
    assert make_plan(CHOICE, 1e-4, 32 * 100).max_epochs == 10
    few = make_plan(CHOICE, 1e-4, 40)
    assert few.max_epochs == 100
    assert few.patience == 30


def test_batches_hold_similar_lengths_and_every_sample_once(model):
    texts = sentences(200)
    batches, order = prepare_batches(model.backbone, texts, 8)
    assert sorted(order.tolist()) == list(range(200))
    drawn, padded = [], 0
    for places, part in batches.shuffled(8, torch.Generator().manual_seed(0)):
        drawn += places.tolist()
        padded += part.inputs()[0]["input_ids"].numel()
    assert sorted(drawn) == list(range(200))
    real = int(batches.costs.sum())
    at_random = sum(8 * batches.costs[np.random.default_rng(n).permutation(200)[:8]].max() for n in range(25))
    assert real <= padded < 1.15 * real < at_random

    def order_of(seed):
        return [place for places, _ in batches.shuffled(8, torch.Generator().manual_seed(seed)) for place in places.tolist()]

    assert order_of(0) == drawn != order_of(1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_probe_put_into_a_layer_answers_as_the_head_does(rng, classes):
    X, y = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(classes, size=60)
    head, linear = LinearHead().fit(X, y), nn.Linear(5, classes)
    put_probe(linear, head)
    assert np.allclose(torch.softmax(linear(torch.from_numpy(X)), 1).detach().numpy(), head.predict_proba(X), atol=1e-5)


def test_a_class_that_the_probe_has_not_met_is_as_good_as_impossible(rng):
    X, y = rng.normal(size=(60, 5)).astype(np.float32), rng.choice([0, 2], size=60)
    linear = nn.Linear(5, 3)
    put_probe(linear, LinearHead().fit(X, y))
    assert torch.softmax(linear(torch.from_numpy(X)), 1)[:, 1].max() < np.exp(NEVER / 2)


def test_lora_needs_a_torch_model(model):
    model.backbone.model = None
    with pytest.raises(Exception, match="needs a torch model"):
        add_lora(model.backbone, 4)

import pytest
import torch

from extract import BackboneError, Offer, UnusableSampleError, custom_backbone
from pipelines.errors import UsageError
from pipelines.models.backbone_module import BackboneModule
from tests.extract.backbones.checkpoints import save_blip, save_clip, save_hf_images, save_open_clip, save_timm
from tests.images import picture

TEXTS, PICTURES = ["a good film", "the plot was bad"], [picture(0), picture(1)]
FAMILIES = {
    "hf/vit": (lambda folder: f"hf:{save_hf_images(folder)}", "image"),
    "hf/clip text": (lambda folder: f"hf:{save_clip(folder)}", "text"),
    "hf/clip image": (lambda folder: f"hf:{save_clip(folder)}", "image"),
    "hf/blip image": (lambda folder: f"hf:{save_blip(folder)}", "image"),
    "timm/vit": (lambda folder: f"timm:{save_timm(folder, 'vit')}", "image"),
    "timm/efficientnet": (lambda folder: f"timm:{save_timm(folder, 'efficientnet')}", "image"),
    "open_clip text": (lambda folder: f"open_clip:{save_open_clip(folder)}", "text"),
    "open_clip image": (lambda folder: f"open_clip:{save_open_clip(folder)}", "image"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_unfrozen_and_gives_the_same_features_then(family, tmp_path):
    make, kind = FAMILIES[family]
    backbone = BackboneModule.load(make(tmp_path / "checkpoint"), kind, device="cpu")
    samples = TEXTS if kind == "text" else PICTURES
    frozen = backbone(samples)
    assert frozen.grad_fn is None
    assert not frozen.is_inference()
    backbone.requires_grad_(True)
    learning = backbone(samples)
    torch.testing.assert_close(learning, frozen, atol=1e-5, rtol=1e-4)
    learning.sum().backward()
    assert sum(parameter.grad is not None for parameter in backbone.parameters()) > 5


def test_sentence_transformers_are_unfrozen_with_their_pooling(tiny_bert, tmp_path):
    from sentence_transformers import SentenceTransformer, models

    encoder = models.Transformer(str(tiny_bert))
    SentenceTransformer(modules=[encoder, models.Pooling(32), models.Normalize()], device="cpu").save(str(tmp_path / "st"))
    backbone = BackboneModule.load(f"st:{tmp_path / 'st'}", device="cpu")
    backbone.requires_grad_(True)
    found = backbone(TEXTS)
    found[:, 0].sum().backward()
    assert found.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert backbone.model.encoder.layer[0].output.dense.weight.grad is not None


def test_a_change_of_any_weight_shows(tiny_bert):
    backbone = BackboneModule.load(f"hf:{tiny_bert}", device="cpu")
    assert backbone.is_as_loaded
    backbone.model.encoder.layer[0].output.dense.bias.data[0] += 1e-6
    assert not backbone.is_as_loaded


def test_samples_that_cannot_be_used_are_told_by_row(tmp_path):
    backbone = BackboneModule.load(f"timm:{save_timm(tmp_path / 'resnet')}", device="cpu")
    samples = backbone.read([picture(0), b"no picture", "nowhere.png"])
    assert {row: reason.partition(",")[0] for row, reason in backbone.unusable(samples).items()} == {
        1: "not an image",
        2: "there is no such file",
    }
    with pytest.raises(UnusableSampleError, match="not an image"):
        backbone.preprocess([b"no picture"])


def test_a_model_has_one_output(tiny_bert):
    with pytest.raises(UsageError, match="one output"):
        BackboneModule.load(f"hf:{tiny_bert}", output=["mean", "cls"])
    with pytest.raises(BackboneError, match="no layer 9"):
        BackboneModule.load(f"hf:{tiny_bert}", output="layer9.mean")


def test_an_adapter_that_allows_no_graph_cannot_be_trained():
    import runpy
    from pathlib import Path

    example = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "custom_backbone.py"))
    backbone = BackboneModule.load(custom_backbone(example["Words"](), version=1, offer=Offer(layers=1)), device="cpu")
    assert backbone(TEXTS).shape == (2, 32)
    backbone.requires_grad_(True)
    with pytest.raises(UsageError, match="runs in inference mode, so nothing of it can be trained"):
        backbone(TEXTS)

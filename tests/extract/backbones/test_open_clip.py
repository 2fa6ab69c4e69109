import pytest
import torch
from torch.nn.functional import normalize

from extract import BackboneError, BackboneSpec, ImageText, extract, find_backbone
from extract.backbones.open_clip import OpenClipImages
from extract.outputs import parse_outputs
from tests.extract.backbones.checkpoints import (
    OPEN_CLIP,
    assert_batch_equals_single,
    assert_frozen,
    close,
    load,
    run,
    save_open_clip,
)
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (100, 64), (32, 32)])]
TEXTS = ["good", "a great film and very bright music", "the plot was so dull " * 10]
PAIRS = [ImageText(image, text) for image, text in zip(PICTURES, TEXTS, strict=True)]
OWN = ["pooled", "normalised", "unprojected"]
KINDS = {"plain": {}, "custom text": {"custom_text": True, "text_cfg": {**OPEN_CLIP["text_cfg"], "proj_bias": True}}}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return save_open_clip(tmp_path_factory.mktemp("open_clip") / "model", **KINDS[request.param])


def library(folder):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


def test_the_image_tower_equals_the_library_s(folder):
    (backbone, offer), (model, transform, _) = load(f"open_clip:{folder}"), library(folder)
    outputs = parse_outputs([*OWN, {"layer": "all", "pooling": ["cls", "mean", "tokens"]}], offer)
    features = run(backbone, PICTURES, outputs)
    for row, image in enumerate(PICTURES):
        with torch.no_grad():
            pixels = transform(image)[None]
            feature = model.encode_image(pixels)[0]
            found = model.visual.forward_intermediates(pixels, output_fmt="NLC", output_extra_tokens=True)
        close(features["pooled"][row], feature)
        close(features["normalised"][row], normalize(feature, dim=0))
        close(features["unprojected"][row] @ model.visual.proj.detach(), feature)
        assert offer.layers == len(found["image_intermediates"])
        for layer, patches in enumerate(found["image_intermediates"], 1):
            close(features[f"layer{layer}.mean"][row], patches[0].mean(0))
            close(features[f"layer{layer}.tokens"].states[row], patches[0])
            close(features[f"layer{layer}.cls"][row], found["image_intermediates_prefix"][layer - 1][0, 0])


def test_the_text_tower_equals_the_library_s(folder):
    (backbone, offer), (model, _, tokenizer) = load(f"open_clip:{folder}", "text"), library(folder)
    outputs = parse_outputs([*OWN, {"layer": "all", "pooling": ["mean", "last"]}], offer)
    features = run(backbone, TEXTS, outputs)
    for row, text in enumerate(TEXTS):
        ids = tokenizer([text])
        with torch.no_grad():
            feature = model.encode_text(ids)[0]
            layers = model.forward_intermediates(text=ids)["text_intermediates"]
        close(features["pooled"][row], feature)
        close(features["normalised"][row], normalize(feature, dim=0))
        count = int((ids != 0).sum())
        for layer, states in enumerate(layers, 1):
            close(features[f"layer{layer}.mean"][row], states[0, :count].mean(0))
            close(features[f"layer{layer}.last"][row], states[0, count - 1])


def test_the_text_s_feature_before_the_projection_is_kept_too(tmp_path):
    folder = save_open_clip(tmp_path / "model")
    (backbone, offer), (model, _, _) = load(f"open_clip:{folder}", "text"), library(folder)
    features = run(backbone, TEXTS, parse_outputs(["pooled", "unprojected"], offer))
    close(features["unprojected"] @ model.text_projection.detach(), features["pooled"])


def test_an_image_with_its_text_is_both_side_by_side(folder):
    (backbone, offer), (model, transform, tokenizer) = load(f"open_clip:{folder}", "image and text"), library(folder)
    features = run(backbone, PAIRS, parse_outputs(None, offer))["pooled"]
    for row, pair in enumerate(PAIRS):
        with torch.no_grad():
            image = model.encode_image(transform(pair.image)[None], normalize=True)[0]
            close(features[row], torch.cat([image, model.encode_text(tokenizer([pair.text]), normalize=True)[0]]))


@pytest.mark.parametrize(("kind", "samples"), [("image", PICTURES), ("text", TEXTS), ("image and text", PAIRS)])
def test_a_batch_equals_single_samples_and_frozen_means_frozen(folder, kind, samples):
    backbone, offer = load(f"open_clip:{folder}", kind)
    outputs = parse_outputs("pooled" if offer.layers == 0 else ["pooled", "mean", "layer1.max"], offer)
    assert_batch_equals_single(backbone, samples, outputs)
    assert_frozen(backbone, samples, outputs)


@pytest.mark.parametrize(
    "vision",
    [
        {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        {
            "image_size": 64,
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
        },
    ],
)
def test_towers_of_other_kinds_give_their_own_feature(tmp_path, vision):
    folder = save_open_clip(tmp_path / "model", vision_cfg=vision)
    (backbone, offer), (model, transform, _) = load(f"open_clip:{folder}"), library(folder)
    assert (offer.own, offer.layers) == (("pooled", "normalised"), 0)
    features = run(backbone, PICTURES, parse_outputs(["pooled", "normalised"], offer))
    with torch.no_grad():
        feature = model.encode_image(torch.stack([transform(image) for image in PICTURES]))
    close(features["pooled"], feature)
    close(features["normalised"], normalize(feature, dim=1))
    assert_frozen(backbone, PICTURES, parse_outputs("pooled", offer))


def test_a_file_of_weights_does_for_a_model_of_open_clip_s(tmp_path, monkeypatch):
    import json

    import open_clip

    from extract.backbones import find_open_clip

    (tmp_path / "tiny.json").write_text(json.dumps(OPEN_CLIP))
    monkeypatch.setattr(find_open_clip, "_configs", lambda: tmp_path)
    open_clip.add_model_config(tmp_path / "tiny.json")
    folder = save_open_clip(tmp_path / "saved")
    found = find_backbone(f"open_clip:tiny/{folder / 'open_clip_model.safetensors'}")
    assert found.uri == "open_clip:tiny"
    assert found.weights == find_backbone(f"open_clip:{folder}").weights
    backbone = OpenClipImages.load(found, BackboneSpec("x"), "cpu", "float32")
    expected = load(f"open_clip:{folder}")[0]
    assert torch.equal(backbone.model.conv1.weight, expected.model.conv1.weight)


def test_a_name_that_open_clip_does_not_know_is_told_with_the_nearest():
    with pytest.raises(BackboneError, match="open_clip has no such model; did you mean `open_clip:ViT-B-32"):
        find_backbone("open_clip:ViT-B-33")
    with pytest.raises(BackboneError, match="no such pretrained tag; write `open_clip:ViT-B-32/laion2b_s34b_b79k`"):
        find_backbone("open_clip:ViT-B-32/laion2b_s34b_b79")


def test_a_tag_is_a_repository_on_the_hub_at_a_commit(monkeypatch):
    from extract.backbones import checkpoint

    monkeypatch.setattr(checkpoint, "resolve_commit", lambda name, revision, place: "c" * 40)
    found = find_backbone("open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert found.uri == "open_clip:ViT-B-32/laion2b_s34b_b79k"
    assert found.location == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert found.weights == "commit:" + "c" * 40
    assert [(offer.takes, offer.layers) for offer in (found.offer, *found.offer.others)] == [
        ("image", 12),
        ("text", 12),
        ("image and text", 0),
    ]


def test_the_samples_choose_the_tower(tmp_path):
    uri, store = f"open_clip:{save_open_clip(tmp_path / 'model')}", str(tmp_path / "store")
    found = [extract(samples, uri, store).array().shape for samples in (PICTURES, TEXTS, PAIRS)]
    assert found == [(3, 20), (3, 20), (3, 40)]

import pytest
import torch
from torch.nn.functional import normalize

from extract import BackboneError, extract, find_backbone
from extract.images import ImageText
from extract.outputs import parse_outputs
from tests.extract.backbones.checkpoints import assert_batch_equals_single, assert_frozen, close, load, run, save_clip
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (100, 64), (32, 32)])]
TEXTS = ["good", "a great film and very bright music", "the plot was so dull " * 10]
PAIRS = [ImageText(image, text) for image, text in zip(PICTURES, TEXTS, strict=True)]
OWN = ["pooled", "normalised", "unprojected"]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def family(request, tmp_path_factory):
    return request.param, save_clip(tmp_path_factory.mktemp("clip") / "model", request.param)


def library(folder):
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    return model, AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def library_image(model, processor, image):
    with torch.no_grad():
        return model.get_image_features(**processor(images=image, return_tensors="pt"), output_hidden_states=True)


def library_text(model, tokenizer, text):
    settings = {"padding": "max_length"} if model.config.model_type == "siglip" else {}
    tokens = tokenizer(text, truncation=True, max_length=16, return_tensors="pt", **settings)
    if settings:
        del tokens["attention_mask"]
    with torch.no_grad():
        return model.get_text_features(**tokens, output_hidden_states=True)


def test_the_image_tower_equals_the_library_s(family):
    name, folder = family
    (backbone, offer), (model, processor, _) = load(f"hf:{folder}"), library(folder)
    outputs = parse_outputs([*OWN, {"layer": "all", "pooling": ["cls", "mean", "tokens"] if name == "clip" else "mean"}], offer)
    features = run(backbone, PICTURES, outputs)
    for row, image in enumerate(PICTURES):
        result = library_image(model, processor, image)
        close(features["pooled"][row], result.pooler_output[0])
        close(features["normalised"][row], normalize(result.pooler_output[0], dim=0))
        with torch.no_grad():
            raw = model.vision_model(**processor(images=image, return_tensors="pt")).pooler_output[0]
        close(features["unprojected"][row], raw)
        prefix = 1 if name == "clip" else 0
        for layer, states in enumerate([*result.hidden_states[:-1], result.last_hidden_state]):
            close(features[f"layer{layer}.mean"][row], states[0, prefix:].mean(0))
            if name == "clip":
                close(features[f"layer{layer}.cls"][row], states[0, 0])
                close(features[f"layer{layer}.tokens"].states[row], states[0, 1:])


def test_the_text_tower_equals_the_library_s(family):
    folder = family[1]
    (backbone, offer), (model, _, tokenizer) = load(f"hf:{folder}", "text"), library(folder)
    outputs = parse_outputs([*OWN, {"layer": "all", "pooling": ["cls", "mean", "last", "max"]}], offer)
    features = run(backbone, TEXTS, outputs)
    for row, text in enumerate(TEXTS):
        result = library_text(model, tokenizer, text)
        close(features["pooled"][row], result.pooler_output[0])
        close(features["normalised"][row], normalize(result.pooler_output[0], dim=0))
        count = min(16, len(tokenizer(text)["input_ids"]))
        for layer, states in enumerate([*result.hidden_states[:-1], result.last_hidden_state]):
            real = states[0, :count]
            wanted = {"cls": real[0], "mean": real.mean(0), "last": real[-1], "max": real.amax(0)}
            for pooling, vector in wanted.items():
                close(features[f"layer{layer}.{pooling}"][row], vector)


def test_an_image_with_its_text_is_both_side_by_side(family):
    folder = family[1]
    (backbone, offer), (model, processor, tokenizer) = load(f"hf:{folder}", "image and text"), library(folder)
    features = run(backbone, PAIRS, parse_outputs(None, offer))["pooled"]
    for row, pair in enumerate(PAIRS):
        image = library_image(model, processor, pair.image).pooler_output[0]
        text = library_text(model, tokenizer, pair.text).pooler_output[0]
        close(features[row], torch.cat([normalize(image, dim=0), normalize(text, dim=0)]))


@pytest.mark.parametrize(("kind", "samples"), [("image", PICTURES), ("text", TEXTS), ("image and text", PAIRS)])
def test_a_batch_equals_single_samples_and_frozen_means_frozen(family, kind, samples):
    backbone, offer = load(f"hf:{family[1]}", kind)
    outputs = parse_outputs("pooled" if offer.layers == 0 else ["pooled", "mean", "layer1.max"], offer)
    assert_batch_equals_single(backbone, samples, outputs)
    assert_frozen(backbone, samples, outputs)


def test_the_samples_choose_the_tower(family, tmp_path):
    uri, store = f"hf:{family[1]}", str(tmp_path / "store")
    found = [extract(samples, uri, store) for samples in (PICTURES, TEXTS, PAIRS)]
    assert [features.extracted for features in found] == [3, 3, 3]
    assert len({features.recipe.id for features in found}) == 3
    assert found[2].array().shape[1] == found[0].array().shape[1] + found[1].array().shape[1]


def test_a_layer_of_both_towers_together_there_is_not(tmp_path):
    checkpoint = find_backbone(f"hf:{save_clip(tmp_path / 'clip')}").for_samples("image and text")
    with pytest.raises(BackboneError, match="'mean' is not a pooling; poolings are pooled"):
        parse_outputs("mean", checkpoint.offer)

import pytest
import torch

from extract import BackboneError, extract
from extract.images import ImageText
from extract.outputs import parse_outputs
from tests.extract.backbones.checkpoints import assert_batch_equals_single, assert_frozen, close, load, run, save_blip
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (100, 64), (32, 32)])]
TEXTS = ["good", "a great film and very bright music", "the plot was so dull " * 10]
PAIRS = [ImageText(image, text) for image, text in zip(PICTURES, TEXTS, strict=True)]
ARCHITECTURES = ("BlipForImageTextRetrieval", "BlipForConditionalGeneration", "BlipForQuestionAnswering", "BlipModel")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def blip(request, tmp_path_factory):
    return request.param, save_blip(tmp_path_factory.mktemp("blip") / "model", request.param)


def library(name, folder):
    import transformers

    model = getattr(transformers, name).from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return model, processor, transformers.AutoTokenizer.from_pretrained(folder)


def test_image_features_equal_the_library_s(blip):
    name, folder = blip
    (backbone, offer), (model, processor, _) = load(f"hf:{folder}"), library(name, folder)
    outputs = parse_outputs(["pooled", {"layer": "all", "pooling": ["cls", "mean"]}], offer)
    features = run(backbone, PICTURES, outputs)
    for row, image in enumerate(PICTURES):
        with torch.no_grad():
            result = model.vision_model(**processor(images=image, return_tensors="pt"), output_hidden_states=True)
        close(features["pooled"][row], result.pooler_output[0])
        for layer, states in enumerate([*result.hidden_states[:-1], result.last_hidden_state]):
            close(features[f"layer{layer}.cls"][row], states[0, 0])
            close(features[f"layer{layer}.mean"][row], states[0, 1:].mean(0))


def test_features_of_an_image_with_its_text_equal_the_library_s(blip):
    name, folder = blip
    (backbone, offer), (model, processor, tokenizer) = load(f"hf:{folder}", "image and text"), library(name, folder)
    outputs = parse_outputs({"layer": "all", "pooling": ["cls", "mean", "last"]}, offer)
    features = run(backbone, PAIRS, outputs)
    captions = name == "BlipForConditionalGeneration"
    assert offer.default == ("last" if captions else "cls")
    text_model = model.text_decoder.bert if captions else getattr(model, "text_encoder", None) or model.text_model
    for row, pair in enumerate(PAIRS):
        tokens = tokenizer(pair.text, truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            pixels = processor(images=pair.image, return_tensors="pt")["pixel_values"]
            image = model.vision_model(pixel_values=pixels).last_hidden_state
            result = text_model(
                **tokens, encoder_hidden_states=image, output_hidden_states=True, **({"is_decoder": True} if captions else {})
            )
            if name == "BlipForImageTextRetrieval":
                whole = model(pixel_values=pixels, **tokens)
                close(result.last_hidden_state, whole.question_embeds)
        for layer, states in enumerate(result.hidden_states):
            close(features[f"layer{layer}.cls"][row], states[0, 0])
            close(features[f"layer{layer}.mean"][row], states[0].mean(0))
            close(features[f"layer{layer}.last"][row], states[0, -1])
        close(features["layer3.cls"][row], result.last_hidden_state[0, 0])


@pytest.mark.parametrize(("kind", "samples"), [("image", PICTURES), ("image and text", PAIRS)])
def test_a_batch_equals_single_samples_and_frozen_means_frozen(blip, kind, samples):
    backbone, offer = load(f"hf:{blip[1]}", kind)
    outputs = parse_outputs([offer.default, "layer1.max", "tokens"], offer)
    assert_batch_equals_single(backbone, samples, outputs)
    assert_frozen(backbone, samples, outputs)


def test_the_text_and_the_image_both_count(tmp_path):
    folder, store = save_blip(tmp_path / "blip"), str(tmp_path / "store")
    pairs = [ImageText(picture(0), "good"), ImageText(picture(1), "good"), ImageText(picture(0), "bad"), PAIRS[0]]
    features = extract(pairs, f"hf:{folder}", store)
    assert (features.extracted, features.cached) == (3, 1)  # the first comes twice
    assert len({vector.tobytes() for vector in features.array()}) == 3


def test_texts_alone_are_not_taken(tmp_path):
    with pytest.raises(BackboneError, match="takes images or images with a text, and the samples are texts"):
        load(f"hf:{save_blip(tmp_path / 'blip')}", "text")

import pytest
import torch

from extract import BackboneError, BackboneSpec, extract, find_backbone
from extract.outputs import parse_outputs
from tests.extract.backbones.checkpoints import (
    HF_IMAGES,
    assert_batch_equals_single,
    assert_frozen,
    close,
    load,
    run,
    save_hf_images,
)
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (100, 64), (32, 32)])]
PREFIX = {"vit": 1, "dinov2": 1, "dinov2_with_registers": 5, "deit": 2}


@pytest.fixture(scope="module", params=HF_IMAGES)
def family(request, tmp_path_factory):
    return request.param, save_hf_images(tmp_path_factory.mktemp("hf") / "model", request.param)


def test_every_layer_and_pooling_equals_the_library_s_own_one_by_one(family):
    from transformers import AutoImageProcessor, AutoModel

    name, folder = family
    backbone, offer = load(f"hf:{folder}")
    outputs = parse_outputs(["pooled", {"layer": "all", "pooling": list(offer.poolings)}], offer)
    features = run(backbone, PICTURES, outputs)
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    assert ("cls" in offer.poolings) == (name in PREFIX)
    for row, image in enumerate(PICTURES):
        with torch.no_grad():
            result = model(**processor(images=image, return_tensors="pt"), output_hidden_states=True)
        assert len(result.hidden_states) == offer.layers + 1
        close(features["pooled"][row], result.pooler_output[0].flatten())
        for layer, states in enumerate([*result.hidden_states[:-1], result.last_hidden_state]):
            tokens = states[0].flatten(1).T if states.ndim == 4 else states[0]
            patches = tokens[PREFIX.get(name, 0) :]
            close(features[f"layer{layer}.mean"][row], patches.mean(0))
            close(features[f"layer{layer}.max"][row], patches.amax(0))
            close(features[f"layer{layer}.tokens"].states[row], patches)
            if name in PREFIX:
                close(features[f"layer{layer}.cls"][row], tokens[0])


def test_a_batch_equals_single_images_and_frozen_means_frozen(family):
    backbone, offer = load(f"hf:{family[1]}")
    outputs = parse_outputs(["pooled", "mean", "layer1.tokens"], offer)
    assert_batch_equals_single(backbone, PICTURES, outputs)
    assert_frozen(backbone, PICTURES, outputs)


def test_a_pooler_that_the_checkpoint_lacks_is_not_used_at_random(tmp_path):
    from transformers import AutoModel, ViTForImageClassification

    folder = save_hf_images(tmp_path / "vit")
    ViTForImageClassification(AutoModel.from_pretrained(folder).config).save_pretrained(folder)
    backbone, offer = load(f"hf:{folder}")
    features = run(backbone, PICTURES, parse_outputs(["pooled", "cls"], offer))
    assert torch.equal(features["pooled"], features["layer3.cls"])


def test_other_weights_that_the_checkpoint_lacks_are_an_error(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_hf_images(tmp_path / "vit")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "layernorm" in name.lower())
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackboneError, match="hf:vit: the checkpoint lacks "):
        load(f"hf:{folder}")


def test_another_size_is_a_setting(tmp_path):
    folder, store = save_hf_images(tmp_path / "dino", "dinov2"), str(tmp_path / "store")
    large = extract(PICTURES, BackboneSpec(f"hf:{folder}", image_size=48), store, "tokens")
    own = extract(PICTURES, f"hf:{folder}", store, "tokens")
    assert large.recipe.id != own.recipe.id
    assert (len(large.array()[0]), len(own.array()[0])) == (36, 16)


def test_the_configuration_tells_images_from_texts(tmp_path, tiny_bert):
    assert find_backbone(f"hf:{save_hf_images(tmp_path / 'vit')}").offer.takes == "image"
    assert find_backbone(f"hf:{tiny_bert}").offer.takes == "text"
    with pytest.raises(BackboneError, match="hf:tiny-bert takes texts, and the samples are images"):
        extract(PICTURES, f"hf:{tiny_bert}", str(tmp_path / "store"))

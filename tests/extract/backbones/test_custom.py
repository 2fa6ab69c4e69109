import sys

import numpy as np
import pytest
import torch

from cache import FeatureStore
from extract import BackboneError, BackboneSpec, ImageText, Offer, UnusableSampleError, Views, custom_backbone, extract
from tests.conftest import sentences
from tests.images import picture


class Net(torch.nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.norm, self.drop = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(self.layer(x)))


def lengths(text):
    if text.startswith("awful"):
        raise UnusableSampleError("too awful")
    return torch.tensor([len(text), text.count(" "), 1.0])


def vowels(texts):
    return np.array([[text.count(vowel) for vowel in "aeiou"] for text in texts], dtype=np.float64)


def both(texts):
    return {"vowels": vowels(texts), "size": [[len(text)] for text in texts]}


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def test_a_module_with_a_preprocessing_function_is_a_backbone_and_stays_frozen(store):
    net, texts = Net().train(), ["awful film", *sentences(30)]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    features = extract(texts, custom_backbone(net, lengths), store)
    assert (features.skipped[0].row, features.skipped[0].reason) == (0, "too awful")
    with torch.no_grad():
        expected = Net().eval()(torch.stack([lengths(text) for text in np.array(texts)[features.rows]]))
    np.testing.assert_allclose(features.array(), expected, atol=1e-5, rtol=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert features.recipe.backbone == "python:Net"


def test_a_callable_from_samples_to_an_array_is_a_backbone(store):
    features = extract(["a tale", "oh"], custom_backbone(vowels), store)
    assert features.array().tolist() == [[2, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert extract(["oh"], custom_backbone(vowels), store).extracted == 0


def test_several_outputs_are_named(store):
    backbone = custom_backbone(both, outputs=("vowels", "size"))
    features = extract(["a tale"], backbone, store, ["size", "vowels"])
    assert features.array("size").tolist() == [[6]]
    assert extract(["a tale"], backbone, store).outputs == ("vowels",)
    with pytest.raises(BackboneError, match="'mean' is not a pooling"):
        extract(["a tale"], backbone, store, "mean")


def test_a_changed_weight_layer_or_version_is_another_backbone(store):
    class Other(Net):
        pass

    ids = [
        extract(["good"], custom_backbone(net, lengths, name="net", version=version), store).recipe.id
        for net, version in [(Net(), 1), (Net(seed=1), 1), (Net(), 2), (Net(), 1)]
    ]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]
    plain, relu = (
        custom_backbone(torch.nn.Sequential(torch.nn.ReLU()), lengths),
        custom_backbone(torch.nn.Sequential(torch.nn.Tanh()), lengths),
    )
    assert plain.checkpoint.settings != relu.checkpoint.settings


def test_code_that_cannot_be_told_apart_needs_a_version():
    factor = 3

    def scaled(texts):
        return vowels(texts) * factor

    with pytest.raises(BackboneError, match="takes values from around it, .* give the backbone a `version`"):
        custom_backbone(scaled)
    assert custom_backbone(scaled, version="3").checkpoint.settings == "version:3"
    with pytest.raises(BackboneError, match="needs a `preprocess`"):
        custom_backbone(Net())


def test_a_factory_in_a_file_is_named_in_a_uri_and_its_file_is_part_of_the_recipe(store, tmp_path):
    code = "import torch\n\ndef size(text):\n    return torch.tensor([len(text) * 1.0])\n\ndef make():\n    return torch.nn.Identity(), size\n"
    (tmp_path / "mine_a.py").write_text(code)
    (tmp_path / "mine_b.py").write_text(code.replace("* 1.0", "* 2.0"))
    one, two = (extract(["good"], f"python:{tmp_path}/mine_{letter}.py:make", store) for letter in "ab")
    assert (one.array().tolist(), two.array().tolist()) == ([[4]], [[8]])
    assert one.recipe.backbone == "python:mine_a:make"
    assert one.recipe.preprocessing["settings"] != two.recipe.preprocessing["settings"]


def test_an_adapter_of_one_s_own_has_layers_and_poolings(store):
    sys.path.insert(0, "examples")
    from custom_backbone import Words

    backbone = custom_backbone(Words(), offer=Offer(layers=1))
    features = extract(sentences(5), backbone, store, {"layer": "all", "pooling": ["mean", "tokens"]})
    assert features.outputs == ("layer0.mean", "layer0.tokens", "layer1.mean", "layer1.tokens")
    tokens = FeatureStore(store).read(features.recipe, features.keys, "layer1.tokens")
    for row, text in enumerate(sentences(5)):
        assert tokens[row].shape == (len(text.split()), 32)
        np.testing.assert_allclose(tokens[row].mean(0), features.array("layer1.mean")[row], atol=1e-5)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("python:no.such.module:make", "cannot be imported: ModuleNotFoundError"),
        ("python:/no/such/file.py:make", "there is no file"),
        ("python:tests.extract.backbones.test_custom:nothing", "has no function `nothing`"),
        ("python:tests.extract.backbones.test_custom:fails", "the factory failed with ZeroDivisionError"),
        ("python:tests", "expected python:package.module:factory"),
    ],
)
def test_a_factory_that_is_not_there_or_fails_is_one_line(uri, message, store):
    with pytest.raises(BackboneError, match=message):
        extract(["good"], BackboneSpec(uri), store)


def fails():
    return 1 / 0


def corner(picture):
    return torch.from_numpy(np.asarray(picture)[:2, :2].reshape(-1).astype(np.float32))


@pytest.mark.parametrize("takes", ["image", "image and text"])
def test_views_of_images_reach_a_module_of_one_s_own(store, takes):
    pictures = [picture(seed) for seed in range(3)]
    samples = pictures if takes == "image" else [ImageText(image, "good") for image in pictures]
    preprocess = corner if takes == "image" else lambda sample: corner(sample[0])
    backbone = custom_backbone(torch.nn.Identity(), preprocess, name="corner", version=1, takes=takes)
    features = extract(samples, BackboneSpec(backbone, views=Views(3)), store)
    assert (features.skipped, features.by_view().shape) == ([], (3, 4, 12))
    assert np.array_equal(features.by_view()[:, 0], np.stack([corner(image) for image in pictures]))
    assert len(np.unique(features.by_view().reshape(12, 12), axis=0)) > 6

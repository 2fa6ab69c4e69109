import numpy as np
import pytest

from cache import FeatureStore
from extract import BackboneError, BackboneSpec, ImageText, Views, extract
from extract.decoding import decode
from extract.images import image_keys
from extract.views import POLICIES, View, augment
from tests.extract.backbones.checkpoints import save_blip, save_timm
from tests.images import broken_contents, picture

PICTURES = [picture(seed, (40, 36)) for seed in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return f"timm:{save_timm(tmp_path_factory.mktemp('timm') / 'model', 'convnext')}"


def views_of(model, store, pictures=PICTURES, **settings):
    return extract(pictures, BackboneSpec(model, views=Views(**{"count": 3, **settings})), store)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_view_is_the_same_picture_whenever_it_is_made_and_another_for_another_seed(policy):
    pixels = [np.asarray(augment(PICTURES[0], policy, seed)) for seed in (1, 1, *range(2, 8))]
    assert np.array_equal(pixels[0], pixels[1])
    assert len({values.tobytes() for values in pixels}) > 3
    assert {values.shape for values in pixels} == {(36, 40, 3)}


def test_making_a_view_leaves_the_random_state_alone():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    augment(PICTURES[0], "randaugment", 3)
    assert torch.rand(1) == expected


def test_view_0_is_the_plain_sample_and_the_others_are_augmented(model, tmp_path):
    store = str(tmp_path / "store")
    features = views_of(model, store)
    assert (features.samples, features.extracted, features.cached) == (4, 16, 0)
    array = features.by_view()
    assert array.shape == (4, 4, features.array().shape[1])
    assert np.array_equal(array[:, 0], features.array())
    plain = extract(PICTURES, model, store)
    np.testing.assert_allclose(array[:, 0], plain.array(), atol=1e-5)
    assert plain.by_view().shape == (4, 1, array.shape[2])
    keys = features.view_keys[1, 2].tobytes()
    view = decode(augment(PICTURES[1], "flip-crop", int.from_bytes(keys[:8], "little")))
    np.testing.assert_allclose(array[1, 2], extract([view], model, store).array()[0], atol=1e-5)


def test_one_more_view_extracts_that_one_alone(model, tmp_path):
    store = str(tmp_path / "store")
    first = views_of(model, store)
    more = views_of(model, store, count=4)
    assert (more.extracted, more.cached) == (4, 16)
    assert more.recipe == first.recipe
    assert np.array_equal(more.by_view()[:, :4], first.by_view())
    assert views_of(model, store).backbone_loaded is False


def test_another_seed_gives_other_views_and_another_policy_another_recipe(model, tmp_path):
    store = str(tmp_path / "store")
    first, reseeded, other = (views_of(model, store, **s) for s in ({}, {"seed": 1}, {"policy": "augmix"}))
    assert (reseeded.extracted, other.extracted) == (12, 16)  # the plain samples are shared within a recipe
    assert reseeded.recipe == first.recipe != other.recipe
    assert not np.allclose(first.by_view()[:, 1:], reseeded.by_view()[:, 1:])
    assert len(FeatureStore(store).recipes()) == 2


def test_a_broken_picture_is_skipped_once_with_all_its_views(model, tmp_path):
    pictures = [PICTURES[0], broken_contents()["truncated.jpg"], PICTURES[1]]
    features = views_of(model, str(tmp_path / "store"), pictures)
    assert [skipped.row for skipped in features.skipped] == [1]
    assert (features.extracted, features.by_view().shape[:2]) == (8, (2, 4))


def test_of_an_image_with_a_text_the_image_is_augmented(tmp_path):
    uri, store = f"hf:{save_blip(tmp_path / 'blip')}", str(tmp_path / "store")
    features = views_of(uri, store, [ImageText(picture(0), "good"), ImageText(picture(1), "bad")])
    array = features.by_view()
    assert array.shape[:2] == (2, 4)
    assert len({vector.tobytes() for vector in array.reshape(8, -1)}) == 8


def test_what_views_cannot_be_is_told(tiny_bert, tmp_path):
    with pytest.raises(BackboneError, match="'mixup' is not a policy; policies are flip-crop, randaugment, augmix"):
        Views(2, policy="mixup")
    with pytest.raises(BackboneError, match="neither count -1 nor seed 0 may be negative"):
        Views(-1)
    with pytest.raises(BackboneError, match="views are of images, and the samples are texts"):
        views_of(f"hf:{tiny_bert}", str(tmp_path / "store"), ["good"])


def test_keys_of_views_depend_on_sample_number_and_seed():
    keys = np.frombuffer(b"".join(image_keys(PICTURES)), np.uint8).reshape(-1, 16)
    found = Views(2, seed=3).keys(keys)
    assert np.array_equal(found[:, 0], keys)
    assert len(np.unique(found.reshape(-1, 16), axis=0)) == 12
    assert Views(2).view("x", 0, b"") == "x"
    assert isinstance(Views(2).view("x", 1, bytes(16)), View)


def test_only_the_samples_asked_for_have_views(model, tmp_path):
    spec = BackboneSpec(model, views=Views(count=3))
    pictures = [PICTURES[0], broken_contents()["truncated.jpg"], *PICTURES[1:]]
    features = extract(pictures, spec, str(tmp_path / "store"), viewed=[True, True, False, False, True])
    assert (features.extracted, features.array().shape[0], features.by_view().shape[:2]) == (10, 4, (2, 4))
    assert features.viewed.tolist() == [True, False, False, True]
    assert np.array_equal(features.by_view()[:, 0], features.array()[[0, 3]])
    later = views_of(model, str(tmp_path / "store"), pictures)
    assert (later.cached, later.extracted) == (10, 6)

"""Preprocessing that is not the backbone's own: what each library makes of the settings, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from extract import BackboneError, BackboneSpec, extract
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import check_settings
from extract.outputs import Offer
from tests.conftest import save_encoder, save_tokenizer
from tests.extract.backbones.checkpoints import close, load, save_clip, save_hf_images, save_open_clip, save_timm
from tests.images import picture

WIDE = picture(3, (90, 60))
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


def pixels(uri, kind="image", **settings):
    return load(uri, kind, **settings)[0].decode.transform(WIDE)


def by_hand(size, resample, mean=MEAN, std=STD, crop=None):
    """Resize to `size`, cut the middle, scale and normalise, by PIL and numpy alone."""
    image = WIDE.resize(size, resample)
    if crop is not None:
        left, top = (image.width - crop) / 2, (image.height - crop) / 2
        image = image.crop((round(left), round(top), round(left) + crop, round(top) + crop))
    values = (np.asarray(image, np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(values).permute(2, 0, 1)


NORMAL = {"mean": MEAN, "std": STD}


def test_timm_takes_every_setting(tmp_path):
    uri = f"timm:{save_timm(tmp_path / 'm', 'convnext')}"
    close(
        pixels(uri, **NORMAL, interpolation="lanczos", resize_mode="squash", crop_fraction=1), by_hand((64, 64), Image.LANCZOS)
    )
    found = pixels(uri, **NORMAL, interpolation="nearest", crop_fraction=0.8)
    close(found, by_hand((120, 80), Image.NEAREST, crop=64))
    padded = pixels(uri, **NORMAL, interpolation="bilinear", resize_mode="longest", crop_fraction=1)
    assert len(torch.unique(padded[0, 0])) == 1  # a border above the picture


def test_an_image_processor_of_transformers_takes_them_too(tmp_path):
    uri = f"hf:{save_hf_images(tmp_path / 'm')}"
    torch.testing.assert_close(
        pixels(uri, **NORMAL, interpolation="bicubic"), by_hand((32, 32), Image.BICUBIC), atol=0.01, rtol=0
    )  # torchvision and PIL differ by one of 255 levels
    close(pixels(uri, **NORMAL, interpolation="nearest", resize_mode="squash"), by_hand((32, 32), Image.NEAREST))
    found = pixels(uri, **NORMAL, interpolation="nearest", crop_fraction=0.8)
    close(found, by_hand((60, 40), Image.NEAREST, crop=32))
    close(pixels(uri, **NORMAL, interpolation="nearest", resize_mode="shortest"), by_hand((48, 32), Image.NEAREST, crop=32))
    with pytest.raises(BackboneError, match="resize_mode longest is not what transformers' processors do"):
        pixels(uri, resize_mode="longest")
    with pytest.raises(BackboneError, match="lanczos is none of those of transformers' processors: nearest"):
        pixels(uri, interpolation="lanczos")


def test_open_clip_takes_its_own(tmp_path):
    uri = f"open_clip:{save_open_clip(tmp_path / 'm')}"
    found = pixels(uri, **NORMAL, interpolation="bilinear", resize_mode="squash")
    close(found, by_hand((32, 32), Image.BILINEAR))
    with pytest.raises(BackboneError, match="interpolation `lanczos` is none of open_clip's: bicubic, bilinear"):
        pixels(uri, interpolation="lanczos")


def test_torchvision_takes_a_crop_by_its_share(tmp_path):
    import torchvision

    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "w.pth")
    found = pixels(f"torchvision:resnet18@{tmp_path / 'w.pth'}", **NORMAL, interpolation="nearest", crop_fraction=0.5)
    close(found, by_hand((672, 448), Image.NEAREST, crop=224))


def test_texts_are_lowered_and_cut_where_it_is_asked(tiny_bert):
    long = [" ".join(["good", "BAD", "film"] * 5)]

    def words(**settings):
        backbone, _ = load(f"hf:{tiny_bert}", "text", max_length=5, **settings)
        return backbone.texts.tokenizer.convert_ids_to_tokens(backbone.prepare(long).samples[0]["input_ids"])

    assert words() == ["[CLS]", "good", "[UNK]", "film", "[SEP]"]
    assert words(lowercase=True) == ["[CLS]", "good", "bad", "film", "[SEP]"]
    assert words(truncation_side="left") == ["[CLS]", "good", "[UNK]", "film", "[SEP]"]
    assert words(truncation_side="left", lowercase=True, prompt="A ")[1:4] == ["good", "bad", "film"]
    clip_like = ["so very good", "SO very good"]
    backbone, _ = load(f"hf:{tiny_bert}", "text", lowercase=True)
    assert len({str(tokens) for tokens in backbone.prepare(clip_like).samples}) == 1


def test_the_text_tower_of_clip_takes_them(tmp_path):
    uri = f"hf:{save_clip(tmp_path / 'm')}"
    tower, _ = load(uri, "text", max_length=4, truncation_side="left", lowercase=True)
    plain, _ = load(uri, "text")
    assert tower.prepare(["so the FILM was good"]).samples == plain.prepare(["was good"]).samples


def test_another_tokenizer_is_used_and_is_another_recipe(tiny_bert, tmp_path):
    other = tmp_path / "other"
    save_tokenizer(other)
    vocabulary = (other / "tokenizer.json").read_text()
    swapped = vocabulary.replace('"good"', '"x"').replace('"bad"', '"good"').replace('"x"', '"bad"')
    (other / "tokenizer.json").write_text(swapped)
    store = str(tmp_path / "store")
    found = extract(["good", "bad"], BackboneSpec(f"hf:{tiny_bert}", tokenizer=str(other)), store)
    plain = extract(["bad", "good"], f"hf:{tiny_bert}", store)
    assert found.recipe != plain.recipe
    np.testing.assert_allclose(found.array(), plain.array(), atol=1e-6)
    assert extract(["good"], BackboneSpec(f"hf:{tiny_bert}", tokenizer=str(other)), store).extracted == 0
    (other / "tokenizer.json").write_text(vocabulary)
    assert extract(["good"], BackboneSpec(f"hf:{tiny_bert}", tokenizer=str(other)), store).extracted == 1


def test_a_tokenizer_that_does_not_fit_or_is_not_there_is_told(tmp_path):
    big = save_encoder(tmp_path / "big")
    small = save_encoder(tmp_path / "small")
    text = (big / "tokenizer.json").read_text()
    (big / "tokenizer.json").write_text(text.replace('"bright": 25', '"bright": 25, "more": 26, "most": 27'))
    store = str(tmp_path / "store")
    with pytest.raises(BackboneError, match=r"tokenizer .*big has 28 tokens, and the model knows 26"):
        extract(["good"], BackboneSpec(f"hf:{small}", tokenizer=str(big)), store)
    with pytest.raises(BackboneError, match="there is no such folder"):
        extract(["good"], BackboneSpec(f"hf:{small}", tokenizer="./nowhere"), store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match="no files of a tokenizer in this folder"):
        extract(["good"], BackboneSpec(f"hf:{small}", tokenizer=str(tmp_path / "empty")), store)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"interpolation": "bicubc"}, "interpolation 'bicubc' is not known; did you mean `bicubic`"),
        ({"resize_mode": "shorter"}, "did you mean `shortest`"),
        ({"truncation_side": "middle"}, "it may be right, left"),
        ({"mean": [0.5]}, "mean .* has to be three numbers, one a channel"),
        ({"std": [1, 0, 1]}, "std .* has to be three numbers above 0"),
        ({"crop_fraction": 1.5}, "crop_fraction 1.5 is not above 0 and at most 1"),
        ({"window_overlap": -1}, "window_overlap -1 is negative"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_nearest(settings, told):
    with pytest.raises(BackboneError, match=told):
        BackboneSpec("any", **settings)


@pytest.mark.parametrize(
    ("scheme", "offer", "settings", "told"),
    [
        ("hf", Offer(1), {"image_size": 64}, "`image_size` does not apply to it \\(text\\); .* max_length, prompt, tokenizer"),
        ("timm", Offer(1, takes="image"), {"lowercase": True}, "`lowercase` does not apply to it \\(image\\)"),
        ("open_clip", Offer(1, takes="image", family="image"), {"crop_fraction": 0.9}, "`crop_fraction` does not apply"),
        ("python", Offer(0, family="module"), {"max_length": 9}, "its preprocessing has no settings"),
    ],
)
def test_a_setting_that_a_backbone_would_ignore_is_refused(scheme, offer, settings, told):
    checkpoint = Checkpoint(scheme, "m", "/m", None, "w", "s", offer)
    with pytest.raises(BackboneError, match=told):
        check_settings(checkpoint, BackboneSpec("any", **settings))
    check_settings(checkpoint, BackboneSpec("any", dtype="float16"))

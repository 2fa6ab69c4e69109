import numpy as np
import pytest

from extract import BackboneSpec, Encoder, extract
from tests.images import encoded, picture


def test_features_are_those_of_the_store_and_nothing_is_written(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = ["the film was good", "", "awful", "the film was good", "we loved it and it was great"]
    outputs = {"layer": [1, 3], "pooling": "mean"}
    kept = extract(texts, f"hf:{tiny_bert}", tmp_path / "store", outputs)
    encode = Encoder(BackboneSpec(f"hf:{tiny_bert}"), outputs)
    before = sorted(tmp_path.rglob("*"))
    found = encode(texts)
    assert found.recipe.id == kept.recipe.id
    assert found.rows.tolist() == [0, 2, 3, 4]
    assert [(entry.row, entry.reason) for entry in found.skipped] == [(1, "empty text")]
    for name in ("layer1.mean", "layer3.mean"):
        np.testing.assert_allclose(found.features[name], kept.array(name), atol=1e-6)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_backbone_stays_loaded(tiny_bert, monkeypatch):
    encode = Encoder(BackboneSpec(f"hf:{tiny_bert}"))
    first = encode(["good"])
    monkeypatch.setattr("extract.encoder.adapter_of", lambda *_: pytest.fail("loaded twice"))
    again = encode(["bad", "good"])
    np.testing.assert_allclose(again.features["layer3.mean"][1], first.features["layer3.mean"][0], atol=1e-6)


def test_tokens_stay_ragged_and_nothing_usable_is_no_error(tiny_bert):
    encode = Encoder(BackboneSpec(f"hf:{tiny_bert}"), "tokens")
    found = encode(["good", "the film was good"])
    assert np.diff(found.features["layer3.tokens"].offsets).tolist() == [3, 6]
    nothing = encode(["", None])
    assert (len(nothing.rows), len(nothing.skipped), nothing.features) == (0, 2, {})


def test_broken_pictures_are_told_and_the_others_answered(tmp_path):
    from tests.extract.backbones.checkpoints import save_timm

    save_timm(tmp_path / "model", "convnext")
    good = encoded(picture())
    found = Encoder(BackboneSpec(f"timm:{tmp_path / 'model'}"))([good, good[:50], good])
    assert found.rows.tolist() == [0, 2]
    assert found.skipped[0].row == 1
    (features,) = found.features.values()
    np.testing.assert_array_equal(features[0], features[1])

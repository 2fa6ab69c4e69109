import numpy as np
import pytest

from extract import BackboneError, SourceError, extract, import_features

TEXTS = [f"text {number}" for number in range(6)]


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def test_imported_features_are_found_by_the_name_that_is_told(tmp_path, features):
    uri, kept = import_features(TEXTS, features, "my-e5", tmp_path / "store")
    assert uri.startswith("import:my-e5@")
    np.testing.assert_array_equal(kept.array(), features)
    again = extract(TEXTS[::-1], uri, tmp_path / "store")
    np.testing.assert_array_equal(again.array(), features[::-1])
    assert not again.backbone_loaded


def test_the_same_import_is_the_same_recipe_and_another_is_another(tmp_path, features):
    first, kept = import_features(TEXTS, features, "x", tmp_path / "store")
    assert import_features(TEXTS, features, "x", tmp_path / "store")[0] == first
    changed = features.copy()
    changed[2, 1] += 1e-3
    second, other = import_features(TEXTS, changed, "x", tmp_path / "store")
    assert second != first
    assert other.recipe.id != kept.recipe.id
    np.testing.assert_array_equal(extract(TEXTS, first, tmp_path / "store").array(), features)
    half, small = import_features(TEXTS, features.astype(np.float16), "x", tmp_path / "store")
    assert half != first
    assert small.array().dtype == np.float16


def test_samples_that_were_not_imported_are_an_error_that_says_so(tmp_path, features):
    uri, _ = import_features(TEXTS, features, "x", tmp_path / "store")
    with pytest.raises(BackboneError, match="some samples have no imported features"):
        extract([*TEXTS, "another"], uri, tmp_path / "store")


def test_a_repeated_sample_and_an_empty_one_do_no_harm(tmp_path, features):
    _, kept = import_features([*TEXTS[:4], TEXTS[0], ""], features, "x", tmp_path / "store")
    assert [entry.row for entry in kept.skipped] == [5]
    np.testing.assert_array_equal(kept.array(), features[[0, 1, 2, 3, 0]])


def test_what_does_not_fit_is_refused_and_nothing_is_kept(tmp_path, features):
    with pytest.raises(SourceError, match=r"\[6, 4\], and there are 5 samples"):
        import_features(TEXTS[:5], features, "x", tmp_path / "store")
    features[3, 0] = np.nan
    with pytest.raises(SourceError, match="row 3"):
        import_features(TEXTS, features, "x", tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.h5"))
    for name, match in (("import:x", "which import is not said"), ("import:a/b@0123456789abcdef", "a name is made of")):
        with pytest.raises(BackboneError, match=match):
            extract(TEXTS, name, tmp_path / "store")

import dataclasses

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from extract import BackboneSpec, BadSampleError, FeatureExtractor, Views, extract
from tests.conftest import sentences
from tests.extract.backbones.checkpoints import save_timm
from tests.images import picture


@pytest.fixture
def extractor(tiny_bert, tmp_path):
    return FeatureExtractor(f"hf:{tiny_bert}", store=str(tmp_path / "store"), outputs={"layer": [0, 3], "pooling": "mean"})


def test_it_gives_the_outputs_side_by_side(extractor):
    texts = sentences(5)
    found = extractor.fit_transform(texts)
    features = extract(texts, extractor.backbone, extractor.store, extractor.outputs)
    assert features.extracted == 0
    assert np.array_equal(found, np.hstack([features.array("layer0.mean"), features.array("layer3.mean")]))


def test_it_clones_and_grid_searches_through_the_cache(extractor):
    texts = [*(f"good {number}" for number in range(20)), *(f"bad {number}" for number in range(20))]
    pipeline = make_pipeline(clone(extractor), LogisticRegression())
    search = GridSearchCV(pipeline, {"featureextractor__outputs": ["mean", "cls"]}, cv=4)
    search.fit(np.array(texts), ["good"] * 20 + ["bad"] * 20)
    assert search.best_score_ == 1
    assert search.predict(["good 3", "bad 70"]).tolist() == ["good", "bad"]
    assert extract(texts, extractor.backbone, extractor.store, "cls").extracted == 0


def test_a_sample_without_features_is_an_error_that_names_it(extractor):
    with pytest.raises(BadSampleError, match=r"sample 1: empty text \(1 such\)"):
        extractor.transform(["good", ""])


def test_it_has_every_setting_of_a_backbone_with_the_same_default():
    own = FeatureExtractor().get_params()
    settings = {field.name: field.default for field in dataclasses.fields(BackboneSpec) if field.name != "backbone"}
    assert {name: own[name] for name in settings} == settings


def test_settings_are_searched_through_the_cache(extractor):
    texts = [*(f"GOOD {number}" for number in range(20)), *(f"BAD {number}" for number in range(20))]
    pipeline = make_pipeline(clone(extractor).set_params(max_length=8), LogisticRegression())
    search = GridSearchCV(pipeline, {"featureextractor__lowercase": [True, False]}, cv=4)
    search.fit(texts, ["good"] * 20 + ["bad"] * 20)
    assert search.best_params_ == {"featureextractor__lowercase": True}  # the tiny model knows no capitals
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == 1 > scores[1]


def test_of_views_it_gives_the_mean(tmp_path):
    model, store = f"timm:{save_timm(tmp_path / 'm', 'convnext')}", str(tmp_path / "store")
    pictures = [picture(seed) for seed in range(3)]
    extractor = clone(FeatureExtractor(model, store, views={"count": 2}, image_size=48))
    features = extract(pictures, BackboneSpec(model, views=Views(2), image_size=48), store)
    assert np.array_equal(extractor.fit_transform(pictures), features.by_view().mean(axis=1))
    assert extractor.get_params()["views"] == {"count": 2}


def test_a_data_frame_of_one_column_goes_in_and_named_columns_come_out(extractor):
    import pandas as pd

    texts = sentences(4)
    found = extractor.set_output(transform="pandas").fit_transform(pd.DataFrame({"text": texts}))
    assert found.shape == (4, 64)
    assert found.columns[0] == "featureextractor0"
    np.testing.assert_array_equal(found.to_numpy(), clone(extractor).transform(texts))

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from extract import BadSampleError, FeatureExtractor, extract
from tests.conftest import sentences


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

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from extract import extract
from pipelines import FeatureAnalyzer
from pipelines.errors import UsageError
from pipelines.models.analysis import vectors
from pipelines.report.figures import as_pixels
from tests.pipelines.tiny_models import EVALUATION, make_model


@pytest.fixture
def analyzer(tiny_bert, tmp_path):
    return FeatureAnalyzer(make_model(tiny_bert, tmp_path))


def test_features_are_those_in_the_store(analyzer, tiny_bert, tmp_path):
    texts = [text for text, _ in EVALUATION]
    features = analyzer.extract_features(EVALUATION)
    assert np.array_equal(features, extract(texts, f"hf:{tiny_bert}", tmp_path / "features").array())


def test_features_of_a_changed_backbone_are_its_own(analyzer):
    before = analyzer.extract_features(EVALUATION)
    analyzer.model.backbone.model.encoder.layer[2].output.dense.weight.data.mul_(2)
    after = analyzer.extract_features(EVALUATION)
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 0.01


def test_tokens_are_averaged(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path, output="tokens", classifier="attention")
    mean = make_model(tiny_bert, tmp_path, output="mean")
    found, expected = (FeatureAnalyzer(one).extract_features(EVALUATION[:5]) for one in (model, mean))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.array_equal(vectors(expected), expected)


def test_a_sample_that_cannot_be_used_is_told(analyzer):
    with pytest.raises(UsageError, match="^data, sample 1: empty text"):
        analyzer.extract_features(["a film", ""])


@pytest.mark.parametrize("plot", ["plot_feature_distribution", "plot_tsne", "plot_pca"])
def test_pictures_are_figures_and_files(analyzer, tmp_path, plot):
    features, labels = analyzer.extract_features(EVALUATION), [label for _, label in EVALUATION]
    figure = getattr(analyzer, plot)(features, labels, save_path=tmp_path / "pictures" / "one.png")
    assert isinstance(figure, Figure)
    assert (tmp_path / "pictures" / "one.png").read_bytes()[:4] == b"\x89PNG"
    assert isinstance(getattr(analyzer, plot)(features), Figure)


def test_confusions_are_counted_by_name(analyzer):
    figure = analyzer.plot_confusion_matrix(["a", "b", "b"], ["a", "b", "a"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.texts] == ["1", "1", "0", "1"]


def test_rows_and_labels_must_be_as_many(analyzer):
    with pytest.raises(UsageError, match="3 rows and 2 labels"):
        analyzer.plot_pca(np.ones((3, 4)), ["a", "b"])


@pytest.mark.parametrize("plot", ["plot_feature_distribution", "plot_tsne", "plot_pca"])
def test_labels_go_by_their_order_whatever_index_they_have(analyzer, plot):
    features = analyzer.extract_features(EVALUATION)
    labels = [f"class {number % 2}" for number in range(len(features))]
    shuffled = pd.Series(labels, index=np.random.default_rng(0).permutation(len(labels)) + 3)
    found = [as_pixels(getattr(analyzer, plot)(features, given)) for given in (labels, shuffled)]
    assert np.array_equal(*found)

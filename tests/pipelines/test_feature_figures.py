import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.feature_figures import distribution_figure, learning_curves, project, save_figure, scatter_figure, thin

RNG = np.random.default_rng(0)
TWO = np.concatenate([RNG.normal(0, 1, (30, 8)), RNG.normal(9, 1, (30, 8))])
LABELS = ["a"] * 30 + ["b"] * 30


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_clusters_stay_apart_in_the_plane(method):
    points = project(TWO, method)
    assert points.shape == (60, 2)
    centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * points[:30].std()


def test_a_single_feature_and_few_samples_have_a_picture_too():
    assert project(TWO[:, :1], "pca").shape == (60, 2)
    assert project(TWO[:3], "tsne").shape == (3, 2)
    with pytest.raises(UsageError, match="at least 3 samples"):
        project(TWO[:2], "tsne")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_features_that_are_all_the_same_have_a_picture(method):
    assert np.isfinite(project(np.ones((40, 5)), method)).all()


def test_a_method_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"umap-learn is not installed; pip install 'headstart\[report\]'"):
        project(TWO, "umap")
    with pytest.raises(UsageError, match="did you mean `tsne`"):
        project(TWO, "t-sne")


def test_very_many_samples_are_thinned_evenly():
    assert thin(10, 20).tolist() == list(range(10))
    kept = thin(1_000_000, 5)
    assert (kept[0], kept[-1], len(kept)) == (0, 999_999, 5)


def test_names_have_a_legend_and_numbers_a_scale():
    points = TWO[:, :2]
    assert [text.get_text() for text in scatter_figure(points, LABELS, "t").axes[0].get_legend().get_texts()] == ["a", "b"]
    assert len(scatter_figure(points, [0.5] * 60, "t").axes) == 2
    assert scatter_figure(points, None, "t").axes[0].get_legend() is None


def test_several_labels_a_sample_are_named_together():
    figure = scatter_figure(TWO[:, :2], [["b", "a"], ["a", "b"], []] * 20, "t")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a, b", "none"]


def test_the_features_that_tell_classes_apart_come_first():
    features = RNG.normal(size=(60, 5))
    features[30:, 3] += 9
    titles = [axes.get_title(loc="left") for axes in distribution_figure(features, LABELS, most=2).axes]
    assert titles[0] == "feature 3"
    assert "norm" in titles


def test_features_of_one_length_have_a_picture():
    unit = TWO / np.linalg.norm(TWO, axis=1, keepdims=True)
    assert distribution_figure(unit.astype(np.float32), LABELS).axes
    assert distribution_figure(np.zeros((4, 2)), None).axes


def test_accuracies_have_a_panel_of_their_own():
    assert len(learning_curves([2, 1]).axes) == 1
    figure = learning_curves([2, 1], [2, 2], [0.5, 0.9], [0.5, 0.7])
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert all(len(axes.lines) == 2 for axes in figure.axes)


def test_labels_of_any_script_give_a_picture_and_no_warnings(tmp_path, recwarn):
    save_figure(scatter_figure(TWO[:, :2], ["良い"] * 60, "ตัวอย่าง"), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]

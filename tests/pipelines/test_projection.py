import numpy as np
import pytest

from pipelines.projection import project


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(centre, 1, size=(60, 12)) for centre in (-4, 4)]), np.repeat([0, 1], 60)


@pytest.mark.parametrize("arranged", [120, 40])
def test_clouds_stay_apart_also_where_most_samples_are_put_beside_those_they_are_like(clouds, arranged):
    X, code = clouds
    for projection in project(X, ("pca", "tsne"), arranged):
        assert projection.points.min() >= -1e-9
        assert projection.points.max() <= 1 + 1e-9
        middles = np.stack([projection.points[code == which].mean(axis=0) for which in (0, 1)])
        nearest = np.linalg.norm(projection.points[:, None] - middles, axis=2).argmin(axis=1)
        assert (nearest == code).mean() > 0.95
    assert projection.note == ("t-SNE of 120 samples." if arranged == 120 else
                               "t-SNE of 40 samples, and 80 more put beside those that are most like them.")  # fmt: skip


@pytest.mark.slow
def test_umap_is_there_where_it_is_installed(clouds):
    pytest.importorskip("umap")
    (projection,) = project(clouds[0], ("umap",), 120)
    assert projection.title == "UMAP"
    assert np.isfinite(projection.points).all()


@pytest.mark.parametrize("X", [np.ones((40, 5)), np.ones((2, 5)), np.zeros((1, 1)), np.arange(4.0)[:, None]])
def test_what_cannot_be_spread_does_no_harm(X):
    for projection in project(X, ("pca", "tsne"), 100):
        assert np.isfinite(projection.points).all()

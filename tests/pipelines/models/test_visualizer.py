import pytest

from extract import Samples
from pipelines import FeatureBasedTrainer, FeatureVisualizer
from pipelines.errors import UsageError
from tests.pipelines.models.test_trainer_tasks import TASKS
from tests.pipelines.tiny_models import EVALUATION, TRAIN, make_model


@pytest.fixture
def trained(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    FeatureBasedTrainer(model, TRAIN, learning_rate=1e-2, say=None).train(3)
    return FeatureVisualizer(model)


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_the_feature_space_is_coloured_by_what_is_asked_for(trained, tmp_path):
    by_label = trained.plot_feature_space(data=EVALUATION, method="pca", color_by="label", save_path=tmp_path / "space.png")
    assert legend(by_label) == ["bad", "good"]
    assert (tmp_path / "space.png").is_file()
    assert legend(trained.plot_feature_space(EVALUATION, "pca", "prediction")) == ["bad", "good"]
    assert legend(trained.plot_feature_space(EVALUATION, "pca", "error")) == ["right"]
    assert len(trained.plot_feature_space(EVALUATION, "pca", "confidence").axes) == 2
    assert legend(trained.plot_feature_space(EVALUATION, "pca", ["even", "odd"] * 15)) == ["even", "odd"]


def test_numbers_colour_by_a_scale_and_labels_by_right_and_wrong(tiny_bert, tmp_path):
    settings, data = TASKS["numbers"]
    trainer = FeatureBasedTrainer(make_model(tiny_bert, tmp_path, **settings), *data, say=None)
    trainer.train(1)
    visualizer = FeatureVisualizer(trainer.model)
    for colour in ("label", "prediction", "error"):
        assert len(visualizer.plot_feature_space(data[1], "pca", colour).axes) == 2  # the picture, and its scale
    with pytest.raises(UsageError, match="'confidence': is of one class a sample, and this is a model of regression"):
        visualizer.plot_feature_space(data[1], "pca", "confidence")
    settings, data = TASKS["several labels"]
    trainer = FeatureBasedTrainer(make_model(tiny_bert, tmp_path, **settings), *data, learning_rate=1e-2, say=None)
    trainer.train(5)
    assert set(legend(FeatureVisualizer(trainer.model).plot_feature_space(data[1], "pca", "error"))) <= {"right", "wrong"}


def test_splits_colour_where_there_are_some(trained):
    texts = [text for text, _ in EVALUATION]
    samples = Samples("memory", texts, texts, splits=["train", "test"] * 15)
    assert legend(trained.plot_feature_space(samples, "pca", "split")) == ["test", "train"]


def test_samples_that_cannot_be_used_are_left_out(trained):
    figure = trained.plot_feature_space([*EVALUATION, ("", "good")], "pca")
    assert sum(len(part.get_offsets()) for part in figure.axes[0].collections) == 30


def test_what_cannot_be_drawn_is_told(trained, tiny_bert, tmp_path):
    with pytest.raises(UsageError, match="did you mean `label`"):
        trained.plot_feature_space(EVALUATION, "pca", "labels")
    with pytest.raises(UsageError, match="30 samples and 2 values"):
        trained.plot_feature_space(EVALUATION, "pca", ["a", "b"])
    with pytest.raises(UsageError, match="the data say nothing of it"):
        trained.plot_feature_space(EVALUATION, "pca", "group")
    with pytest.raises(UsageError, match="the data have no labels"):
        trained.plot_feature_space([text for text, _ in EVALUATION], "pca", "error")
    with pytest.raises(UsageError, match="has not been trained"):
        FeatureVisualizer(make_model(tiny_bert, tmp_path)).plot_feature_space(EVALUATION, "pca", "prediction")


def test_learning_curves_are_drawn(trained, tmp_path):
    figure = trained.plot_learning_curves([1.0, 0.5], val_losses=[1.0, 0.7], save_path=tmp_path / "curves.svg")
    assert len(figure.axes) == 1
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")

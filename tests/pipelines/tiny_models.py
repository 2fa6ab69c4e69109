"""A tiny model and texts that it can learn, for the tests of models and trainers."""

from pipelines.models.model import FeatureBasedModel
from tests.seed_blocks import write_texts

TRAIN, EVALUATION = write_texts(60, ["good", "bad"]), write_texts(90, ["good", "bad"])[60:]


def make_model(folder, tmp_path, **settings):
    """Put a classifier on a checkpoint, with its store in a test's folder."""
    return FeatureBasedModel.from_pretrained(f"hf:{folder}", store=str(tmp_path / "features"), device="cpu", **settings)

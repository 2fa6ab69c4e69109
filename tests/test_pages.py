"""The Python of the pages that show the classes, and of the README, runs as it stands."""

from pathlib import Path

import pytest

from tests.conftest import write_reviews
from tests.pipelines.tiny_models import EVALUATION, TRAIN
from tests.seed_blocks import read_blocks

ROOT = Path(__file__).parents[1]


def read_names():
    """Return what a reader of the pages has at hand."""
    texts, labels = zip(*TRAIN, strict=True)
    return {"texts": list(texts), "labels": list(labels), "train_data": TRAIN, "eval_data": EVALUATION}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/pytorch.md", "docs/unfreezing.md", "docs/tracking.md"])
def test_python_on_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "reviews.csv")
    names = read_names()
    blocks = read_blocks(ROOT / page)
    assert blocks
    for heading, code in blocks:
        exec(compile(code, f"<{page}: {heading}>", "exec"), names)

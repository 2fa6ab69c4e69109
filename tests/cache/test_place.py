from pathlib import Path

import pytest

from cache import FeatureStore
from cache.place import absolute, is_url
from tests.cache.conftest import fill, holds


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("s3://bucket/x", True),
        ("memory://x", True),
        ("features", False),
        ("/abs/x", False),
        ("file:///abs/x", False),
        ("c:/x", False),
    ],
)
def test_a_url_is_told_from_a_folder(place, url):
    assert is_url(place) == url


def test_a_place_says_the_same_from_anywhere(tmp_path):
    assert absolute("s3://bucket/x", tmp_path) == "s3://bucket/x"
    assert absolute("features", tmp_path) == str(tmp_path / "features")
    assert absolute(Path("/abs/x")) == "/abs/x"
    assert absolute(f"file://{tmp_path}/x") == str(tmp_path / "x")


def test_a_file_url_is_a_folder(tmp_path):
    fill(FeatureStore(f"file://{tmp_path}/store"), range(5))
    assert holds(FeatureStore(tmp_path / "store"), range(5))

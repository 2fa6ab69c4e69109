"""Extraction into a bucket that is killed again and again, while requests fail."""

import pytest

from benchmarks.bucket import kill_extraction


@pytest.mark.cluster
@pytest.mark.slow
def test_ten_kills_in_the_middle_of_uploads_leave_whole_shards_and_no_row_is_lost(tmp_path):
    found = kill_extraction(tmp_path, kills=10, rows=900)
    assert found["met a running extraction"] >= 5
    assert 0 < found["rows after the last kill"] <= found["rows"]
    assert (found["damaged"], found["rows that lack"]) == ([], 0)
    assert found["largest difference to a local run"] < 1e-5

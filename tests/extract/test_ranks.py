import os
import subprocess
import sys

import numpy as np
import pytest

from cache import FeatureStore, as_key_array, text_key
from extract import extract
from extract.ranks import Rank
from tests.conftest import sentences


def test_every_key_is_exactly_one_rank_s():
    keys = as_key_array(text_key(str(number)) for number in range(1000))
    owned = np.array([Rank(number, 3).owns(keys) for number in range(3)])
    assert (owned.sum(0) == 1).all()
    assert (owned.sum(1) > 250).all()
    assert Rank().owns(keys).all()


def test_a_rank_has_a_device_of_its_own(monkeypatch):
    for name, value in (("RANK", 5), ("WORLD_SIZE", 8), ("LOCAL_RANK", 1)):
        monkeypatch.setenv(name, str(value))
    rank = Rank.of_process()
    assert rank == Rank(5, 8, 1)
    assert (rank.device("cuda"), rank.device("cpu"), rank.device("cuda:3")) == ("cuda:1", "cpu", "cuda:3")
    assert Rank().device("cuda") == "cuda"


PROGRAM = """
import sys
from extract import extract
from tests.conftest import sentences
features = extract([*sentences(200), "", "good"], sys.argv[1], sys.argv[2])
print("told", features.samples, features.cached, features.extracted, len(features.skipped), features.array().shape)
"""


@pytest.mark.slow
def test_two_ranks_compute_every_row_once_and_both_have_all_of_them(tiny_bert, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    store = str(tmp_path / "store")
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, str(program), f"hf:{tiny_bert}", store], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" 202 0 201 1 (201, 32)") == 2
    place = FeatureStore(store)
    shards = place.shards(place.recipes()[0])
    assert len(shards) > 1
    assert sum(len(shard.keys) for shard in shards) == 201
    alone = extract([*sentences(200), "good"], f"hf:{tiny_bert}", str(tmp_path / "alone"))
    np.testing.assert_allclose(place.read(alone.recipe, alone.keys, "layer3.mean"), alone.array(), atol=1e-5, rtol=0)

import os
import subprocess
import sys

import numpy as np
import pytest

from cache import FeatureStore, as_key_array, text_key
from extract import extract
from extract.errors import NoSuchNameError
from extract.ranks import Rank
from tests.conftest import sentences


def test_every_key_is_exactly_one_rank_s():
    keys = as_key_array(text_key(str(number)) for number in range(1000))
    owned = np.array([Rank(number, 3).owns(keys) for number in range(3)])
    assert (owned.sum(0) == 1).all()
    assert (owned.sum(1) > 250).all()
    assert Rank().owns(keys).all()


def test_with_another_number_of_ranks_what_is_missing_is_shared_out_anew():
    keys = as_key_array(text_key(str(number)) for number in range(1000))
    missing = ~Rank(0, 4).owns(keys)
    owned = np.array([Rank(number, 3).owns(keys[missing]) for number in range(3)])
    assert (owned.sum(0) == 1).all()
    assert (owned.sum(1) > 200).all()


def test_a_rank_has_a_device_of_its_own():
    rank = Rank.of_process({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert rank == Rank(5, 8, 1)
    eight = {"count": lambda: 8}
    assert (rank.device("cuda", **eight), rank.device("cpu"), rank.device("cuda:3")) == ("cuda:1", "cpu", "cuda:3")
    assert rank.device("cuda", lambda: 1) == "cuda:0"  # srun shows each task its own
    assert Rank().device("cuda") == "cuda"


TASK = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (TASK, Rank(5, 8, 1)),
        (TASK | {"SLURM_STEP_NUM_TASKS": "6", "ENVIRONMENT": "BATCH"}, Rank(5, 6, 1)),  # a step of fewer tasks than the job has
        (TASK | {"ENVIRONMENT": "BATCH", "SLURM_PROCID": "0"}, Rank()),  # the batch script itself
        ({"SLURM_NTASKS": "1"}, Rank()),
        (TASK | {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3"}, Rank(3, 4, 3)),  # torchrun within a task
        ({}, Rank()),
    ],
)
def test_tasks_of_srun_are_ranks_and_a_batch_script_is_none(environment, expected):
    assert Rank.of_process(environment) == expected


@pytest.mark.parametrize(
    "environment", [{"RANK": "x", "WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}, TASK | {"SLURM_PROCID": "8"}]
)
def test_what_is_no_rank_is_an_error_of_one_line(environment):
    with pytest.raises(NoSuchNameError, match="is no rank"):
        Rank.of_process(environment)


def test_ranks_of_one_launch_have_one_session_and_another_launch_has_another():
    launch = {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "a", "TORCHELASTIC_RESTART_COUNT": "0"}
    first, second = (Rank.of_process(launch | {"RANK": number}) for number in "01")
    again = Rank.of_process(launch | {"RANK": "0", "TORCHELASTIC_RESTART_COUNT": "1"})
    assert first.session == second.session != again.session


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

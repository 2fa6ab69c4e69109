"""Commands in several processes: under torchrun, as tasks of srun, and started by `--engine torchrun`; some are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore
from cache.maintenance import verify
from extract import extract
from pipelines.cli import main
from tests.conftest import sentences
from tests.s3 import S3Server

ROOT = Path(__file__).parents[2]
ROWS = 9000
BACKBONE = """
import hashlib
import time

import numpy as np


def features(texts):
    open("begun", "w").close()
    time.sleep(0.004)  # so that there is a middle in which to be killed
    return np.array([list(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in texts], np.float32)


def make():
    return features
"""
CONFIG = """
name: many
data: {path: many.txt.csv}
backbones: ['python:backbone.py:make']
heads: [{kind: linear}]
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
EXTRACT = ["-m", "pipelines.cli", "extract", "config.yaml", "--store", "store", "--json"]


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder with a config over many texts and a backbone that takes its time; and the working directory in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "backbone.py").write_text(BACKBONE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "many.txt.csv").write_text("text\n" + "".join(f"{text}\n" for text in [*sentences(ROWS), '""']))
    return tmp_path


def children(parent):
    """Return the processes that a process has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def shards(folder):
    return list(folder.glob("store/recipes/*/shards/*.h5"))


def wait_until(holds, *, seconds=120):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def check_store(folder):
    """See that every row is there once, that every byte holds, and that a local run gives the same rows."""
    store = FeatureStore(folder / "store")
    [recipe] = store.recipes()
    assert sum(shard.rows for shard in store.shards(recipe)) == ROWS
    assert verify(store).damaged == {}
    alone = extract(sentences(ROWS), f"python:{folder / 'backbone.py'}:make", str(folder / "alone"))
    np.testing.assert_array_equal(store.read(recipe, alone.keys, "pooled"), alone.array())


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 3)])
def test_a_killed_rank_ends_the_others_and_another_number_of_ranks_does_what_is_missing(many, before, after):
    run = subprocess.Popen(
        [*TORCHRUN, f"--nproc-per-node={before}", *EXTRACT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: len(shards(many)) > 0)
    os.kill(children(run.pid)[1], signal.SIGKILL)
    assert run.wait(300) != 0
    assert run.stdout.read() == b""
    held = sum(shard.rows for shard in FeatureStore(many / "store").shards(FeatureStore(many / "store").recipes()[0]))
    assert 0 < held < ROWS
    again = subprocess.run([*TORCHRUN, f"--nproc-per-node={after}", *EXTRACT], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    [told] = json.loads(again.stdout)["recipes"]
    assert (told["samples"], told["cached"], told["extracted"], told["skipped"]) == (ROWS + 1, held, ROWS - held, 1)
    check_store(many)


@pytest.mark.cluster
@pytest.mark.slow
def test_tasks_of_srun_do_the_work_of_one_that_was_killed(many):
    tasks = [
        subprocess.Popen(
            [sys.executable, *EXTRACT],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": str(number), "SLURM_NTASKS": "3"},
        )
        for number in range(3)
    ]
    wait_until(lambda: len(shards(many)) > 0)
    tasks[1].kill()
    told = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, -signal.SIGKILL, 0]
    assert json.loads(told[0])["recipes"][0]["samples"] == ROWS + 1
    assert told[1:] == [b"", b""]
    check_store(many)


@pytest.mark.cluster
@pytest.mark.slow
def test_the_engine_torchrun_starts_ranks_itself_and_a_mistake_is_told_once(many):
    asked = ["--engine", "torchrun", "--processes", "2"]
    done = subprocess.run([sys.executable, *EXTRACT, *asked], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipes"][0]["extracted"] == ROWS
    assert len(shards(many)) > 1
    check_store(many)
    (many / "many.txt.csv").unlink()
    failed = subprocess.run([sys.executable, *EXTRACT, *asked], capture_output=True, text=True, timeout=300)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.count("there is no such file") == 1
    assert "Traceback" not in failed.stderr


NAMED = """
import os
import platform

platform.node = lambda: os.environ["TEST_NODE"]  # by which processes tell machines apart
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_tasks_on_machines_that_share_nothing_but_a_bucket_hear_of_each_other(many, monkeypatch):
    server = S3Server()
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("features")
        (many / "sitecustomize.py").write_text(NAMED)
        extracting = ["-m", "pipelines.cli", "extract", "config.yaml", "--store", "s3://features/store", "--json"]
        tasks = [
            subprocess.Popen(
                [sys.executable, *extracting],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ
                | {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": str(number), "SLURM_NTASKS": "3"}
                | {"TEST_NODE": f"node{number}", "XDG_CACHE_HOME": str(many / f"node{number}")}
                | {"PYTHONPATH": f"{many}{os.pathsep}{ROOT}"},
            )
            for number in range(3)
        ]
        told = [task.communicate(timeout=300)[0] for task in tasks]
        assert [task.returncode for task in tasks] == [0, 0, 0]
        [recipe] = json.loads(told[0])["recipes"]
        assert (recipe["samples"], recipe["extracted"], recipe["skipped"]) == (ROWS + 1, ROWS, 1)
        assert told[1:] == [b"", b""]
        monkeypatch.setenv("XDG_CACHE_HOME", str(many / "elsewhere"))
        store = FeatureStore("s3://features/store")
        assert sum(shard.rows for shard in store.shards(store.recipes()[0])) == ROWS
        assert verify(store).damaged == {}
    finally:
        server.close()


def test_an_engine_that_does_not_exist_is_an_error_of_one_line(many, capsys):
    assert main(["extract", "config.yaml", "--engine", "slurm"]) == 2
    assert "`engine.kind`: input should be 'local'" in capsys.readouterr().err


def test_a_process_that_is_to_end_commits_what_it_has(many):
    run = subprocess.Popen([sys.executable, *EXTRACT], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until((many / "begun").exists)
    time.sleep(0.3)
    run.terminate()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "what was extracted is in the store" in told
    assert len(shards(many)) > 0

import json
import os
import subprocess
import sys

import pytest

from cache import FeatureStore


@pytest.mark.slow
def test_of_two_ranks_both_extract_and_the_first_one_trains(project):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "--", "pipelines.cli", "train", "config.yaml", "--run", "run", "--json"]
    done = subprocess.run([*torchrun, *command], capture_output=True, text=True, timeout=300, env=environment, cwd=project)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)  # one object: the other rank says nothing
    assert metrics["trials"] == 2
    assert metrics["extract"]["recipes"][0]["extracted"] == 120
    assert [path.name for path in project.iterdir() if (path / "metrics.json").exists()] == ["run"]
    store = FeatureStore(project / "features")
    [recipe] = store.recipes()
    shards = store.shards(recipe)
    assert len(shards) > 1
    assert sum(len(shard.keys) for shard in shards) == 120

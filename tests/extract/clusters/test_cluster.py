import importlib.util
import os
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.ray_failures import run_with_failures, short_folder
from cache import FeatureStore
from extract import Columns, Engine, NoSuchNameError, Request, custom_backbone, extract, extract_stream, stream_samples
from extract.clusters.pool import Pool
from extract.errors import BackboneError, EngineError
from tests.conftest import sentences

CHANGING = """
import os

from extract import custom_backbone


def make():
    return custom_backbone(lambda texts: [[1.0]] * len(texts), name="x", version=os.getpid())
"""
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


def lengths(texts):
    return np.array([[len(text), text.count("a")] for text in texts], np.float32)


def test_without_ray_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoSuchNameError, match=r"engine ray needs Ray: pip install 'headstart\[ray\]'"):
        extract(["a"], "python:x:y", str(tmp_path), engine="ray")


@pytest.fixture
def stub_ray(monkeypatch):
    """A stand-in for Ray with two nodes, of which one is gone."""
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    return nodes


@pytest.mark.parametrize(
    ("processes", "device", "expected"),
    [
        (None, "cuda", (2, 1, 1)),
        (1, "cuda", (1, 1, 1)),
        (9, "cuda", (2, 1, 1)),
        (None, "cpu", (2, 3, 0)),
        (5, "cpu", (5, 1, 0)),
    ],
)
def test_there_is_an_actor_for_every_gpu_or_node_that_lives(stub_ray, monkeypatch, processes, device, expected):
    from extract.clusters.cluster import Cluster

    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    assert Cluster(Engine("ray", processes)).pool(device) == Pool(*expected)


def test_a_cluster_without_the_device_is_an_error(stub_ray, monkeypatch):
    from extract.clusters.cluster import Cluster

    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    stub_ray[0]["Resources"].pop("GPU")
    with pytest.raises(EngineError, match="no node of the cluster has a GPU"):
        Cluster(Engine("ray")).pool("cuda")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:{free}", "no cluster answers at 127.0.0.1:.*Connection refused.*`ray start --head` starts one"),
        ("ray://127.0.0.1:{free}", "no cluster answers at ray://127.0.0.1:"),
        ("garbage", "`garbage` is no address; write host:port"),
        ("127.0.0.1:99999", "no cluster answers"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_and_not_waited_for(address, told):
    import socket

    from extract.clusters.cluster import check_answers

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(EngineError, match=told):
            check_answers(address.format(free=free.getsockname()[1]))
        free.listen()
        check_answers(f"127.0.0.1:{free.getsockname()[1]}")
    for nobody in (None, "auto", "local"):
        check_answers(nobody)


@pytest.fixture(scope="module")
def one_node(turn_to_start_clusters):
    """A Ray cluster of one node with two processors, which this process is connected to."""
    import ray

    with turn_to_start_clusters, short_folder() as short, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", short)
        patch.setenv("PYTHONPATH", os.getcwd())
        ray.init(num_cpus=2, object_store_memory=10**8, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@needs_ray
@pytest.mark.cluster
@pytest.mark.slow
def test_actors_give_the_rows_of_a_local_run_and_say_what_is_wrong(tiny_bert, tmp_path, one_node):
    texts = [*sentences(500), "", "good", "good"]
    there = extract(texts, f"hf:{tiny_bert}", str(tmp_path / "there"), engine=Engine("ray", 1))
    again = extract(texts, f"hf:{tiny_bert}", str(tmp_path / "there"), engine="ray")
    (tmp_path / "changing.py").write_text(CHANGING)
    with pytest.raises(BackboneError, match="python:changing:make: is not the same"):
        extract(texts, f"python:{tmp_path}/changing.py:make", str(tmp_path / "other"), engine="ray")
    here = extract(texts, f"hf:{tiny_bert}", str(tmp_path / "here"))
    assert (there.samples, there.cached, there.extracted, len(there.skipped)) == (503, 1, 501, 1)
    assert (again.cached, again.extracted, again.backbone_loaded) == (502, 0, False)
    assert there.recipe == here.recipe
    assert there.truncation == here.truncation
    np.testing.assert_allclose(there.array(), here.array(), atol=1e-5, rtol=0)
    store = FeatureStore(tmp_path / "there")
    assert sum(shard.rows for shard in store.shards(there.recipe)) == 501


@needs_ray
@pytest.mark.cluster
@pytest.mark.slow
def test_a_cluster_reads_parquet_as_this_process_does(tiny_bert, tmp_path, one_node):
    texts = [*sentences(3000), "", "good"]
    for number, part in enumerate(np.array_split(np.array(texts), 3)):
        table = pa.table({"text": part.tolist(), "label": [f"c{len(text) % 3}" for text in part]})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    requests = [Request(f"hf:{tiny_bert}"), Request(custom_backbone(lengths, version=1, name="lengths"))]

    def streamed(name, engine):
        source = stream_samples(str(tmp_path / "*.parquet"), Columns(text="text", label="label"))
        return extract_stream(source, requests, str(tmp_path / name), engine=engine)

    there, here = streamed("there", Engine("ray", 2)), streamed("here", "local")
    assert list(there.table.ids) == list(here.table.ids)
    assert list(there.table.labels) == list(here.table.labels)
    for mine, its in zip(here.features, there.features, strict=True):
        assert (mine.samples, mine.skipped, mine.recipe) == (its.samples, its.skipped, its.recipe)
        assert mine.truncation == its.truncation
        np.testing.assert_allclose(its.array(), mine.array(), atol=1e-5, rtol=0)


@needs_ray
@pytest.mark.cluster
@pytest.mark.slow
def test_a_killed_worker_and_a_killed_node_lose_no_row_and_double_none(tmp_path):
    """Of a stream, whose tasks and actors are killed; `python -m benchmarks.ray_failures` does it to samples in memory, too."""
    found = run_with_failures(tmp_path, 20_000, lambda _: None, streamed=True)
    assert found["workers_lost_with_the_node"] > 0
    assert (found["rows"], found["distinct"], found["damaged"], found["largest_difference"]) == (20_000, 20_000, 0, 0.0)
    assert found["told"]["cached"] + found["told"]["extracted"] == 20_000

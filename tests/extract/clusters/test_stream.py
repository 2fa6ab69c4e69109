"""Streams that a Ray cluster reads itself, with a stand-in for Ray that runs tasks and actors in this process."""

import importlib.util
import tempfile
import threading
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore, HeadstartError
from extract import Engine, Request, Samples, SampleStream, custom_backbone, extract
from extract.clusters import stream as streams
from extract.clusters.actor import Whereabouts
from extract.clusters.stream import RayStream, StreamWork, join, lacking, packed, settle
from extract.errors import BackboneError, EngineError, SourceError
from extract.stream_slice import SliceExtractor
from tests.conftest import sentences
from tests.extract.clusters.stand_in import StandIn

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
pytestmark = needs_ray  # whose cloudpickle sends parts on their way


def embed(texts):
    return np.array([[len(text), text.count("a"), sum(map(ord, text)) % 997] for text in texts], np.float32)


STUB = custom_backbone(embed, version=1, name="stub")


class Told:
    """Adds up what progress is told."""

    def __init__(self):
        self.cached = self.extracted = 0

    def start(self, title, cached, missing, copies=0):
        self.cached += cached

    def advance(self, samples, share):
        self.extracted += samples


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr("extract.clusters.blocks.LEAST_SAMPLES", 4)


def parts_of(texts, size):
    def part(start):
        def read():
            rows = range(start, min(start + size, len(texts)))
            yield Samples(
                "texts", [texts[row] for row in rows], [f"texts:{row}" for row in rows], [f"c{row % 3}" for row in rows]
            )

        return read

    return [part(start) for start in range(0, len(texts), size)]


def on_a_cluster(cluster, parts, folder, there=None, backbone=STUB):
    store, told, requests = FeatureStore(folder), Told(), [Request(backbone)]
    work = StreamWork(Whereabouts.of(store if there is None else FeatureStore(there)), requests, "cpu", None, False)
    extracting = SliceExtractor(requests, store, progress=told)
    recipes = [settle(request, "cpu", lambda asked: "float32")[1] for request in requests]
    return list(RayStream(cluster, work, extracting, recipes, packed(parts)).slices()), told


@pytest.mark.parametrize("breaks_after", [[], [7], [3, 5, 1]])
def test_slices_come_in_order_whole_and_once_whatever_breaks_off(tmp_path, small_slices, breaks_after):
    texts = [*sentences(90), "", *sentences(9)]
    cluster = StandIn(breaks_after)
    found, told = on_a_cluster(cluster, parts_of(texts, 25), tmp_path / "store")
    assert [name for slice_ in found for name in slice_.samples.ids] == [f"texts:{row}" for row in range(100)]
    assert [label for slice_ in found for label in slice_.samples.labels] == [f"c{row % 3}" for row in range(100)]
    assert [entry.id for slice_ in found for entry in slice_.skipped[0]] == ["texts:90"]
    assert max(len(slice_.samples) for slice_ in found) < 10
    assert len(cluster.runs) == 1 + len(breaks_after)
    assert told.cached + told.extracted == 99
    rows = np.concatenate([slice_.features[0].array() for slice_ in found])
    assert np.array_equal(rows, embed([text for text in texts if text]))
    [recipe] = FeatureStore(tmp_path / "store").recipes()
    assert sum(shard.rows for shard in FeatureStore(tmp_path / "store").shards(recipe)) == len(set(texts) - {""})


def test_what_is_in_the_store_is_not_extracted_again(tmp_path, small_slices):
    parts = parts_of(sentences(40), 10)
    on_a_cluster(StandIn(), parts, tmp_path / "store")
    found, told = on_a_cluster(StandIn(), parts, tmp_path / "store")
    assert (told.cached, told.extracted) == (40, 0)
    assert not any(slice_.features[0].backbone_loaded for slice_ in found)


def test_parts_that_came_whole_are_not_read_again(tmp_path, small_slices):
    texts = sentences(60)
    cluster = StandIn([-1])
    on_a_cluster(cluster, parts_of(texts, 10), tmp_path / "store")
    assert [row["part"] for row in cluster.runs[0]] == list(range(6))
    assert len(cluster.runs[1]) == 1


def test_a_run_without_headway_is_the_last(tmp_path, small_slices):
    with pytest.raises(EngineError, match="^ray: RuntimeError: and so was the work$"):
        on_a_cluster(StandIn([3, 0]), parts_of(sentences(40), 10), tmp_path / "store")


def test_what_cannot_be_read_is_told_as_the_source_tells_it(tmp_path, small_slices):
    def broken():
        yield from parts_of(sentences(10), 10)[0]()
        raise SourceError("texts: the disk is gone")

    with pytest.raises(SourceError, match="^texts: the disk is gone$"):
        on_a_cluster(StandIn(), [*parts_of(sentences(20), 10), broken], tmp_path / "store")


def test_what_is_wrong_on_another_node_is_told_with_its_name(tmp_path, small_slices, monkeypatch):
    def broken():
        raise SourceError("texts: there is no such file")
        yield

    names = iter(["there", *["here"] * 9])
    monkeypatch.setattr(streams.os, "uname", lambda: type("Name", (), {"nodename": next(names)}))
    with pytest.raises(SourceError, match="^on there: texts: there is no such file$"):
        on_a_cluster(StandIn(), [broken], tmp_path / "store")


def test_a_node_with_other_weights_is_told(tmp_path, small_slices, monkeypatch):
    class Other(streams.ExtractingSlices):
        def __init__(self, work):
            other = custom_backbone(embed, version=2, name="stub")
            super().__init__(StreamWork(work.at, [Request(other)], "cpu", None, False))

    monkeypatch.setattr(streams, "ExtractingSlices", Other)
    with pytest.raises(BackboneError, match=r"is not the same on .* as where the extraction was asked for"):
        on_a_cluster(StandIn(), parts_of(sentences(40), 10), tmp_path / "store")


@pytest.mark.parametrize("before", [0, 25])
def test_a_store_that_nodes_do_not_share_is_told(tmp_path, small_slices, before, monkeypatch):
    monkeypatch.setattr("extract.clusters.pool.SEEN_WITHIN", 0.0)
    texts = sentences(60)
    for folder in ("here", "there"):
        extract(texts[:before], STUB, str(tmp_path / folder))
    with pytest.raises(EngineError, match="the store has to be in a bucket, or on a disk that all nodes share"):
        on_a_cluster(StandIn(), parts_of(texts, 10), tmp_path / "here", tmp_path / "there")


def test_a_store_of_which_a_node_shares_a_part_is_told_in_the_end(tmp_path, small_slices, monkeypatch):
    monkeypatch.setattr("extract.clusters.pool.SEEN_WITHIN", 0.0)
    texts, removed = sentences(60), []

    class Losing(RayStream):
        def _take(self, *how):
            taken = super()._take(*how)
            if self._nodes and not removed:  # what comes after the first look goes elsewhere
                removed.append(monkeypatch.setattr(streams.Whereabouts, "open", lambda _: FeatureStore(tmp_path / "there")))
            return taken

    monkeypatch.setattr("tests.extract.clusters.test_stream.RayStream", Losing)
    cluster = StandIn()
    cluster.fresh_actors = True
    with pytest.raises(EngineError, match="samples were extracted, and .*here does not have them"):
        on_a_cluster(cluster, parts_of(texts, 10), tmp_path / "here")


def sizes_that_change(rows, seed=0):
    """Return a part whose samples have other sizes, and so are cut elsewhere, whenever it is read."""
    path = Path(tempfile.mkdtemp()) / "readings"

    def read():
        readings = int(path.read_text()) + 1 if path.exists() else 0
        path.write_text(str(readings))
        sizes = np.random.default_rng([seed, readings]).integers(1, 200, rows)
        texts = [f"{row} " + "a" * int(size) for row, size in enumerate(sizes)]
        yield Samples("texts", texts, [f"texts:{row}" for row in range(rows)])

    return read


@pytest.mark.parametrize("breaks_after", [[5], [3, 4, 2], [2, 2, 2, 2]])
def test_parts_that_are_cut_elsewhere_when_they_are_read_again_lose_no_row_and_double_none(
    tmp_path, small_slices, breaks_after
):
    parts = [sizes_that_change(40), sizes_that_change(25)]
    found, _ = on_a_cluster(StandIn(breaks_after), parts, tmp_path / "store")
    rows = [name for slice_ in found for name in slice_.samples.ids]
    assert rows == [f"texts:{row}" for row in range(40)] + [f"texts:{row}" for row in range(25)]


@pytest.mark.parametrize("seed", range(6))
def test_a_task_that_ray_begins_again_and_that_cuts_elsewhere_loses_no_row_and_doubles_none(tmp_path, small_slices, seed):
    class Again(StandIn):
        def results(self, rows, actor, work, renew, read):
            def twice(batch, work):
                pieces = list(read(batch, work))
                yield from pieces[:2]
                yield from list(read(batch, work))[2:]  # Ray counts what a task gives, and leaves out what it has

            return super().results(rows, actor, work, renew, twice)

    found, _ = on_a_cluster(Again(), [sizes_that_change(60, seed)], tmp_path / "store")
    assert [name for slice_ in found for name in slice_.samples.ids] == [f"texts:{row}" for row in range(60)]


def test_rows_that_never_come_are_an_error_and_no_loop(tmp_path, small_slices):
    class Forgetful(StandIn):
        def results(self, *how):
            yield from (row for row in super().results(*how) if row["start"] != 0 or not row["answer"])

    with pytest.raises(EngineError, match="^ray: 4 parts lack rows that do not come$"):
        on_a_cluster(Forgetful(), parts_of(sentences(40), 10), tmp_path / "store")


def test_an_error_of_any_type_is_told_at_once_and_not_tried_again(tmp_path, small_slices):
    def broken(texts):
        raise ZeroDivisionError("no memory\nat all")

    cluster = StandIn()
    with pytest.raises(HeadstartError):
        on_a_cluster(
            cluster, parts_of(sentences(40), 10), tmp_path / "store", backbone=custom_backbone(broken, version=1, name="broken")
        )
    assert len(cluster.runs) == 1


def test_actors_are_no_ranks_whatever_started_ray(tmp_path, small_slices, monkeypatch):
    for name, value in (("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_LOCALID", "1")):
        monkeypatch.setenv(name, value)
    found, told = on_a_cluster(StandIn(), parts_of(sentences(40), 10), tmp_path / "store")
    assert told.extracted == sum(slice_.features[0].extracted for slice_ in found) == len(set(sentences(40)))
    assert not list((tmp_path / "store").rglob("reports/*"))


def test_actors_wait_for_no_claim_of_one_that_died(tmp_path, small_slices):
    texts = sentences(40)
    store = FeatureStore(tmp_path / "store")
    recipe = extract(texts[:1], STUB, store).recipe
    with store.lease(recipe) as another:
        another.claim(Samples.of(texts).admit().keys)
        _, told = on_a_cluster(StandIn(), parts_of(texts, 10), tmp_path / "store")
    assert told.extracted > 0


def test_what_cannot_be_sent_is_read_here():
    lock = threading.Lock()
    assert packed([lambda: iter([lock])]) is None
    assert len(packed(parts_of(["a", "b"], 1))) == 2


def test_a_stream_that_cannot_be_sent_goes_through_the_cluster_a_slice_at_a_time(tmp_path, monkeypatch):
    from extract.clusters.cluster import Cluster

    lock, seen = threading.Lock(), []
    stream = SampleStream("texts", lambda: iter([Samples.of(["a"]), Samples.of(["b"])]), lambda: [lambda: iter([lock])])
    monkeypatch.setattr(Cluster, "connection", lambda self: nullcontext())
    cluster = Cluster(Engine("ray"))
    assert list(cluster.slices(stream, lambda samples: seen.append(samples.inputs) or samples))
    assert seen == [["a"], ["b"]]


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_meet_become_one(seed):
    came, edges = {}, [0, 3, 4, 9, 12, 20]
    runs = list(pairwise(edges))
    for number in np.random.default_rng(seed).permutation(len(runs)):
        join(came, *runs[number])
        assert all(first not in came.values() for first in came)
    assert came == {0: 20}


@pytest.mark.parametrize(
    ("came", "left"),
    [
        ({}, [(10, 20)]),
        ({10: 20}, []),
        ({0: 12, 15: 17}, [(12, 15), (17, 20)]),
        ({0: 5, 12: 13, 18: 30}, [(10, 12), (13, 18)]),
        ({20: 25}, [(10, 20)]),
    ],
)
def test_rows_are_lacking_between_those_that_came(came, left):
    assert list(lacking(10, 20, came)) == left

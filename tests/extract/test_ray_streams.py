"""Streams that a Ray cluster reads itself, with a stand-in for Ray that runs tasks and actors in this process."""

import importlib.util
import pickle
import threading

import numpy as np
import pytest

from cache import FeatureStore
from extract import Request, Samples, SampleStream, custom_backbone
from extract.clusters import stream as streams
from extract.clusters.actor import Whereabouts
from extract.clusters.stream import RayStream, StreamWork, packed
from extract.errors import BackboneError, EngineError, SourceError
from extract.stream_slice import SliceExtractor
from tests.conftest import sentences
from tests.extract.stand_in_for_ray import StandIn

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
pytestmark = needs_ray  # whose cloudpickle sends parts on their way


def embed(texts):
    return np.array([[len(text), text.count("a"), sum(map(ord, text)) % 997] for text in texts], np.float32)


STUB = custom_backbone(embed, version=1, name="stub")


class Told:
    """Adds up what progress is told."""

    def __init__(self):
        self.cached = self.extracted = 0

    def start(self, title, cached, missing):
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


def on_a_cluster(cluster, parts, folder):
    store, told, requests = FeatureStore(folder), Told(), [Request(STUB)]
    work = StreamWork(Whereabouts.of(store), requests, "cpu", None, False)
    extracting = SliceExtractor(requests, store, progress=told)
    return list(RayStream(cluster, work, extracting, packed(parts), lambda: None).slices()), told


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


def test_nodes_with_other_weights_are_told(tmp_path, small_slices, monkeypatch):
    names = iter([f"node{number}" for number in range(99)])
    versions = iter(range(99))
    monkeypatch.setattr(streams.os, "uname", lambda: type("Name", (), {"nodename": next(names)}))

    class Changing(streams.ExtractingSlices):
        def __init__(self, work):
            own = custom_backbone(embed, version=next(versions), name="stub")
            super().__init__(StreamWork(work.at, [Request(own)], "cpu", None, False))

    monkeypatch.setattr(streams, "ExtractingSlices", Changing)
    with pytest.raises(BackboneError, match=r"is not the same on node\d as on node\d; give all nodes the same weights"):
        on_a_cluster(StandIn(), parts_of(sentences(40), 10), tmp_path / "store")


def test_a_store_that_nodes_do_not_share_is_told(tmp_path, small_slices):
    store = FeatureStore(tmp_path / "here")
    there = StreamWork(Whereabouts.of(FeatureStore(tmp_path / "there")), [Request(STUB)], "cpu", None, False)
    ray_stream = RayStream(
        StandIn(), there, SliceExtractor([Request(STUB)], store, progress=Told()), packed(parts_of(["a", "b"], 1)), lambda: None
    )
    with pytest.raises(EngineError, match="the store has to be in a bucket, or on a disk that all nodes share"):
        list(ray_stream.slices())


def test_what_cannot_be_sent_is_read_here():
    lock = threading.Lock()
    assert packed([lambda: iter([lock])]) is None
    assert len(packed(parts_of(["a", "b"], 1))) == 2


def test_a_cell_goes_to_another_process_without_its_column():
    from extract.images import ImageCell

    cell = ImageCell([b"x" * 10_000, b"short", {"bytes": None, "path": "a.png"}], 1, "folder")
    assert len(pickle.dumps(cell)) < 500
    assert pickle.loads(pickle.dumps(cell)).resolve() == b"short"


def test_a_stream_without_parts_goes_a_slice_at_a_time():
    stream = SampleStream("texts", lambda: iter([Samples.of(["a"])]))
    assert stream.cut is None
    assert [len(part) for part in stream] == [1]

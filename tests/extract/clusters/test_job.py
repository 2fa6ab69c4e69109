import numpy as np
import pytest

from cache import FeatureStore
from extract import Samples, custom_backbone
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.clusters.actor import Whereabouts, Work
from extract.clusters.job import RayJob
from extract.errors import EngineError
from extract.extractor import make_recipe
from extract.options import LoopOptions
from extract.outputs import parse_outputs
from tests.conftest import sentences
from tests.extract.clusters.stand_in import StandIn


def lengths(texts):
    return np.array([[len(text), text.count("a")] for text in texts], np.float32)


class Told:
    """Adds up what progress is told."""

    samples = 0

    def advance(self, samples, share):
        self.samples += samples


def job_on(cluster, store, folder=None):
    """Return a job of the stand-in, the texts and their keys."""
    spec = BackboneSpec(custom_backbone(lengths, version=1, name="lengths"))
    checkpoint = find_backbone(spec.backbone).for_samples("text")
    recipe = make_recipe(checkpoint, spec, "float32")
    at = Whereabouts.of(store if folder is None else FeatureStore(folder))
    outputs = parse_outputs(None, checkpoint.offer, spec.dtype, "outputs")
    work = Work(at, recipe, spec, "text", "cpu", LoopOptions(), tuple(outputs))
    samples = Samples.of(sentences(60)).admit()
    return RayJob(cluster, work, store, store.lease(recipe), Told()), sentences(60), samples.keys


@pytest.mark.parametrize("breaks_after", [[], [2], [3, 1]])
def test_what_a_run_of_ray_left_is_cut_anew_and_done(tmp_path, monkeypatch, breaks_after):
    monkeypatch.setattr("extract.clusters.blocks.LEAST_SAMPLES", 4)
    cluster, store = StandIn(breaks_after), FeatureStore(tmp_path)
    job, texts, keys = job_on(cluster, store)
    job.run(texts, keys)
    assert len(cluster.runs) == 1 + len(breaks_after)
    assert len(cluster.runs[-1]) < len(cluster.runs[0]) or not breaks_after
    assert np.array_equal(store.read(job.work.recipe, keys, job.work.outputs[0].name), lengths(texts))
    assert sum(shard.rows for shard in store.shards(job.work.recipe)) == len(texts)
    assert (job.outcome.samples, job.progress.samples) == (60, 60)


def test_a_run_without_headway_is_the_last(tmp_path):
    job, texts, keys = job_on(StandIn([0]), FeatureStore(tmp_path))
    with pytest.raises(EngineError, match="^ray: RuntimeError: and so was the work$"):
        job.run(texts, keys)


def test_what_is_written_elsewhere_may_be_seen_late(tmp_path, monkeypatch):
    job, texts, keys = job_on(StandIn(), FeatureStore(tmp_path))
    looks, missing = [], job.store.missing

    def late(*asked):
        looks.append(asked)
        found = missing(*asked)
        return np.ones_like(found) if len(looks) < 3 else found

    monkeypatch.setattr(job.store, "missing", late)
    monkeypatch.setattr("extract.clusters.pool.time.sleep", lambda seconds: None)
    job.run(texts, keys)
    assert len(looks) == 3


def test_a_store_that_nodes_do_not_share_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("extract.clusters.pool.SEEN_WITHIN", 0.0)
    job, texts, keys = job_on(StandIn(), FeatureStore(tmp_path / "here"), tmp_path / "there")
    with pytest.raises(EngineError, match=r"60 samples were extracted, and .*here does not have them"):
        job.run(texts, keys)

import numpy as np
import pytest
import torch

from cache import as_key_array, text_key
from extract.backbones.base import Backbone
from extract.extractor import Quiet
from extract.loop import FIRST_SLICE, run_loop
from extract.outputs import Output

OUTPUTS = [Output(1, "mean")]


class Stub(Backbone):
    """Samples are numbers; a sample's cost is its number, and its feature too. Fails as told."""

    def __init__(self, memory=10**9, fail_after=None):
        self.memory = memory
        self.fail_after = fail_after
        self.batches = []

    @classmethod
    def load(cls, checkpoint, spec, device, precision):
        raise NotImplementedError

    def prepare(self, samples):
        return list(samples), list(samples)

    def forward(self, batch, outputs):
        if max(batch) * len(batch) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        if self.fail_after is not None and sum(map(len, self.batches)) >= self.fail_after:
            raise KeyboardInterrupt
        self.batches.append(batch)
        return {output.name: torch.tensor([[number, number / 2] for number in batch]) for output in outputs}


class Sink:
    def __init__(self):
        self.shards = []

    def __call__(self, keys, features):
        self.shards.append((keys.copy(), {name: array.copy() for name, array in features.items()}))

    def rows(self):
        return {k.tobytes(): f for keys, features in self.shards for k, f in zip(keys, features["layer1.mean"], strict=True)}


def keys_of(numbers):
    return as_key_array(text_key(str(number)) for number in numbers)


def run(backbone, numbers, sink, dtype="float32", **settings):
    return run_loop(backbone, numbers, keys_of(numbers), OUTPUTS, dtype, sink, Quiet(), device="cpu", **settings)


def check(sink, numbers):
    rows = sink.rows()
    assert len(rows) == len(numbers)
    for number, key in zip(numbers, keys_of(numbers), strict=True):
        assert rows[key.tobytes()].tolist() == [number, number / 2]


def numbers_of(count, seed=0):
    return np.random.default_rng(seed).permutation(np.arange(1, count + 1)).tolist()


def test_every_sample_is_committed_once_in_the_data_set_s_order():
    numbers, sink = numbers_of(2000), Sink()
    assert run(Stub(), numbers, sink) == {}
    check(sink, numbers)
    assert np.array_equal(np.concatenate([keys for keys, _ in sink.shards]), keys_of(numbers))


def test_batches_stay_within_the_token_budget():
    backbone = Stub()
    run(backbone, numbers_of(500), Sink(), token_budget=1000)
    assert all(len(batch) == 1 or max(batch) * len(batch) <= 1000 for batch in backbone.batches)


@pytest.mark.parametrize("memory", [3000, 700])
def test_out_of_memory_halves_the_batch_and_goes_on(memory):
    numbers, sink, backbone = numbers_of(600), Sink(), Stub(memory)
    run(backbone, numbers, sink, token_budget=100_000)
    check(sink, numbers)
    assert max(max(batch) * len(batch) for batch in backbone.batches) <= memory


def test_a_sample_that_alone_does_not_fit_in_memory_is_an_error():
    sink = Sink()
    with pytest.raises(torch.OutOfMemoryError):
        run(Stub(memory=300), numbers_of(400), sink)
    assert sink.rows() == {}


def test_an_interruption_keeps_what_was_computed():
    numbers, sink = numbers_of(FIRST_SLICE * 2), Sink()
    with pytest.raises(KeyboardInterrupt):
        run(Stub(fail_after=700), numbers, sink, token_budget=5000)
    assert len(sink.rows()) >= 700
    assert np.array_equal(sink.shards[0][0], keys_of(numbers[:FIRST_SLICE]))


def test_shards_follow_the_measured_speed():
    now = iter(np.arange(0, 10_000, 1.0))  # every look at the clock is a second later: 512 samples/s at first
    sink = Sink()
    run(Stub(), numbers_of(30_000), sink, clock=lambda: float(next(now)))
    sizes = [len(keys) for keys, _ in sink.shards]
    assert sizes[0] == FIRST_SLICE
    assert sizes[1] == FIRST_SLICE * 15  # 15 seconds' work


def test_features_that_are_not_finite_are_refused_with_their_keys_and_the_rest_is_kept():
    class Broken(Stub):
        def forward(self, batch, outputs):
            features = super().forward(batch, outputs)["layer1.mean"]
            features[[number == 7 for number in batch]] = torch.nan
            return {"layer1.mean": features}

    numbers, sink = numbers_of(50), Sink()
    refused = run(Broken(), numbers, sink)
    assert refused == {text_key("7"): "layer1.mean is not finite in float32"}
    check(sink, [number for number in numbers if number != 7])


def test_what_float16_cannot_hold_is_refused():
    refused = run(Stub(), [1, 70_000], Sink(), dtype="float16")
    assert list(refused) == [text_key("70000")]


def test_an_error_of_the_store_is_not_lost():
    def full(keys, features):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run(Stub(), numbers_of(10), full)

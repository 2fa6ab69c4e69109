from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cache import as_key_array, text_key
from extract import LoopOptions, loop, workers
from extract.backbones.base import Backbone, Prepared
from extract.errors import UnusableSampleError
from extract.extractor import Quiet
from extract.loop import FIRST_SLICE, run_loop
from extract.outputs import Output
from extract.pooling import Tokens

OUTPUTS = [Output(1, "mean")]


class Stub(Backbone):
    """Samples are numbers; a sample's cost is its number, and its feature too. Fails as told."""

    def __init__(self, memory=10**9, fail_after=None, failure=None):
        self.memory = memory
        self.failure = failure or torch.OutOfMemoryError("CUDA out of memory (simulated)")
        self.fail_after = fail_after
        self.batches = []

    @classmethod
    def load(cls, checkpoint, spec, device, precision):
        raise NotImplementedError

    def prepare(self, samples):
        return Prepared(samples, samples)

    def collate(self, items):
        return {"numbers": torch.tensor(items)}

    def forward(self, batch, outputs):
        batch = batch["numbers"].tolist()
        if max(batch) * len(batch) > self.memory:
            raise self.failure
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
    assert run(Stub(), numbers, sink).refused == {}
    check(sink, numbers)
    assert np.array_equal(np.concatenate([keys for keys, _ in sink.shards]), keys_of(numbers))


def test_batches_stay_within_the_token_budget():
    backbone = Stub()
    run(backbone, numbers_of(500), Sink(), options=LoopOptions(budget=1000))
    assert all(len(batch) == 1 or max(batch) * len(batch) <= 1000 for batch in backbone.batches)


@pytest.mark.parametrize("memory", [3000, 700])
def test_out_of_memory_halves_the_batch_and_goes_on(memory):
    numbers, sink, backbone = numbers_of(600), Sink(), Stub(memory)
    run(backbone, numbers, sink, options=LoopOptions(budget=100_000))
    check(sink, numbers)
    assert max(max(batch) * len(batch) for batch in backbone.batches) <= memory


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
        ),
        MemoryError(),
    ],
)
def test_memory_runs_out_in_other_words_too(failure):
    numbers, sink = numbers_of(600), Sink()
    outcome = run(Stub(700, failure=failure), numbers, sink, options=LoopOptions(budget=100_000))
    check(sink, numbers)
    assert outcome.budget <= 700


def test_an_error_that_is_not_about_memory_is_not_tried_again():
    with pytest.raises(RuntimeError, match="shape"):
        run(Stub(700, failure=RuntimeError("shape mismatch")), numbers_of(600), Sink(), options=LoopOptions(budget=100_000))


def test_a_sample_that_alone_does_not_fit_in_memory_is_an_error():
    sink = Sink()
    with pytest.raises(torch.OutOfMemoryError):
        run(Stub(memory=300), numbers_of(400), sink)
    assert sink.rows() == {}


def test_an_interruption_keeps_what_was_computed():
    numbers, sink = numbers_of(FIRST_SLICE * 2), Sink()
    with pytest.raises(KeyboardInterrupt):
        run(Stub(fail_after=FIRST_SLICE + 200), numbers, sink, options=LoopOptions(budget=5000))
    assert len(sink.rows()) >= FIRST_SLICE + 200
    assert np.array_equal(sink.shards[0][0], keys_of(numbers[:FIRST_SLICE]))


class Clocked(Stub):
    """Takes a thousandth of a second for a sample, by its own clock."""

    now = 0.0

    def forward(self, batch, outputs):
        self.now += len(batch["numbers"]) / 1000
        return super().forward(batch, outputs)


def test_shards_follow_the_measured_speed():
    sink, backbone = Sink(), Clocked()
    run(backbone, numbers_of(40_000), sink, clock=lambda: backbone.now)
    sizes = [len(keys) for keys, _ in sink.shards]
    assert sizes[0] == FIRST_SLICE
    assert 14_990 <= max(sizes) <= 15_000  # 15 seconds' work, by a clock that adds in floats
    assert sum(sizes) == 40_000


def test_a_slice_that_takes_long_is_committed_in_parts(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_SHARD", 0.1)
    numbers, sink, backbone = numbers_of(FIRST_SLICE), Sink(), Clocked()
    run(backbone, numbers, sink, options=LoopOptions(budget=5000), clock=lambda: backbone.now)
    check(sink, numbers)
    assert len(sink.shards) > 1
    assert all(len(keys) < 0.3 * 1000 for keys, _ in sink.shards)


def test_features_that_are_not_finite_are_refused_with_their_keys_and_the_rest_is_kept():
    class Broken(Stub):
        def forward(self, batch, outputs):
            features = super().forward(batch, outputs)["layer1.mean"]
            features[batch["numbers"] == 7] = torch.nan
            return {"layer1.mean": features}

    numbers, sink = numbers_of(50), Sink()
    refused = run(Broken(), numbers, sink).refused
    assert refused == {text_key("7"): "layer1.mean is not finite in float32"}
    check(sink, [number for number in numbers if number != 7])


def test_what_float16_cannot_hold_is_refused():
    refused = run(Stub(), [1, 70_000], Sink(), dtype="float16").refused
    assert list(refused) == [text_key("70000")]


def test_an_error_of_the_store_is_not_lost():
    def full(keys, features):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run(Stub(), numbers_of(10), full)


def read(number):
    """What a worker does with a sample; multiples of 50 are broken, and 7 in a way that nobody foresaw."""
    if number % 50 == 0:
        raise UnusableSampleError("not a picture")
    return 7 / (number - 7) + number - 7 / (number - 7)


class Pictures(Stub):
    """Samples that workers read; each costs 1."""

    unit = "images"
    joins = True
    decode = staticmethod(read)

    def prepare(self, samples):
        return Prepared(samples, [1] * len(samples))

    @staticmethod
    def collate(items):
        return {"numbers": torch.tensor([round(number) for number in items])}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("memory", [10**9, 20_000])
def test_samples_are_decoded_by_workers_and_a_broken_one_is_refused_with_its_reason(workers, memory):
    numbers, sink = numbers_of(600), Sink()
    refused = run(Pictures(memory), numbers, sink, options=LoopOptions(budget=100, workers=workers)).refused
    assert len(refused) == 13
    assert refused[text_key("50")] == "not a picture"
    assert refused[text_key("7")] == "ZeroDivisionError: division by zero"
    check(sink, [number for number in numbers if text_key(str(number)) not in refused])


@pytest.mark.parametrize("joins", [True, False])
def test_a_large_batch_is_decoded_in_pieces_and_computed_whole(joins, monkeypatch):
    monkeypatch.setattr(workers, "PIECE", 7)
    asked = []

    class Counted(DataLoader):
        def __init__(self, *args, batch_sampler, **settings):
            super().__init__(*args, batch_sampler=Sizes(batch_sampler), **settings)

    class Sizes(list):
        def __init__(self, sampler):
            self.sampler = sampler

        def __iter__(self):
            for some in self.sampler:
                asked.append(len(some))
                yield some

    monkeypatch.setattr(workers, "DataLoader", Counted)
    numbers, sink, backbone = numbers_of(230), Sink(), Pictures()
    backbone.joins = joins
    refused = run(backbone, numbers, sink, options=LoopOptions(budget=100, workers=2)).refused
    check(sink, [number for number in numbers if text_key(str(number)) not in refused])
    assert len(backbone.batches) == 3
    assert max(asked) == (7 if joins else 100)


@pytest.mark.parametrize("free", [10**9, 200 * 10**6, 64 * 10**6, 5 * 10**6, 2 * 10**6, 10**5])
@pytest.mark.parametrize("count", [1, 4, 15])
def test_workers_send_no_more_than_shared_memory_holds(free, count, monkeypatch, tmp_path):
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    size = 3 * 224 * 224 * 4
    used, ahead, piece = workers.share_memory(count, size, tmp_path)
    assert 0 <= used <= count
    assert not used or size * piece * (used * ahead + workers.HELD) <= free
    assert (used > 0) == (free > 4 * size)
    if free == 10**9:
        assert (used, ahead, piece) == (count, workers.READY, workers.PIECE)
    assert workers.share_memory(count, size, tmp_path / "nowhere") == (count, workers.READY, workers.PIECE)


def test_the_time_left_follows_the_work_and_not_the_number_of_samples(monkeypatch):
    monkeypatch.setattr(loop, "FIRST_SLICE", 512)

    class Listener(Quiet):
        def __init__(self):
            self.told = []

        def advance(self, samples, share):
            self.told.append((samples, share))

    listener = Listener()
    numbers = [*range(1, 1001), *range(1000, 0, -1)]
    keys = as_key_array(text_key(str(n)) for n in range(2000))
    run_loop(Stub(), numbers, keys, OUTPUTS, "float32", Sink(), listener, device="cpu")
    samples, shares = np.array([s for s, _ in listener.told]), np.array([share for _, share in listener.told])
    assert samples.sum() == 2000
    assert shares[-1] == 1
    first = int(np.searchsorted(samples.cumsum(), 512))
    assert shares[first // 2] > 1.3 * samples[: first // 2 + 1].sum() / 512 * shares[first]  # long ones come first


def test_tokens_are_committed_ragged():
    class Ragged(Stub):
        def forward(self, batch, outputs):
            numbers = batch["numbers"]
            mask = torch.arange(int(numbers.max())) < numbers[:, None]
            return {outputs[0].name: Tokens((numbers[:, None] * mask).unsqueeze(-1).float(), mask)}

    sink, numbers = [], numbers_of(30)
    run_loop(
        Ragged(),
        numbers,
        keys_of(numbers),
        [Output(1, "tokens", "float16")],
        "float32",
        lambda _, features: sink.append(features),
        Quiet(),
        device="cpu",
    )
    (features,) = sink
    tokens = features["layer1.tokens.float16"]
    assert tokens.values.dtype == np.float16
    assert np.diff(tokens.offsets).tolist() == numbers
    assert [tokens[n][:, 0].tolist() for n in range(30)] == [[number] * number for number in numbers]

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
import torch

from heads import ABMILHead, MLPHead, Tokens, batches
from heads.batches import BLOCKS_AT_ONCE, FeatureBlocks, block_size
from heads.inputs import StoredTokens
from heads.scaling import no_scaling

CPU = torch.device("cpu")


def blocks(X, block, rows=None):
    return FeatureBlocks(X, np.arange(len(X)) if rows is None else rows, no_scaling(X, 2), CPU, block)


@pytest.mark.parametrize("samples", [1, 99, 100, 640, 641])
@pytest.mark.parametrize("block", [7, 10, 1000])
@pytest.mark.parametrize("batch", [1, 8, 50, 700])
def test_every_sample_comes_once_in_full_batches_with_its_own_features(samples, block, batch):
    X = np.stack([np.arange(samples), -np.arange(samples)], axis=1).astype(np.float32)
    seen, sizes = [], []
    for places, part in blocks(X, block).shuffled(batch, torch.Generator().manual_seed(0)):
        assert torch.equal(part.X[:, 0].long(), places)
        seen += places.tolist()
        sizes.append(len(places))
    assert sorted(seen) == list(range(samples))
    assert all(size == batch for size in sizes[:-1])
    assert len(sizes) == -(-samples // batch)


def test_tokens_are_shuffled_whole():
    lengths = np.arange(50) % 5 + 1
    tokens = Tokens(np.repeat(np.arange(50.0), lengths)[:, None].repeat(2, axis=1), np.concatenate([[0], np.cumsum(lengths)]))
    seen = []
    for places, part in blocks(tokens, 4).shuffled(6, torch.Generator().manual_seed(0)):
        padded, mask = part.inputs()
        assert torch.equal(mask.sum(1), torch.as_tensor(lengths)[places])
        assert (padded[:, :, 0][mask] == places.repeat_interleave(mask.sum(1))).all()
        seen += places.tolist()
    assert sorted(seen) == list(range(50))


def test_blocks_far_apart_are_shuffled_together_and_other_seeds_give_other_orders():
    X = np.zeros((1000, 2))
    first = [next(iter(blocks(X, 10).shuffled(64, torch.Generator().manual_seed(seed))))[0] for seed in (0, 1)]
    assert len({int(place) // 10 for place in first[0]}) > BLOCKS_AT_ONCE / 2
    assert not torch.equal(*first)


def test_a_subset_is_read_as_its_own_samples():
    X = np.arange(40.0).reshape(20, 2)
    rows = np.array([1, 5, 6, 7, 19])
    found = torch.cat([part.X for part in blocks(X, 2, rows).in_order()])
    np.testing.assert_array_equal(found, X[rows])


@pytest.fixture
def on_disk(blobs, tmp_path):
    X, y = blobs
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["X"] = X
    with h5py.File(tmp_path / "features.h5") as file:
        memory_map = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", "f4", X.shape)
        memory_map[:] = X
        yield {"h5py": file["X"], "memmap": memory_map}, X, y


@pytest.mark.parametrize("kind", ["h5py", "memmap"])
@pytest.mark.parametrize("settings", [{}, {"mixup": 0.2}, {"optimizer": "lbfgs", "lr": 1.0}, {"metric": "accuracy"}])
def test_features_on_disk_give_the_bits_of_features_in_memory_for_the_same_order(on_disk, kind, settings):
    sources, X, y = on_disk
    plain, streamed = (
        MLPHead(hidden=16, block_rows=37, batch_size=64, max_epochs=5, **settings).fit(features, y)
        for features in (X, sources[kind])
    )
    assert plain.history_ == streamed.history_
    np.testing.assert_array_equal(streamed.predict_proba(sources[kind]), plain.predict_proba(X))


def test_tokens_on_disk_ragged_or_padded_give_the_bits_of_tokens_in_memory(bags, tmp_path):
    samples, y = bags
    offsets = np.concatenate([[0], np.cumsum([len(sample) for sample in samples])])
    padded = np.zeros((len(samples), 9, 12), np.float32)
    for row, sample in zip(padded, samples, strict=True):
        row[: len(sample)] = sample
    with h5py.File(tmp_path / "tokens.h5", "w") as file:
        file["values"], file["padded"] = np.concatenate(samples), padded
        kinds = [samples, Tokens(file["values"], offsets), file["padded"]]
        found = [ABMILHead(max_epochs=3, block_rows=20).fit(X, y).predict_proba(X) for X in kinds]
        assert isinstance(StoredTokens(file["padded"])[:3], Tokens)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_rows_of_a_store_give_the_bits_of_arrays_vectors_and_tokens_alike(blobs, bags, tmp_path):
    from cache import FeatureStore, Ragged, Recipe, as_key_array, text_key

    (X, y), (samples, labels) = blobs, bags
    store, recipe = FeatureStore(tmp_path), Recipe("st:x", None, "w", {})
    keys = as_key_array(text_key(str(number)) for number in range(300))
    offsets = np.concatenate([[0], np.cumsum([len(sample) for sample in samples])])
    for rows in (slice(0, 120), slice(120, 300)):
        ends = offsets[rows.start : rows.stop + 1]
        tokens = Ragged(np.concatenate(samples)[ends[0] : ends[-1]], ends - ends[0])
        store.commit(recipe, keys[rows], {"pooled": X[rows], "layer6.tokens": tokens})
    order = np.random.default_rng(0).permutation(300)
    pooled, tokens = (store.rows(recipe, keys[order], output) for output in ("pooled", "layer6.tokens"))
    settings = {"max_epochs": 3, "block_rows": 40}
    for cls, stored, plain, target in (
        (MLPHead, pooled, X[:300][order], y[:300][order]),
        (ABMILHead, tokens, [samples[place] for place in order], labels[order]),
    ):
        found, expected = (cls(**settings).fit(features, target).predict_proba(features) for features in (stored, plain))
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="use an attention head"):
        MLPHead().fit(tokens, labels)


def test_a_block_is_all_in_memory_and_a_few_megabytes_on_disk(tmp_path):
    assert block_size(np.zeros((5000, 8)), CPU) == 5000
    large = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", "f4", (100_000, 1024))
    assert block_size(large, CPU) == 1024
    assert block_size(Tokens(large, np.arange(0, 100_001, 10)), CPU) == 102


@pytest.mark.slow
def test_training_on_disk_takes_a_bounded_part_of_the_memory_that_the_features_would(tmp_path):
    """Features of 800 MB: the peak over what the imports take stays below a third of that."""
    with h5py.File(tmp_path / "features.h5", "w") as file:
        X = file.create_dataset("X", (200_000, 1024), "f4")
        rng = np.random.default_rng(0)
        for start in range(0, 200_000, 20_000):
            X[start : start + 20_000] = rng.normal(size=(20_000, 1024)).astype(np.float32)
    program = """
        import resource, sys
        import h5py, numpy as np
        from heads import MLPHead
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        small = np.zeros((200, 8), np.float32)
        MLPHead(max_epochs=1).fit(small, np.arange(200) % 2).predict(small)
        before = peak()
        with h5py.File(sys.argv[1]) as file:
            y = np.arange(200_000) % 2
            head = MLPHead(hidden=8, batch_size=4096, max_epochs=1).fit(file["X"], y)
            head.predict(file["X"])
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "features.h5")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 800 / 3


@pytest.mark.parametrize("free", [5000 * 8 * 8, 10 * 5000 * 8 * 8])
def test_features_that_a_gpu_has_no_room_for_come_in_blocks(free, monkeypatch):
    monkeypatch.setattr(batches, "free_memory", lambda device: float(free))
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 32 * 1024)
    block = block_size(np.zeros((5000, 8)), torch.device("cuda"))
    assert (block == 5000) == (free > 5000 * 8 * 8)

import weakref
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore
from extract import BadSampleError, Request, Samples, SampleStream, SourceError, custom_backbone, extract, extract_stream
from tests.conftest import sentences


def embed(texts):
    return np.array([[len(text), text.count("a"), sum(map(ord, text)) % 997] for text in texts], np.float32)


def embed_short(texts):
    found = embed(texts)
    found[[len(text) > 40 for text in texts]] = np.nan
    return found


STUB = custom_backbone(embed, version=1, name="stub")
PICKY = custom_backbone(embed_short, version=1, name="picky")


def stream_of(texts, size=10, faults=None, labels=None):
    """Return a stream that cuts a list into slices."""

    def read():
        for start in range(0, len(texts), size):
            rows = range(start, min(start + size, len(texts)))
            own = {row - start: why for row, why in (faults or {}).items() if row in rows}
            names = None if labels is None else [labels[row] for row in rows]
            yield Samples("texts", [texts[row] for row in rows], [f"texts:{row}" for row in rows], names, faults=own)

    return SampleStream("texts", read)


def counts(features):
    return (features.samples, features.cached, features.extracted, len(features.skipped))


def test_a_stream_gives_what_a_list_gives(tmp_path):
    texts = [*sentences(47), "", "again", "again"]
    labels = [f"c{number % 2}" for number in range(50)]
    at_once = extract(texts, STUB, str(tmp_path / "one"))
    streamed = extract_stream(stream_of(texts, labels=labels), [Request(STUB)], str(tmp_path / "two"))
    (features,) = streamed.features
    assert counts(features) == counts(at_once)
    assert np.array_equal(features.array(), at_once.array())
    assert [(s.row, s.id, s.reason) for s in features.skipped] == [(47, "texts:47", "empty text")]
    assert list(streamed.table.ids) == [f"texts:{row}" for row in range(50) if row != 47]
    assert list(streamed.table.labels)[-2:] == ["c0", "c1"]


def test_what_is_no_stream_is_told(tmp_path):
    with pytest.raises(SourceError, match="a stream is what `stream_samples` makes of a source, and this is a list"):
        extract_stream(["a"], [Request(STUB)], str(tmp_path))


def test_a_stream_stopped_in_the_middle_goes_on_where_it_was(tmp_path):
    texts, store = sentences(60), FeatureStore(tmp_path / "store")

    def broken():
        yield from list(stream_of(texts))[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_stream(SampleStream("texts", broken), [Request(STUB)], store)
    assert store.tables()  # which say that what was extracted is still wanted
    (features,) = extract_stream(stream_of(texts), [Request(STUB)], store).features
    assert counts(features)[1:3] == (40, 20) or counts(features)[1:3] == (30, 30)  # what was read ahead was not begun
    assert [len(path.name) for path in store.tables()] == [len("texts-0123456789abcdef.parquet")]
    assert counts(extract_stream(stream_of(texts), [Request(STUB)], store).features[0]) == (60, 60, 0, 0)


def test_only_a_few_slices_are_alive_at_a_time(tmp_path):
    alive, most = weakref.WeakSet(), 0

    class Text(str):
        __slots__ = ("__weakref__",)

    def read():
        nonlocal most
        for number in range(30):
            inputs = [Text(f"slice {number} text {row}") for row in range(20)]
            alive.add(inputs[0])
            most = max(most, len(alive))
            yield Samples("texts", inputs, [str(row) for row in range(20)])
            del inputs

    (features,) = extract_stream(SampleStream("texts", read), [Request(STUB)], str(tmp_path / "store")).features
    assert counts(features) == (600, 0, 600, 0)
    assert most <= 4  # at work, waiting, being read; and one that has just been let go


def test_backbones_take_a_stream_in_one_pass(tmp_path):
    texts, begun = sentences(40), []

    def read():
        begun.append(True)
        yield from stream_of(texts)

    streamed = extract_stream(SampleStream("texts", read), [Request(STUB), Request(PICKY)], str(tmp_path / "store"))
    every, picky = streamed.features
    assert len(begun) == 1
    assert len(streamed.table) == len(every.rows) == 40
    short = [row for row, text in enumerate(texts) if len(text) <= 40]
    assert 0 < len(short) < 40
    assert picky.rows.tolist() == short
    assert np.array_equal(picky.array(), embed([texts[row] for row in short]))
    assert {s.row for s in picky.skipped} == set(range(40)) - set(short)


def test_a_slice_without_anything_usable_is_skipped_with_its_reasons(tmp_path):
    texts = ["good", "fine", None, None, "more"]
    (features,) = extract_stream(
        stream_of(texts, size=2, faults={2: "lost"}), [Request(STUB)], str(tmp_path / "store")
    ).features
    assert counts(features) == (5, 0, 3, 2)
    assert [(s.row, s.reason) for s in features.skipped] == [(2, "lost"), (3, "no text")]
    with pytest.raises(BadSampleError, match="texts:2: lost"):
        extract_stream(stream_of(texts, size=2, faults={2: "lost"}), [Request(STUB)], str(tmp_path / "new"), strict=True)


def test_an_empty_stream_has_no_features(tmp_path):
    streamed = extract_stream(stream_of([]), [Request(STUB)], str(tmp_path / "store"))
    assert streamed.table is None
    assert counts(streamed.features[0]) == (0, 0, 0, 0)


def test_what_a_running_stream_has_extracted_is_not_collected(tmp_path):
    from cache.maintenance import collect

    texts, store, found = sentences(40), FeatureStore(tmp_path / "store"), []

    def read():
        for part in stream_of(texts):
            yield part
            if found is not None and Path(store.path, "recipes").is_dir():
                found.append(collect(FeatureStore(store.path), dry_run=False))

    (features,) = extract_stream(SampleStream("texts", read), [Request(STUB)], store).features
    assert any(collection.busy for collection in found)
    assert sum(collection.removed_shards for collection in found) == 0
    assert features.array().shape == (40, 3)

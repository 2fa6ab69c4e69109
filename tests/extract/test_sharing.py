import multiprocessing
import time

import numpy as np
import pytest

from cache import FeatureStore, Recipe, as_key_array, text_key
from extract import extract
from extract.sharing import take_turns
from tests.conftest import sentences

RECIPE = Recipe("st:x", None, "w", {})
KEYS = as_key_array(text_key(str(number)) for number in range(20))


def commit(store, positions):
    store.commit(RECIPE, KEYS[positions], {"pooled": np.ones((len(positions), 3), np.float32)})


def test_what_nobody_else_is_at_work_on_comes_at_once(tmp_path):
    store = FeatureStore(tmp_path / "store")
    with store.lease(RECIPE) as lease:
        turns = take_turns(store, RECIPE, lease, KEYS, ["pooled"], np.arange(20), pytest.fail)
        assert [turn.tolist() for turn in turns] == [list(range(20))]


def test_what_another_process_finishes_is_not_done_again_and_what_it_leaves_is(tmp_path):
    store = FeatureStore(tmp_path / "store")
    waits = []
    with store.lease(RECIPE) as lease, store.lease(RECIPE) as other:
        other.claim(KEYS[:10])

        def meanwhile(_):
            if len(waits) == 2:
                commit(store, np.arange(6))
            if len(waits) == 3:
                other.release()

        turns = take_turns(store, RECIPE, lease, KEYS, ["pooled"], np.arange(20), waits.append, meanwhile)
        assert next(turns).tolist() == list(range(10, 20))
        commit(store, np.arange(10, 20))
        assert next(turns).tolist() == [6, 7, 8, 9]
        commit(store, np.arange(6, 10))
        assert list(turns) == []
    assert waits == [10, 10, 4]


def test_a_store_can_be_opened_as_soon_as_anything_of_it_is_there(tiny_bert, tmp_path, monkeypatch):
    from extract import extractor

    opened = []
    write = extractor.write_table
    monkeypatch.setattr(
        extractor, "write_table", lambda store, table: opened.append(FeatureStore(store).format) or write(store, table)
    )
    extract(sentences(3), f"hf:{tiny_bert}", str(tmp_path / "store"))
    assert opened == [2]


def run(backbone, store, said):
    features = extract(sentences(3000), backbone, store)
    said.put((features.cached, features.extracted))


@pytest.mark.slow
def test_processes_that_extract_the_same_data_embed_each_sample_once(tiny_bert, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    said = spawn.Queue()
    processes = [spawn.Process(target=run, args=(f"hf:{tiny_bert}", str(tmp_path / "store"), said)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = [said.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    assert [cached + extracted for cached, extracted in counts] == [3000] * 3
    assert sum(extracted for _, extracted in counts) == 3000


def kill_me(backbone, store):
    extract(sentences(200_000), backbone, store)


@pytest.mark.slow
def test_what_a_killed_process_had_claimed_is_taken_over(tiny_bert, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    victim = spawn.Process(target=kill_me, args=(f"hf:{tiny_bert}", str(tmp_path / "store")))
    victim.start()
    while not list(tmp_path.glob("store/recipes/*/leases/*.lease")):
        time.sleep(0.02)
    victim.kill()
    victim.join()
    features = extract(sentences(100), f"hf:{tiny_bert}", str(tmp_path / "store"))
    assert features.extracted + features.cached == 100

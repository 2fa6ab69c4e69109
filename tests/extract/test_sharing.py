import multiprocessing
import threading
import time
from unittest import mock

import numpy as np
import pytest

from cache import FeatureStore, Recipe, as_key_array, text_key
from extract import extract
from extract.outcome import Outcome
from extract.ranks import Rank
from extract.sharing import Team, take_turns
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


class Worked:
    """Stands for a job: commits what it is given, but refuses some."""

    def __init__(self, store, refuses=()):
        self.store, self.refuses, self.outcome = store, set(refuses), Outcome()

    def run(self, positions):
        good = np.array([at for at in positions if at not in self.refuses], int)
        if len(good):
            commit(self.store, good)
        refused = {KEYS[at].tobytes(): "no good" for at in positions if at in self.refuses}
        self.outcome = Outcome.together([self.outcome, Outcome(len(positions), refused)])


def team(rank, store, lease, worked, sleep=time.sleep):
    return Team(rank, store, RECIPE, lease, KEYS, ["pooled"], lambda _: None, lambda: worked.outcome, sleep)


def test_a_rank_does_what_another_one_left_when_it_died_and_both_counts_are_told(tmp_path):
    store = FeatureStore(tmp_path / "store")
    with store.lease(RECIPE) as lease:
        rank, dead = Rank(0, 2, session="a"), Rank(1, 2, session="a")
        own = np.flatnonzero(rank.owns(KEYS))
        gone = store.lease(RECIPE)
        gone.__enter__()
        gone.claim(KEYS[dead.owns(KEYS)])
        worked = Worked(store)

        def meanwhile(_):
            commit(store, np.flatnonzero(dead.owns(KEYS))[:3])
            gone.release()

        mine = team(rank, store, lease, worked, meanwhile)
        turns = []
        for turn in mine.turns(np.arange(20)):
            turns.append(turn.tolist())
            worked.run(turn)
        assert turns == [own.tolist(), np.flatnonzero(dead.owns(KEYS))[3:].tolist()]
        assert not store.missing(RECIPE, KEYS, ["pooled"]).any()
        assert mine.together().samples == 17


def test_what_a_rank_has_refused_is_not_tried_by_the_others(tmp_path):
    store = FeatureStore(tmp_path / "store")
    told = {}

    def work(number):
        worked = Worked(store, refuses=range(5))
        with store.lease(RECIPE) as lease:
            one = team(Rank(number, 3, session="b"), store, lease, worked)
            for turn in one.turns(np.arange(20)):
                worked.run(turn)
            told[number] = one.together()

    with mock.patch.object(Rank, "next_session", lambda self: self.session):  # which counts the extractions of a process
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert {outcome.samples for outcome in told.values()} == {20}
    assert all(sorted(outcome.refused) == sorted(KEYS[at].tobytes() for at in range(5)) for outcome in told.values())
    assert sum(len(shard.keys) for shard in store.shards(RECIPE)) == 15


def test_a_rank_that_begins_late_does_not_wait_for_what_another_one_has_refused_for_it(tmp_path):
    store = FeatureStore(tmp_path / "store")

    def still_there(seconds):
        raise AssertionError("waits for ever")

    with (
        mock.patch.object(Rank, "next_session", lambda self: self.session),
        store.lease(RECIPE) as first,
        store.lease(RECIPE) as second,
    ):
        worked = Worked(store, refuses=range(5))
        early = team(Rank(0, 2, session="d"), store, first, worked, still_there)
        for turn in early.turns(np.arange(20)):
            worked.run(turn)
        late = team(Rank(1, 2, session="d"), store, second, Worked(store), still_there)
        todo = np.flatnonzero(store.missing(RECIPE, KEYS, ["pooled"]))
        assert todo.tolist() == list(range(5))
        assert not list(late.turns(todo))


@pytest.mark.parametrize("patience", [900, 0])
def test_a_rank_of_another_machine_whose_lease_is_not_seen_has_its_time(tmp_path, monkeypatch, patience):
    store = FeatureStore(tmp_path / "store")
    monkeypatch.setattr(store.place, "shared", False, raising=False)
    monkeypatch.setattr("extract.sharing.PATIENCE", patience)
    monkeypatch.setattr("extract.sharing.PATIENCE_AT_END", 0)
    monkeypatch.setattr(Rank, "next_session", lambda self: self.session)
    rank, other = Rank(0, 2, session="c"), Rank(1, 2, session="c")
    theirs = np.flatnonzero(other.owns(KEYS))
    store.reports(RECIPE, "c").write(1, Outcome().to_json() | {"lease": "0123456789ab-1-0", "done": False})
    with store.lease(RECIPE) as lease:
        worked = Worked(store)
        mine = team(rank, store, lease, worked, lambda _: commit(store, theirs))
        for turn in mine.turns(np.arange(20)):
            worked.run(turn)
        assert mine.together().samples == (20 if patience == 0 else len(KEYS) - len(theirs))


def test_a_rank_of_this_machine_that_is_dead_is_no_longer_waited_for_on_a_bucket_either(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "store")
    monkeypatch.setattr(store.place, "shared", False, raising=False)
    monkeypatch.setattr(Rank, "next_session", lambda self: self.session)
    with store.lease(RECIPE) as lease:
        dead = f"{lease.machine}999999999-0"
        store.reports(RECIPE, "d").write(1, Outcome().to_json() | {"lease": dead, "done": False})
        worked = Worked(store)
        mine = team(Rank(0, 2, session="d"), store, lease, worked, pytest.fail)
        for turn in mine.turns(np.arange(20)):
            worked.run(turn)
        assert mine.together().samples == 20


def test_a_store_can_be_opened_as_soon_as_anything_of_it_is_there(tiny_bert, tmp_path, monkeypatch):
    opened = []
    write = FeatureStore.write_table
    monkeypatch.setattr(
        FeatureStore, "write_table", lambda self, table: opened.append(FeatureStore(self.path).format) or write(self, table)
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

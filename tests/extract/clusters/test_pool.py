import queue
import sys
import threading
from types import SimpleNamespace

import pytest

from extract.clusters import pool
from extract.clusters.pool import NodesLostError, Pool, last_line

NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pool, "_TICK", 0.01)
    monkeypatch.setattr(pool, "PATIENCE", 0.05)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: NODES))


def test_rows_come_until_the_end_or_an_error():
    entries, renewed = queue.Queue(), []
    for entry in ({"row": 1}, {"row": 2}, pool._Ended(None)):
        entries.put(entry)
    assert list(Pool(1, 1.0, 0.0)._heard(entries, lambda: renewed.append(1))) == [{"row": 1}, {"row": 2}]
    assert len(renewed) == 3
    entries.put(pool._Ended(KeyError("gone")))
    with pytest.raises(KeyError, match="gone"):
        list(Pool(1, 1.0, 0.0)._heard(entries, lambda: None))


@pytest.mark.parametrize("wanted", [Pool(5, 1.0, 0.0), Pool(2, 1.0, 1.0), Pool(1, 8.0, 0.0)])
def test_where_nothing_comes_and_nodes_left_have_no_room_nobody_waits_longer(wanted):
    renewed = []
    with pytest.raises(NodesLostError, match="those that are left have no room for all actors"):
        list(wanted._heard(queue.Queue(), lambda: renewed.append(1)))
    assert renewed


@pytest.mark.parametrize("wanted", [Pool(4, 1.0, 0.0), Pool(1, 1.0, 1.0)])
def test_where_there_is_room_a_slow_block_is_waited_for(wanted, monkeypatch):
    entries, ticks = queue.Queue(), []

    def renew():
        ticks.append(1)
        if len(ticks) == 12:  # more than twice the patience
            entries.put({"row": 1})
            entries.put(pool._Ended(None))

    assert list(wanted._heard(entries, renew)) == [{"row": 1}]


def test_whoever_leaves_off_has_the_thread_that_follows_end():
    given, stop = [], queue.Queue()

    def rows():
        for number in range(1000):
            given.append(number)
            yield {"row": number}
            if number == 3:
                stop.get(timeout=10)

    heard = Pool(4, 1.0, 0.0)._watched(SimpleNamespace(iter_rows=rows), lambda: None)
    assert next(heard) == {"row": 0}
    heard.close()
    stop.put(None)
    [follower] = [thread for thread in threading.enumerate() if thread.name == "ray"] or [None]
    if follower is not None:
        follower.join(timeout=10)
    assert max(given) <= 4


def test_the_last_line_of_an_error_is_the_one_that_tells():
    assert last_line(ValueError("many\nlines\n\nhere \n")) == "ValueError: here"
    assert last_line(ValueError("")) == "ValueError: no reason given"

"""Writers that are killed and machines that lose power."""

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureStore
from cache import atomic as atomic_module
from cache.maintenance import verify
from tests.cache.conftest import RECIPE, fill, holds, keys_of


def write_forever(place, start, said):
    """Commit 20 samples at a time, and say after each commit how far it is."""
    store = FeatureStore(place)
    with store.lease(RECIPE) as lease:
        while True:
            numbers = range(start, start + 20)
            if lease.claim(keys_of(numbers)).all() and store.missing(RECIPE, keys_of(numbers), ["pooled"]).any():
                fill(store, numbers)
            start += 20
            os.write(said, b"%d\n" % start)


@pytest.mark.slow
def test_two_hundred_kills_lose_no_committed_row_and_at_most_one_shard_of_work(tmp_path):
    place, committed = tmp_path / "store", 0
    rng = random.Random(0)
    fork = multiprocessing.get_context("fork")
    for _ in range(200):
        hear, say = os.pipe()
        writer = fork.Process(target=write_forever, args=(place, committed, say))
        writer.start()
        os.close(say)
        with open(hear) as heard:
            first = int(heard.readline())
            time.sleep(rng.uniform(0, 0.03))
            os.kill(writer.pid, signal.SIGKILL)
            said = [first, *map(int, heard.read().splitlines())]
        writer.join()
        committed = max(committed, *said)
        store = FeatureStore(place)
        assert not store.missing(RECIPE, keys_of(range(committed - 20, committed)), ["pooled"]).any()
        assert store.holding(RECIPE).rows - committed in (0, 20)  # a shard may be there whose writer could not say so any more
    store = FeatureStore(place)
    assert holds(store, range(committed))
    found = verify(store)
    assert (found.damaged, found.shards) == ({}, store.holding(RECIPE).shards)
    assert not (store.folder(RECIPE) / "quarantine").exists()
    with store.lease(RECIPE) as lease:
        lease.claim(keys_of([-1]))
        fill(store, [-1])
        left = [path for path in store.path.rglob("*") if path.name.startswith(".writing") or path.suffix in (".lease", ".new")]
        assert len(left) == 1, "of 201 writers only the lease of this process is left"


class PowerLossError(Exception):
    pass


class FallibleDisk:
    """Stands for `os` under the store: remembers what is durable, and can lose the rest at any call."""

    def __init__(self, real, root, fail_at=None):
        self._real, self._root, self._fail_at = real, Path(root), fail_at
        self.calls = 0
        self.files = {}  # inode -> synced content
        self.names = {}  # folder -> names that are durable in it

    def __getattr__(self, name):
        return getattr(self._real, name)

    def _tick(self):
        self.calls += 1
        if self._fail_at is not None and self.calls > self._fail_at:
            raise PowerLossError

    def write(self, descriptor, content):
        self._tick()
        return self._real.write(descriptor, content[: max(1, len(content) // 2)])

    def fsync(self, descriptor):
        self._tick()
        path = Path(self._real.readlink(f"/proc/self/fd/{descriptor}"))
        self._real.fsync(descriptor)
        if path.is_dir():
            self.names[path] = {child.name: child.stat().st_ino for child in path.iterdir()}
        else:
            self.files[path.stat().st_ino] = path.read_bytes()

    def replace(self, source, target):
        self._tick()
        return self._real.replace(source, target)

    def mkdir(self, path, *arguments):
        self._tick()
        return self._real.mkdir(path, *arguments)

    def unlink(self, path):
        if self._fail_at is None:
            self._real.unlink(path)

    def survivors(self, target):
        """Build what is on the disk after the power is back, if everything was lost that was not synced."""

        def restore(folder, into):
            into.mkdir(exist_ok=True)
            for name, inode in self.names.get(folder, {}).items():
                if folder / name in self.names or (folder / name).is_dir():
                    restore(folder / name, into / name)
                else:
                    (into / name).write_bytes(self.files.get(inode, b""))

        restore(self._root, target)


def test_whatever_moment_the_power_fails_what_was_said_to_be_committed_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_module, "_WRITE_AT_ONCE", 2**11)
    moments = []
    for moment in itertools.count():
        root = tmp_path / f"disk{moment}"
        root.mkdir()
        disk = FallibleDisk(os, root, moment)
        disk.names[root] = {}
        monkeypatch.setattr(atomic_module, "os", disk)
        said = 0
        try:
            store = FeatureStore(root / "store")
            for number in range(3):
                fill(store, range(10 * number, 10 * number + 10))
                said = 10 * number + 10
        except PowerLossError:
            pass
        monkeypatch.setattr(atomic_module, "os", os)
        after = tmp_path / f"after{moment}"
        disk.survivors(after)
        store = FeatureStore(after / "store")
        if said:
            assert holds(store, range(said))
        assert verify(store).damaged == {}
        missing = store.missing(RECIPE, keys_of(range(30)), ["pooled"])
        assert not missing[:said].any()
        fill(store, np.flatnonzero(missing)) if missing.any() else None
        assert holds(FeatureStore(after / "store"), range(30))
        shutil.rmtree(root)
        shutil.rmtree(after)
        moments.append(said)
        if said == 30:
            break
    assert len(moments) > 40
    assert sorted(set(moments)) == [0, 10, 20, 30]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_system_calls_come_in_the_order_that_durability_needs(tmp_path):
    program = f"""
from cache import FeatureStore
from tests.cache.conftest import fill
fill(FeatureStore({str(tmp_path / "store")!r}), range(5))
"""
    trace = tmp_path / "trace"
    calls = "trace=openat,mkdir,write,fsync,rename,renameat,renameat2"
    subprocess.run(["strace", "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", program], check=True, cwd=os.getcwd())
    shards = f"{tmp_path}/store/recipes/{RECIPE.id}/shards"
    lines = [line.split(" ", 1)[1].strip() for line in trace.read_text().splitlines() if str(tmp_path) in line]
    kinds = [line.split("(")[0] for line in lines if f"{shards}/.writing-" in line or f"<{shards}>" in line]
    order = [kind for kind, _ in itertools.groupby(kind for kind in kinds if kind != "openat")]
    assert order[-4:] == ["write", "fsync", "rename", "fsync"]
    made = next(number for number, line in enumerate(lines) if line.startswith("mkdir") and f'{shards}"' in line)
    synced = next(
        n
        for n, line in enumerate(lines)
        if n > made and line.startswith("fsync") and line.split("<")[1].startswith(shards[:-7] + ">")
    )
    renamed = next(n for n, line in enumerate(lines) if line.startswith("rename") and ".h5" in line)
    assert made < synced < renamed

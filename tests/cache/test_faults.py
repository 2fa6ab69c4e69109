"""Disks that are full, read-only, forbidden or failing; too few file descriptors."""

import os
import resource
import shutil
import subprocess
import sys
import traceback

import numpy as np
import pytest

from cache import FeatureStore, StoreError
from cache.maintenance import verify
from tests.cache.conftest import OTHER, RECIPE, features_of, fill, holds, keys_of


def in_a_process_of_its_own(work):
    """Run something in a forked process, so that limits and identities do not outlive it."""
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 400 kB; gives its folder and a function that mounts it again with options."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield place, lambda options: subprocess.run([mount, "-o", f"remount,{options}", place], check=True)
    subprocess.run(["umount", "-l", place], check=True)


def visible(store):
    return sorted(path.name for path in store.path.rglob("*") if path.is_file() and path.suffix in (".h5", ".parquet"))


def test_a_full_disk_changes_nothing_and_work_goes_on_when_there_is_room_again(small_disk):
    place, remount = small_disk
    store = FeatureStore(place / "store")
    fill(store, range(100))
    before = visible(store)
    large = range(1000, 21_000)
    with pytest.raises(StoreError, match=rf"{place}.*could not be written: No space left on device; nothing was changed"):
        fill(store, large)
    assert visible(store) == before
    assert not list(store.path.rglob(".writing*"))
    assert holds(store, range(100))
    fill(store, range(100, 200))
    remount("size=4m")
    fill(store, large)
    assert holds(store, [*range(200), *large])


def test_a_limit_on_file_size_is_told_like_a_full_disk(store):
    fill(store, range(10))

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(StoreError, match="could not be written: File too large; nothing was changed"):
            fill(store, range(1000, 11_000))
        fill(store, range(10, 20))

    in_a_process_of_its_own(work)
    assert holds(store, range(20))
    assert verify(store).damaged == {}


def test_a_read_only_medium_serves_reads(small_disk):
    place, remount = small_disk
    damaged = fill(FeatureStore(place / "store"), range(1000, 1010), OTHER)
    fill(FeatureStore(place / "store"), range(100))
    fill(FeatureStore(place / "store"), range(2000, 2010), OTHER)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    remount("ro")
    store = FeatureStore(place / "store")
    assert holds(store, range(100))
    with pytest.warns(UserWarning, match="left where it is, which is not writable"):
        assert store.missing(OTHER, keys_of([1005, 2005]), ["pooled"]).tolist() == [True, False]
    assert holds(store, range(2000, 2010), OTHER)
    with store.lease(RECIPE) as lease:
        assert lease.claim(keys_of(range(5))).all()
    with pytest.raises(StoreError, match=r"could not be written: Read-only file system"):
        fill(store, range(200, 210))
    remount("rw")
    fill(store, range(200, 210))
    assert holds(store, range(200, 210))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_lost_permission_is_told_and_is_no_damage(store):
    path = fill(store, range(10))

    def work():
        place = store.path
        os.chmod(path, 0)
        for folder in (*store.path.rglob("*/"), *store.path.parents):
            os.chmod(folder, 0o755)
        os.environ["XDG_CACHE_HOME"] = "/nonexistent"
        os.seteuid(65534)
        with pytest.raises(StoreError, match=rf"{path}: cannot be read: Permission denied; ask its owner"):
            FeatureStore(place).read(RECIPE, keys_of([1]), "pooled")
        with pytest.raises(StoreError, match="could not be written: Permission denied"):
            fill(FeatureStore(place), range(20, 30))

    in_a_process_of_its_own(work)
    os.chmod(path, 0o644)
    assert holds(FeatureStore(store.path), range(10))
    assert not (store.folder(RECIPE) / "quarantine").exists()


def test_more_shards_than_file_descriptors_still_read(store):
    for start in range(0, 400, 4):
        fill(store, range(start, start + 4))

    def work():
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, used + 20))
        fresh = FeatureStore(store.path)
        shuffled = np.random.default_rng(0).permutation(400)
        assert np.array_equal(fresh.read(RECIPE, keys_of(shuffled), "pooled"), features_of(shuffled))
        rows = fresh.rows(RECIPE, keys_of(range(400)), "pooled")
        assert np.array_equal(rows[np.arange(399, -1, -7)], features_of(range(399, -1, -7)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
        from cache.files import MAPS

        MAPS._maps.clear()
        held = []
        while True:  # somebody else of this process uses up what is left
            try:
                held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        with pytest.raises(StoreError, match=r"cannot be (read|listed): Too many open files"):
            FeatureStore(store.path).read(RECIPE, keys_of(range(400)), "pooled")
        for descriptor in held:
            os.close(descriptor)

    in_a_process_of_its_own(work)
    assert holds(store, range(400))
    assert not (store.folder(RECIPE) / "quarantine").exists()


FAILING_READS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(void) { const char *flag = getenv("FAIL_WHILE"); return flag && access(flag, F_OK) == 0; }

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t offset) {
    ssize_t (*real)(int, const struct iovec *, int, off64_t) = dlsym(RTLD_NEXT, "preadv64");
    if (fails()) { errno = EIO; return -1; }
    return real(fd, iov, count, offset);
}
ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags) {
    ssize_t (*real)(int, const struct iovec *, int, off64_t, int) = dlsym(RTLD_NEXT, "preadv64v2");
    if (fails()) { errno = EIO; return -1; }
    return real(fd, iov, count, offset, flags);
}
"""

READER = """
import pathlib, sys
from cache import FeatureStore, StoreError
from tests.cache.conftest import fill, holds
place, flag = map(pathlib.Path, sys.argv[1:])
store = FeatureStore(place)
assert holds(store, range(5000))
flag.touch()
for reader in (store, FeatureStore(place)):
    try:
        holds(reader, range(5000))
        raise SystemExit("no error")
    except StoreError as error:
        print(error)
flag.unlink()
assert holds(store, range(5000))
assert holds(FeatureStore(place), range(5000))
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_failing_read_is_told_with_the_path_and_reading_goes_on_when_it_works_again(store, tmp_path):
    path = fill(store, range(5000))
    (tmp_path / "fail.c").write_text(FAILING_READS)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "fail.so", tmp_path / "fail.c", "-ldl"], check=True)
    flag = tmp_path / "fail-now"
    environment = os.environ | {"LD_PRELOAD": str(tmp_path / "fail.so"), "FAIL_WHILE": str(flag)}
    command = [sys.executable, "-c", READER, store.path, flag]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=os.getcwd())
    assert done.returncode == 0, done.stderr
    told = f"{path}: cannot be read: Input/output error; the medium fails; nothing was changed"
    assert done.stdout.splitlines() == [told, told]
    assert not (store.folder(RECIPE) / "quarantine").exists()


def test_a_file_that_shrinks_or_goes_away_while_it_is_in_use_ends_no_process(store):
    first, second = fill(store, range(50)), fill(store, range(50, 100))
    rows = store.rows(RECIPE, keys_of(range(100)), "pooled")
    assert np.array_equal(rows[[1, 99]], features_of([1, 99]))
    os.truncate(first, 100)
    with pytest.warns(UserWarning, match="damaged shard"), pytest.raises(StoreError, match="50 of 100 samples have no pooled"):
        rows[[3, 40]]
    assert np.array_equal(rows[[99, 50]], features_of([99, 50]))
    second.unlink()
    with pytest.raises(StoreError, match="100 of 100 samples have no pooled"):
        store.read(RECIPE, keys_of(range(100)), "pooled")

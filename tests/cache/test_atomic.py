import os

import pytest

from cache import StoreError
from cache.atomic import write_atomically


def test_a_file_is_written_whole_and_nothing_else_stays(tmp_path):
    write_atomically(tmp_path / "a" / "file", b"content")
    assert (tmp_path / "a" / "file").read_bytes() == b"content"
    assert os.listdir(tmp_path / "a") == ["file"]


def test_the_file_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: events.append(f"sync {os.readlink(f'/proc/self/fd/{fd}')}") or sync(fd))
    monkeypatch.setattr(os, "replace", lambda a, b: events.append(f"rename {b}") or replace(a, b))
    write_atomically(tmp_path / "file", b"content")
    assert events[0].startswith(f"sync {tmp_path}/.writing-")
    assert events[1:] == [f"rename {tmp_path / 'file'}", f"sync {tmp_path}"]


def test_a_failed_write_names_the_path_and_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"file: could not be written: No space left on device"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]

import os

import pytest

from cache import remembered


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1234")
    return path


def count_calls(file):
    calls = []

    def find_out(path):
        calls.append(path)
        return path.read_bytes().decode()

    return calls, lambda: remembered(file, "content", find_out)


def test_a_fact_is_found_out_once(file):
    calls, ask = count_calls(file)
    assert [ask(), ask(), ask()] == ["1234"] * 3
    assert len(calls) == 1


def test_a_changed_file_is_asked_again_even_if_size_and_time_are_put_back(file):
    _, ask = count_calls(file)
    ask()
    before = file.stat()
    with open(file, "r+b") as opened:
        opened.write(b"1235")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert ask() == "1235"


def test_without_a_place_for_the_memo_everything_works(file, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    calls, ask = count_calls(file)
    assert [ask(), ask()] == ["1234"] * 2
    assert len(calls) == 2

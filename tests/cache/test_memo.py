import os
from pathlib import Path

import pytest

from cache import remembered, remembered_all


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


def files_of(folder, count):
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(f"content {number}")
    return [str(path) for path in paths]


def test_of_many_files_only_new_and_changed_ones_are_read(tmp_path):
    paths, read = files_of(tmp_path, 5000), []

    def find_out(path):
        read.append(path)
        with open(path) as file:
            return file.read()

    assert remembered_all(paths, "content", find_out) == [f"content {number}" for number in range(5000)]
    assert len(read) == 5000
    with open(paths[7], "w") as file:
        file.write("another")
    assert remembered_all(paths, "content", find_out)[6:9] == ["content 6", "another", "content 8"]
    assert read[5000:] == [paths[7]]


def test_a_file_that_cannot_be_read_is_told_in_its_place(tmp_path):
    paths = [*files_of(tmp_path, 2), str(tmp_path / "gone.jpg"), str(tmp_path)]

    def find_out(path):
        with open(path) as file:
            return file.read()

    answers = remembered_all(paths, "content", find_out)
    assert answers[:2] == ["content 0", "content 1"]
    assert isinstance(answers[2], FileNotFoundError)
    assert isinstance(answers[3], IsADirectoryError)


def test_a_file_name_that_is_not_unicode_is_no_obstacle(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(path, "w") as file:
        file.write("here")
    for _ in range(2):
        assert remembered_all([os.fsdecode(path)], "content", lambda path: Path(path).read_text()) == ["here"]

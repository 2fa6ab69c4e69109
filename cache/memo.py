"""Facts about files that cost time to find out, remembered on this machine until the file changes.

Such as the digest of a weights file, the key of an image file, and where the arrays of a checked shard lie. A fact
belongs to a path together with size, modification and change time, inode and device; if any differs, it is found out
again. The memo is one SQLite file under the user's cache folder, never beside the file it speaks of. Without it
everything works, slower.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

_THREADS = 16  # files may be on a disk far away
_FILES_AT_A_TIME = 4096
_NO_MEMO = (sqlite3.Error, OSError, UnicodeEncodeError, RuntimeError)  # names that are not Unicode; users without a home


def remembered(path: Path, fact: str, find_out: Callable[[Path], str]) -> str:
    """Return `find_out(path)`, from memory if the file at `path` has not changed since it was asked last."""
    (known,) = recall([path], fact)
    if known is not None:
        return known
    stamp = stamp_of(path)
    answer = find_out(path)
    remember([(path, stamp, answer)], fact)
    return answer


def remembered_all(paths: Sequence[str], fact: str, find_out: Callable[[str], str]) -> list[str | OSError]:
    """Return `find_out(path)` of many files, from memory where a file has not changed; new ones are read in threads.

    An `OSError` that `find_out` raises stands in the answer's place and is not remembered.
    """
    answers: list[str | OSError] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        for start in range(0, len(paths), _FILES_AT_A_TIME):
            part = paths[start : start + _FILES_AT_A_TIME]
            known = recall(part, fact)
            new = [path for path, answer in zip(part, known, strict=True) if answer is None]
            found = list(threads.map(lambda path: _stamp_and_answer(path, find_out), new))
            told = zip(new, found, strict=True)
            remember([(path, *answer) for path, answer in told if not isinstance(answer, OSError)], fact)
            fresh = (answer if isinstance(answer, OSError) else answer[1] for answer in found)
            answers += [next(fresh) if answer is None else answer for answer in known]
    return answers


def _stamp_and_answer(path: str, find_out: Callable[[str], str]) -> tuple[str, str] | OSError:
    try:
        return stamp_of(path), find_out(path)
    except OSError as error:
        return error


def recall(paths: Sequence[str | Path], fact: str) -> list[str | None]:
    """Return what is remembered of each file as it is now, None where nothing is."""
    answers: list[str | None] = [None] * len(paths)
    with contextlib.suppress(*_NO_MEMO), contextlib.closing(_connect()) as memo:
        for number, path in enumerate(paths):
            row = memo.execute("SELECT answer, stamp FROM facts WHERE path=? AND fact=?", (_place(path), fact)).fetchone()
            if row and row[1] == stamp_of(path):
                answers[number] = str(row[0])
    return answers


def remember(found: Sequence[tuple[str | Path, str, str]], fact: str) -> None:
    """Remember (path, stamp, answer); the stamp was taken before the answer was looked for."""
    with contextlib.suppress(*_NO_MEMO), contextlib.closing(_connect()) as memo, memo:
        rows = [(_place(path), fact, stamp, answer) for path, stamp, answer in found]
        memo.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", rows)


def stamp_of(path: str | Path | int) -> str:
    """Return what of a file's status changes when its content does: size, times, inode, device."""
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}:{status.st_dev}"


def _place(path: str | Path) -> str:
    """Return where a file is. Its folder's links are followed once a process: a memo is asked for thousands of files."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(_real_folder(folder), name)


@lru_cache(4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _connect() -> sqlite3.Connection:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
    folder.mkdir(parents=True, exist_ok=True)
    memo = sqlite3.connect(folder / "memo.sqlite", timeout=5)
    memo.execute("CREATE TABLE IF NOT EXISTS facts (path TEXT, fact TEXT, stamp TEXT, answer TEXT, PRIMARY KEY (path, fact))")
    return memo
